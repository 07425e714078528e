package main

import (
	"errors"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func connectTo(address *unix.SockaddrInet4) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, address); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), unix.SetNonblock(fd, true))
}

// write sends what the socket takes and keeps the rest until it is writable.
func (l *loop) write(c *connection, data []byte) {
	if len(c.unsent) > 0 {
		c.unsent = append(slices.Clip(c.unsent), data...)
		return
	}
	for len(data) > 0 {
		count, err := rawIO(unix.SYS_WRITE, c.fd, data)
		if err == syscall.EAGAIN {
			// A wire may use its buffer again.
			c.unsent = slices.Clone(data)
			l.watch(c, true)
			return
		}
		if err != 0 {
			// The reading side sees the same end, and counts it there.
			_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
			return
		}
		data = data[count:]
	}
}

// rawIO is read(2) or write(2) on a socket that doesn't block, without telling Go's scheduler.
func rawIO(call uintptr, fd int, data []byte) (int, syscall.Errno) {
	for {
		count, _, err := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data)))
		if err != syscall.EINTR {
			return int(count), err
		}
	}
}

func (l *loop) watch(c *connection, writable bool) {
	if c.watching == writable {
		return
	}
	c.watching = writable
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}
	if writable {
		event.Events |= unix.EPOLLOUT
	}
	must(unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, c.fd, &event))
}
