//go:build linux && cgo && !kourier_portable

package kourier

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/kourier-go/kourier/internal/abi"
)

// An eventWait has a worker wait for its sockets in Go's poller, as goroutines wait
// for theirs. There it holds no P. Where there is but one, a worker that waited by
// itself would keep it until Go's monitor finds that it does not need it, 10 ms
// later, and goroutines that are ready would wait for that.
type eventWait struct {
	file   *os.File // a duplicate of the worker's epoll descriptor; nil: there is none yet
	raw    syscall.RawConn
	ready  func(fd uintptr) bool
	looked bool // during a wait: at whether there are events already
}

// wait waits for what the worker of b waits for. On the worker.
func (t *linkTable) wait(b *abi.Batch) {
	limit := time.Duration(-1)
	if b.WaitMS != abi.WaitForever {
		limit = time.Duration(b.WaitMS) * time.Millisecond
	}
	t.waits[b.Worker].wait(int(b.WaitFD), limit)
}

// closeWaits is for when the workers have ended.
func (t *linkTable) closeWaits() {
	for i := range t.waits {
		t.waits[i].close()
	}
}

// wait returns when the epoll descriptor fd, always the same one, has events, or
// after limit, unless that is negative, or earlier.
func (w *eventWait) wait(fd int, limit time.Duration) {
	if w.file == nil && w.open(fd) != nil {
		hasEvents(fd, limit) // without a descriptor, better late than never
		return
	}
	var until time.Time
	if limit >= 0 {
		until = time.Now().Add(limit)
	}
	_ = w.file.SetReadDeadline(until) // nobody has closed it
	w.looked = false
	_ = w.raw.Read(w.ready) // what it returns is a matter of time only
}

// isOver is called before the waiting and after it.
func (w *eventWait) isOver(fd uintptr) bool {
	if w.looked {
		return true
	}
	w.looked = true
	return hasEvents(int(fd), 0)
}

// open makes fd known to Go's poller.
func (w *eventWait) open(fd int) error {
	own, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return errno
	}
	// Else package os leaves it to blocking calls. It holds for fd too, to which it means nothing.
	if err := syscall.SetNonblock(int(own), true); err != nil {
		return errors.Join(err, syscall.Close(int(own)))
	}
	file := os.NewFile(own, "events of a worker")
	raw, err := file.SyscallConn()
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // fails if the poller does not know it
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	w.file, w.raw, w.ready = file, raw, w.isOver
	return nil
}

// close is for when nobody waits any more.
func (w *eventWait) close() {
	if w.file != nil {
		_ = w.file.Close() // nothing was written to it
		w.file = nil
	}
}

// hasEvents reports whether an epoll descriptor has events, waiting as long as wait does. It
// leaves them where they are.
func hasEvents(fd int, limit time.Duration) bool {
	milliseconds := -1
	if limit >= 0 {
		milliseconds = int(limit.Milliseconds())
	}
	var event [1]syscall.EpollEvent
	n, err := syscall.EpollWait(fd, event[:], milliseconds)
	return n != 0 || err != nil
}
