//go:build linux && cgo && !kourier_portable

package kourier

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kourier-go/kourier/internal/abi"
)

// rateCheck is how often the socket of a peer that is waited for is asked what
// has been acknowledged.
const rateCheck = 5 * time.Second

// rateCreditMax bounds the patience that fast bytes buy for slow ones.
const rateCreditMax = 30 * time.Second

// filePieceSize is how much of a file is sent before others run, in bytes. It is not copied, and the last segment of
// each piece may be a short one.
const filePieceSize = 4 * bulkSize

// roomWhenWritable is the room in a socket of which no more is known than that a write is worth a try, in bytes.
const roomWhenWritable = 64 << 10

// A nativeLink is a connection of the native core that a goroutine has taken over.
type nativeLink struct {
	core    *core
	table   *linkTable
	id      linkID
	reading waiter
	writing waiter
	bounded bool        // the kernel takes little that it has not sent; of who writes
	ended   atomic.Bool // hijacked: the connection belongs to nobody here, and must not be looked for

	mu           sync.Mutex
	gone         bool
	serverClosed bool
	notify       func() // of onGone
}

// A waiter is one direction of a link.
type waiter struct {
	mu       sync.Mutex
	ready    chan struct{} // holds one token; nil before the first wait
	woken    bool          // before there was one
	deadline time.Time

	// Used by one goroutine at a time, which holds sender.mu or requestBody.mu.
	patience time.Duration // left for waiting, of what the least rate allows
	rate     int           // bytes per second; 0: none
	moved    int           // bytes since others had a turn
}

// pause lets others run if bulkSize was moved since they did, and reports that: the worker
// comes behind all goroutines that are ready to move megabytes.
func (w *waiter) pause() bool {
	if w.moved < bulkSize {
		return false
	}
	w.moved = 0
	runtime.Gosched()
	return true
}

// wake ends one wait, the present or the next one.
func (w *waiter) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wakeLocked()
}

func (w *waiter) wakeLocked() {
	if w.ready == nil {
		w.woken = true
		return
	}
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *waiter) setDeadline(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	w.wakeLocked()
}

// channel returns what wake sends to, and the deadline.
func (w *waiter) channel() (<-chan struct{}, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ready == nil {
		w.ready = make(chan struct{}, 1)
		if w.woken {
			w.ready <- struct{}{}
		}
	}
	return w.ready, w.deadline
}

func (w *waiter) expired() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.deadline.IsZero() && !time.Now().Before(w.deadline)
}

// wait returns when the link is worth another try, or with os.ErrDeadlineExceeded.
// It waits for at most limit, if that is positive. woken tells that it has taken
// what wake left: nobody else will hear of that.
func (w *waiter) wait(limit time.Duration) (woken bool, err error) {
	ready, deadline := w.channel()
	start := time.Now()
	allowed := time.Duration(-1)
	shorten := func(d time.Duration) {
		if allowed < 0 || d < allowed {
			allowed = max(d, 0)
		}
	}
	if !deadline.IsZero() {
		shorten(deadline.Sub(start))
	}
	if w.rate > 0 {
		shorten(w.patience)
	}
	if limit > 0 {
		shorten(limit)
	}
	if allowed == 0 {
		return false, os.ErrDeadlineExceeded
	}
	if allowed < 0 {
		<-ready
		return true, nil
	}
	timer := time.NewTimer(allowed)
	defer timer.Stop()
	select {
	case <-ready:
		woken = true
	case <-timer.C:
	}
	w.patience -= time.Since(start)
	return woken, nil
}

// pass is told of n bytes that were moved.
func (w *waiter) pass(n int) {
	w.moved += n
	w.credit(n)
}

// credit adds the time that n bytes are worth at the least rate.
func (w *waiter) credit(n int) {
	if w.rate <= 0 || n <= 0 {
		return
	}
	worth := rateCreditMax
	if n < w.rate*int(rateCreditMax/time.Second) {
		worth = time.Duration(n) * time.Second / time.Duration(w.rate)
	}
	w.patience = min(w.patience+worth, rateCreditMax)
}

func (l *nativeLink) setReadDeadline(t time.Time)  { l.reading.setDeadline(t) }
func (l *nativeLink) setWriteDeadline(t time.Time) { l.writing.setDeadline(t) }

func (l *nativeLink) tryReadBody(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	l.reading.pause()
	if l.reading.expired() {
		return 0, os.ErrDeadlineExceeded
	}
	if l.ended.Load() {
		return 0, errPeerGone
	}
	n, code, status := l.core.linkRead(l.id, p[:min(len(p), bulkSize)])
	switch status {
	case abi.OK:
		if n == 0 {
			return 0, io.EOF
		}
		received()
		l.reading.pass(n)
		l.table.bytesIn.Add(uint64(n))
		return n, nil
	case abi.ErrBlocked:
		return 0, errBlocked
	case abi.ErrRefused:
		return 0, &bodyError{code}
	default:
		if l.closed() {
			return 0, errPeerGone
		}
		return 0, io.ErrUnexpectedEOF
	}
}

func (l *nativeLink) awaitBody() error {
	_, err := l.reading.wait(0)
	return err
}

func (l *nativeLink) age() time.Duration {
	if l.ended.Load() {
		return 0
	}
	return l.core.linkAge(l.id)
}

func (l *nativeLink) readTrailer() (string, error) {
	if l.ended.Load() {
		return "", errPeerGone
	}
	lines, status := l.core.linkTrailer(l.id)
	if status != abi.OK {
		return "", errPeerGone
	}
	return lines, nil
}

func (l *nativeLink) write(head, body []byte) (n int, err error) {
	for {
		l.pause()
		switch {
		case l.writing.expired():
			return n, os.ErrDeadlineExceeded
		case l.ended.Load():
			return n, errPeerGone
		}
		sending()
		piece := min(len(body), bulkSize)
		sent, status := l.core.linkWrite(l.id, head, body[:piece], piece < len(body))
		n += sent
		l.table.bytesOut.Add(uint64(sent))
		l.writing.pass(sent)
		fromHead := min(sent, len(head))
		head, body = head[fromHead:], body[sent-fromHead:]
		switch status {
		case abi.OK:
			if len(body) == 0 {
				return n, nil
			}
		case abi.ErrBlocked:
			if err := l.waitWritable(); err != nil {
				return n, err
			}
		default:
			return n, errPeerGone
		}
	}
}

// pause is for who writes, before more is written. What has written much before is expected to go on.
func (l *nativeLink) pause() {
	if l.writing.pause() {
		l.boundUnsent()
	}
}

// boundUnsent keeps the kernel from taking megabytes of a large answer for a peer that does not read.
func (l *nativeLink) boundUnsent() {
	if !l.bounded && !l.ended.Load() {
		l.bounded = true
		l.core.linkBoundUnsent(l.id)
	}
}

func (l *nativeLink) room() int {
	if l.ended.Load() {
		return roomWhenWritable
	}
	l.writing.pause()
	l.boundUnsent()
	size, status := l.core.linkRoom(l.id)
	switch status {
	case abi.OK:
		return size
	case abi.ErrBlocked:
		return 0
	default:
		return roomWhenWritable
	}
}

func (l *nativeLink) awaitRoom() int {
	for waits := 0; ; waits++ {
		if size := l.room(); size > 0 { // else the worker is asked to tell: who wrote since then may have used that up
			return size
		}
		if waits == 2 { // a wait may end for a deadline that was moved
			return roomWhenWritable
		}
		if l.waitWritable() != nil {
			return 0
		}
	}
}

func (l *nativeLink) waitWritable() error {
	before := l.core.linkUnsent(l.id)
	for {
		woken, err := l.writing.wait(rateCheck)
		if woken || err != nil {
			return err
		}
		// A socket with a large buffer becomes writable only after a third of it has drained.
		unsent := l.core.linkUnsent(l.id)
		if before >= 0 && unsent >= 0 {
			l.writing.credit(before - unsent)
		}
		before = unsent
	}
}

func (l *nativeLink) sendFile(f *os.File, size int64) (n int64, err error) {
	switch {
	case l.writing.expired():
		return 0, os.ErrDeadlineExceeded
	case l.ended.Load():
		return 0, errPeerGone
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, errNoSendFile
	}
	start, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, errNoSendFile
	}
	size = min(size, info.Size()-start)
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, errNoSendFile
	}
	at := start
	for at-start < size && err == nil {
		l.writing.pause() // without a bound: what the socket holds are the kernel's pages of the file
		if l.writing.expired() {
			err = os.ErrDeadlineExceeded
			break
		}
		status := int32(abi.OK)
		before := at
		sending()
		piece := min(size-(at-start), filePieceSize)
		if failed := raw.Control(func(fd uintptr) { status = l.core.linkSendFile(l.id, fd, &at, piece) }); failed != nil {
			return at - start, failed
		}
		l.table.bytesOut.Add(uint64(at - before))
		l.writing.pass(int(at - before))
		switch status {
		case abi.OK:
		case abi.ErrBlocked:
			err = l.waitWritable()
		case abi.ErrInvalid:
			if at == start {
				return 0, errNoSendFile
			}
			err = io.ErrUnexpectedEOF
		default:
			err = errPeerGone
		}
	}
	if _, failed := f.Seek(at, io.SeekStart); err == nil {
		err = failed
	}
	return at - start, err
}

func (l *nativeLink) remote() netip.AddrPort {
	if l.ended.Load() {
		return netip.AddrPort{}
	}
	return l.core.linkPeer(l.id)
}

func (l *nativeLink) localAddr() net.Addr  { return socketAddr(l.fd(), syscall.Getsockname) }
func (l *nativeLink) remoteAddr() net.Addr { return socketAddr(l.fd(), syscall.Getpeername) }

func (l *nativeLink) fd() int {
	if l.ended.Load() {
		return -1
	}
	return l.core.linkFD(l.id)
}

// socketAddr returns an address of a socket as package net would.
func socketAddr(fd int, get func(int) (syscall.Sockaddr, error)) net.Addr {
	if fd < 0 {
		return &net.TCPAddr{}
	}
	address, err := get(fd)
	if err != nil {
		return &net.TCPAddr{}
	}
	switch a := address.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: net.IP(a.Addr[:]).To16(), Port: a.Port}
	case *syscall.SockaddrInet6:
		addr := &net.TCPAddr{IP: net.IP(a.Addr[:]), Port: a.Port}
		if a.ZoneId != 0 {
			addr.Zone = zoneName(a.ZoneId)
		}
		return addr
	case *syscall.SockaddrUnix:
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	}
	return &net.TCPAddr{}
}

func (l *nativeLink) onGone(f func()) {
	l.mu.Lock()
	l.notify = f
	gone := l.gone
	l.mu.Unlock()
	if gone && f != nil {
		f()
	}
}

func (l *nativeLink) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.serverClosed
}

// peerGone is called on a worker, and when the server closes.
func (l *nativeLink) peerGone(serverClosed bool) {
	l.mu.Lock()
	f := l.notify
	first := !l.gone
	l.gone = true
	l.serverClosed = l.serverClosed || serverClosed
	l.mu.Unlock()
	if first && f != nil {
		go f() // it may run code of the user's
	}
}

func (l *nativeLink) hijack() (net.Conn, []byte, error) {
	if l.ended.Load() {
		return nil, nil, errPeerGone
	}
	fd, rest, status := l.core.linkDetach(l.id)
	if status != abi.OK {
		return nil, nil, errPeerGone
	}
	l.ended.Store(true)
	l.table.forget(l)
	file := os.NewFile(uintptr(fd), "hijacked connection")
	conn, err := net.FileConn(file)
	err = errors.Join(err, file.Close())
	l.core.letGo()
	if err != nil {
		l.table.conns.closed(l.id.worker, l.id.connection) // the core tells nothing more of it
		return nil, nil, fmt.Errorf("kourier: hijack: %w", err)
	}
	return conn, rest, nil
}

// release does nothing for a link that could not be made a net.Conn: the peer has seen the end of that.
func (l *nativeLink) release(how uint32) {
	if l.ended.Load() {
		return
	}
	l.table.forget(l)
	l.core.linkRelease(l.id, how)
	l.core.letGo()
}
