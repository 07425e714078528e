package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

type connection struct {
	fd       int
	wire     wire
	unsent   []byte
	received []byte
	watching bool // for writability
	busy     bool
	number   int   // of the body in flight
	intended int64 // when it should have been sent, nanoseconds
}

type waiting struct {
	number   int
	intended int64
}

type loop struct {
	job        Job
	work       *Workload
	checker    *checker
	figures    *figures
	connect    func() (int, error)
	newWire    func() wire
	epoll      int
	open       map[int]*connection
	idle       []*connection // the newest last: a server's keep-alive closes the old ones first
	queue      []waiting     // requests whose time has come while every connection is busy
	begun, end int64
	last       int64 // no answer is awaited longer
	next       int64 // the open loop's next time to send
	random     *rand.Rand
	number     int
	answered   int
	failures   int
	buffer     []byte
	start      time.Time
}

// So many failures one after another mean that there is no server.
const giveUp = 1000

func newLoop(job Job, work *Workload) (*loop, error) {
	var targets []*unix.SockaddrInet4
	for name := range strings.SplitSeq(job.Address, ",") {
		address, err := net.ResolveTCPAddr("tcp4", name)
		if err != nil {
			return nil, err
		}
		targets = append(targets, &unix.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())})
	}
	host := cmp.Or(job.Host, job.Address)
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &loop{
		job: job, work: work, checker: newChecker(work), figures: newFigures(), epoll: epoll,
		open: map[int]*connection{}, buffer: make([]byte, 256<<10), start: time.Now(),
		random: rand.New(rand.NewPCG(job.Seed, 0)),
	}
	// As a Service's addresses are drawn: by connections, not by requests.
	draw := rand.New(rand.NewPCG(job.Seed, 1))
	l.connect = func() (int, error) { return connectTo(targets[draw.IntN(len(targets))]) }
	if work.Protocol == "grpc" {
		messages := grpcMessages(work)
		l.newWire = func() wire { return newGRPC(work, messages, host) }
	} else {
		requests := http1Requests(work, host)
		l.newWire = func() wire { return newHTTP1(requests) }
	}
	return l, nil
}

func (l *loop) now() int64 { return int64(time.Since(l.start)) }

func (l *loop) run() Result {
	cpu := cpuSeconds()
	l.begun = l.now()
	l.end = l.begun + int64(l.job.Seconds*1e9)
	l.last = l.end + int64(l.job.Drain*1e9)
	if l.job.Rate > 0 {
		l.next = l.begun + l.gap()
	} else {
		for range l.job.Connections {
			if !l.mayBegin() || !l.sendNew(l.now()) {
				break
			}
		}
	}
	events := make([]unix.EpollEvent, 256)
	for !l.over() {
		count := l.wait(events)
		for _, event := range events[:count] {
			if c := l.open[int(event.Fd)]; c != nil {
				l.turn(c, event.Events)
			}
		}
		l.arrivals()
	}
	return l.finish(cpuSeconds() - cpu)
}

// sendNew sends the next body on an idle connection, a new one, or puts it into the queue.
func (l *loop) sendNew(intended int64) bool {
	number := l.number % len(l.work.bodies)
	l.number++
	return l.place(waiting{number, intended})
}

func (l *loop) place(w waiting) bool {
	if last := len(l.idle) - 1; last >= 0 {
		c := l.idle[last]
		l.idle = l.idle[:last]
		l.send(c, w)
		return true
	}
	if len(l.open) >= l.job.Connections {
		l.queue = append(l.queue, w)
		return true
	}
	fd, err := l.connect()
	if err == nil {
		err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
	if err != nil {
		l.lost("connect", err)
		return false
	}
	l.figures.result.Connected++
	c := &connection{fd: fd, wire: l.newWire()}
	l.open[fd] = c
	if hello := c.wire.hello(); hello != nil {
		l.write(c, hello)
	}
	l.send(c, w)
	return true
}

// lost counts a request that has no answer.
func (l *loop) lost(kind string, err error) {
	l.answered++
	l.failures++
	l.figures.failed(kind, err.Error())
}

func (l *loop) send(c *connection, w waiting) {
	c.busy, c.number, c.intended = true, w.number, w.intended
	l.write(c, c.wire.request(w.number))
}

func (l *loop) turn(c *connection, events uint32) {
	if events&unix.EPOLLOUT != 0 && len(c.unsent) > 0 {
		rest := c.unsent
		c.unsent = nil
		l.watch(c, false)
		l.write(c, rest)
	}
	if events&^uint32(unix.EPOLLOUT) == 0 {
		return
	}
	count, err := rawIO(unix.SYS_READ, c.fd, l.buffer)
	switch {
	case err == syscall.EAGAIN:
	case err != 0:
		l.drop(c, "read", err)
	case count == 0:
		l.drop(c, "closed", io.ErrUnexpectedEOF)
	default:
		l.received(c, l.buffer[:count])
	}
}

func (l *loop) received(c *connection, data []byte) {
	if len(c.received) > 0 {
		data = append(c.received, data...)
	}
	for len(data) > 0 {
		used, whole, reply, err := c.wire.receive(data)
		if err != nil {
			l.drop(c, "protocol", err)
			return
		}
		data = data[used:]
		if len(reply) > 0 {
			l.write(c, reply)
		}
		if whole == nil && used == 0 {
			break
		}
		if whole == nil {
			continue
		}
		if !c.busy {
			l.drop(c, "protocol", errors.New("an answer that nobody asked for"))
			return
		}
		l.answer(c, whole)
		if whole.closes {
			l.drop(c, "", nil)
			return
		}
		l.free(c)
	}
	c.received = append(c.received[:0], data...)
}

// answer counts an answer: right, wrong, refused, expired, or an error with its status.
func (l *loop) answer(c *connection, whole *answer) {
	now := l.now()
	c.busy = false
	l.answered++
	l.failures = 0
	f := l.figures
	taken := now - c.intended
	switch {
	case whole.ok:
		if l.answered%l.job.CheckEvery == 0 {
			f.result.Checked++
			if err := l.checker.check(whole, c.number); err != nil {
				f.failed("wrong", fmt.Sprintf("%v; the answer begins %.200q", err, whole.body))
				return
			}
		}
		f.good(now <= l.end, l.job.Deadline == 0 || float64(taken) <= l.job.Deadline*1e9)
		record(f.latency, taken)
	case slices.Contains(l.job.Refusals, whole.status):
		f.result.Refused++
		record(f.refusals, taken)
	case slices.Contains(l.job.Expiries, whole.status):
		f.result.Expired++
	default:
		f.failed(fmt.Sprintf("status %d", whole.status), fmt.Sprintf("%.300q", whole.body))
	}
}

// free gives a connection its next request.
func (l *loop) free(c *connection) {
	switch {
	case len(l.queue) > 0:
		w := l.queue[0]
		l.queue = l.queue[1:]
		l.send(c, w)
	case l.job.Rate == 0 && l.mayBegin():
		number := l.number % len(l.work.bodies)
		l.number++
		l.send(c, waiting{number, l.now()})
	default:
		l.idle = append(l.idle, c)
	}
}

// drop closes a connection; what was in flight on it is counted under `kind`, and the closed loop goes on with another.
func (l *loop) drop(c *connection, kind string, err error) {
	_ = unix.Close(c.fd)
	delete(l.open, c.fd)
	if at := slices.Index(l.idle, c); at >= 0 {
		l.idle = slices.Delete(l.idle, at, at+1)
	}
	if c.busy {
		l.lost(kind, err)
	}
	switch {
	case len(l.queue) > 0:
		w := l.queue[0]
		l.queue = l.queue[1:]
		l.place(w)
	case l.job.Rate == 0 && l.mayBegin():
		l.sendNew(l.now())
	}
}
