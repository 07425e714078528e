package main

import (
	"fmt"
	"math"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How long before its time an open-loop request stops the loop from sleeping: a wake-up takes tens of microseconds.
const spin = 100 * time.Microsecond

// How many requests are sent before answers are looked at: after a delay of this program's own, answers that have come
// free connections, and a burst of new ones would be a load that nobody asked for.
const turnSends = 8

// mayBegin is whether another request is due at all.
func (l *loop) mayBegin() bool {
	return l.now() < l.end && (l.job.Count == 0 || l.number < l.job.Count) && l.failures < giveUp
}

func (l *loop) over() bool {
	if l.failures >= giveUp || l.now() >= l.last {
		return true
	}
	if l.answered < l.number {
		return false
	}
	if l.job.Rate == 0 && len(l.open) == 0 {
		return true // no connection could be made again
	}
	if l.job.Rate > 0 {
		return l.next >= l.end || (l.job.Count > 0 && l.number >= l.job.Count)
	}
	return !l.mayBegin()
}

// gap is the time between two requests of the open loop.
func (l *loop) gap() int64 {
	mean := 1e9 / l.job.Rate
	if l.job.Arrivals == "constant" {
		return int64(math.Round(mean))
	}
	return int64(l.random.ExpFloat64() * mean)
}

// arrivals sends the open loop's requests whose time has come. Latency counts from that time, whenever they are sent.
func (l *loop) arrivals() {
	if l.job.Rate == 0 {
		return
	}
	for range turnSends {
		now := l.now()
		if l.next > now || l.next >= l.end || (l.job.Count > 0 && l.number >= l.job.Count) {
			return
		}
		intended := l.next
		l.next += l.gap()
		record(l.figures.lateness, now-intended)
		l.sendNew(intended)
	}
}

// wait sleeps until something has come, or it is time to send.
func (l *loop) wait(events []unix.EpollEvent) int {
	until := l.last
	if l.job.Rate > 0 && l.next < l.end {
		until = l.next - int64(spin)
	}
	timeout := unix.NsecToTimespec(max(0, until-l.now()))
	count, _, err := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.epoll), uintptr(unsafe.Pointer(&events[0])),
		uintptr(len(events)), uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if err == syscall.EINTR {
		return 0
	}
	if err != 0 {
		panic(fmt.Sprintf("epoll_pwait2: %v", err))
	}
	return int(count)
}

func (l *loop) finish(cpu float64) Result {
	f := l.figures
	ended := min(l.now(), l.end)
	f.result.Unanswered = int64(len(l.queue))
	for _, c := range l.open {
		if c.busy {
			f.result.Unanswered++
		}
	}
	if f.result.Unanswered > 0 {
		f.failed("unanswered", fmt.Sprintf("%d of %d", f.result.Unanswered, l.number))
		f.result.Errors["unanswered"] = f.result.Unanswered
	}
	f.result.Sent = int64(l.number)
	f.result.Seconds = float64(ended-l.begun) / 1e9
	f.result.Rate = float64(f.result.GoodInTime) / f.result.Seconds
	f.result.Latency, f.result.Refusal, f.result.Lateness = summary(f.latency), summary(f.refusals), summary(f.lateness)
	f.result.OwnCPU = cpu
	return f.result
}
