package kourier

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kourier-go/kourier/internal/abi"
)

// A responseWriter is the http.ResponseWriter of one request. It has every
// optional method that the one of net/http's server has, so that middleware finds
// them. It is used for one request only: kept by a handler, it fails harmlessly.
type responseWriter struct {
	engine   *handlerEngine
	sender   *sender // its mu guards all below, but for what only the handler's goroutine uses
	exchange *exchange
	handed   *handed
	index    int // of the request, among those of handed

	done     atomic.Bool // the handler has returned
	awaited  atomic.Bool // the client waits for 100 Continue and was not told
	expected bool        // awaited was set at the start

	header   http.Header // the handler's; nil until it asks
	status   int
	declared int64 // Content-Length as set by the handler; -1: not set
	written  int64 // bytes of the body that the handler has given, as far as they fit

	isHead, isConnect, http10 bool
	wroteHeader               bool // status and fields are frozen
	touched                   bool // the handler had the header after that
	frozenSize                int  // of the header then
	committed                 bool // the head is on its way
	chunking                  bool
	closing                   bool // the connection closes after this answer
	dropped                   bool // more was written than was declared
	fullDuplex                bool
	hijacked                  bool
	frozen                    frozenHeader
}

var (
	_ http.Flusher       = (*responseWriter)(nil)
	_ http.Hijacker      = (*responseWriter)(nil)
	_ http.CloseNotifier = (*responseWriter)(nil) //nolint:staticcheck // deprecated, and still used
	_ io.ReaderFrom      = (*responseWriter)(nil)
	_ io.StringWriter    = (*responseWriter)(nil)
)

// begin makes w the writer of the request of h that stands at index.
func (w *responseWriter) begin(e *handlerEngine, s *sender, h *handed, index int, x *exchange) {
	raw := &h.requests[index]
	w.engine, w.sender, w.exchange, w.handed, w.index = e, s, x, h, index
	w.declared = -1
	w.isHead = raw.Method == abi.MethodHead
	w.isConnect = raw.Method == abi.MethodConnect
	w.http10 = raw.Flags&abi.RequestHTTP10 != 0
	w.closing = raw.Flags&abi.RequestKeepAlive == 0 || raw.Flags&abi.RequestPreface != 0
	w.expected = raw.Flags&abi.RequestContinue != 0 && x.body != nil && x.body.link != nil && !w.http10
	if w.expected {
		w.awaited.Store(true)
	}
}

// Header returns the header, for the handler to change until WriteHeader.
func (w *responseWriter) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	w.touched = w.wroteHeader
	return w.header
}

// WriteHeader freezes status and header. Interim statuses, 100 to 199 but 101, go
// out at once, and the header stays open. It panics if code has not three digits.
func (w *responseWriter) WriteHeader(code int) {
	if w.done.Load() { // without the lock, which another connection may hold by then
		return
	}
	s := w.sender
	s.mu.Lock()
	switch {
	case w.done.Load():
		s.mu.Unlock()
	case w.hijacked:
		s.mu.Unlock()
		w.complain("http: response.WriteHeader on hijacked connection from %s (%s:%d)")
	case w.wroteHeader:
		s.mu.Unlock()
		w.complain("http: superfluous response.WriteHeader call from %s (%s:%d)")
	case code < 100 || code > 999:
		s.mu.Unlock()
		panic(fmt.Sprintf("invalid WriteHeader code %v", code))
	default:
		defer s.mu.Unlock()
		if code == http.StatusContinue || code >= 200 {
			w.forgetContinue()
		}
		if code < 200 && code != http.StatusSwitchingProtocols {
			w.interim(code)
			return
		}
		w.freeze(code)
	}
}

// complain logs what a handler did wrong, and where.
func (w *responseWriter) complain(format string) {
	frame := handlerFrame()
	w.engine.logf(format, frame.Function, path.Base(frame.File), frame.Line)
}

// handlerFrame returns the innermost frame of the caller's that belongs neither
// to a responseWriter nor to net/http.
func handlerFrame() runtime.Frame {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if !more || !strings.Contains(frame.Function, "kourier.(*responseWriter).") && !strings.HasPrefix(frame.Function, "net/http.") {
			return frame
		}
	}
}

// interim sends an interim answer, RFC 9110 §15.2: not to clients of HTTP/1.0,
// which know of none.
func (w *responseWriter) interim(code int) {
	if w.http10 {
		return
	}
	w.engine.counters.responses.count(code)
	s := w.sender
	s.fields = appendStatusLine(s.fields[:0], code)
	s.appendFields(s.list(w.header), func(name string) bool { return name == "Content-Length" || name == "Transfer-Encoding" })
	s.fields = append(s.fields, lineEnd...)
	s.add(s.fields)
	s.send(nil)
}

// forgetContinue is for when the client is not to be told any more. Most never wait for
// it, and a load costs less than a store.
func (w *responseWriter) forgetContinue() {
	if w.awaited.Load() {
		w.awaited.Store(false)
	}
}

// sendContinue has the client send its body, if it waits to be told.
func (w *responseWriter) sendContinue() {
	if !w.awaited.Load() {
		return
	}
	s := w.sender
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.awaited.CompareAndSwap(true, false) {
		w.engine.counters.responses.count(http.StatusContinue)
		s.pending = append(s.pending, "HTTP/1.1 100 Continue\r\n\r\n"...)
		s.send(nil)
	}
}

// Write adds p to the body. Up to 2048 bytes are collected before the head goes
// out, and then for each chunk. The error is [http.ErrBodyNotAllowed] if the
// status allows no body, [http.ErrContentLength] if p does not fit into the
// Content-Length that the handler has set, [http.ErrHijacked] after Hijack,
// [ErrRequestDone] after the handler has returned, or that of the connection.
func (w *responseWriter) Write(p []byte) (int, error) {
	s := w.sender
	if w.done.Load() {
		return 0, ErrRequestDone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return w.write(p)
}

// WriteString is Write for a string. It makes no copy of text.
func (w *responseWriter) WriteString(text string) (int, error) {
	return w.Write(abi.StringBytes(text))
}

// write is Write; sender.mu is held.
func (w *responseWriter) write(p []byte) (int, error) {
	switch {
	case w.done.Load():
		return 0, ErrRequestDone
	case w.hijacked:
		if len(p) > 0 {
			w.complain("http: response.Write on hijacked connection from %s (%s:%d)")
		}
		return 0, http.ErrHijacked
	}
	w.forgetContinue()
	if !w.wroteHeader {
		w.freeze(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case !bodyAllowed(w.status):
		return 0, http.ErrBodyNotAllowed
	case w.declared >= 0 && int64(len(p)) > w.declared-w.written:
		w.dropped = true
		return 0, http.ErrContentLength
	}
	if err := w.sender.err; err != nil {
		return 0, err
	}
	w.written += int64(len(p))
	w.take(p)
	if err := w.sender.err; err != nil {
		return 0, err
	}
	return len(p), nil
}

// take collects p, in pieces of collectSize.
func (w *responseWriter) take(p []byte) {
	s := w.sender
	if len(s.body)+len(p) <= collectSize {
		s.body = append(s.body, p...)
		return
	}
	if room := collectSize - len(s.body); room < collectSize {
		s.body = append(s.body, p[:room]...)
		p = p[room:]
		w.flushBody()
	}
	if len(p) < collectSize {
		s.body = append(s.body, p...)
	} else {
		w.piece(p)
	}
	s.arm()
}

// flushBody makes a piece of what was collected.
func (w *responseWriter) flushBody() {
	w.piece(w.sender.body)
	w.sender.body = w.sender.body[:0]
}

// piece puts a part of the body behind the head, as a chunk if the body is
// chunked, RFC 9112 §7.1. A head without a body may be all: then data is empty.
func (w *responseWriter) piece(data []byte) {
	s := w.sender
	if !w.committed {
		w.commit(data, false)
	}
	if len(data) == 0 || w.isHead {
		return
	}
	if !w.chunking {
		s.add(data)
		return
	}
	s.pending = strconv.AppendInt(s.pending, int64(len(data)), 16)
	s.pending = append(s.pending, lineEnd...)
	s.add(data)
	s.pending = append(s.pending, lineEnd...)
}

// Flush sends what was written.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError sends what was written, and waits until the kernel has taken it.
func (w *responseWriter) FlushError() error {
	if w.done.Load() {
		return ErrRequestDone
	}
	s := w.sender
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case w.done.Load():
		return ErrRequestDone
	case w.hijacked:
		return http.ErrHijacked
	}
	w.forgetContinue()
	if !w.wroteHeader {
		w.freeze(http.StatusOK)
	}
	w.flushBody()
	s.send(nil)
	return s.err
}

// SetReadDeadline bounds reads of the body. The zero time is none.
func (w *responseWriter) SetReadDeadline(deadline time.Time) error {
	c := &w.exchange.context
	return c.withLink(func(l link) {
		c.readDeadline = true
		l.setReadDeadline(deadline)
	})
}

// SetWriteDeadline bounds writes, and what the server writes after the handler
// has returned. The zero time is none.
func (w *responseWriter) SetWriteDeadline(deadline time.Time) error {
	c := &w.exchange.context
	return c.withLink(func(l link) {
		c.writeDeadline = true
		l.setWriteDeadline(deadline)
	})
}

// EnableFullDuplex leaves the request's body alone when the answer begins, for
// handlers that read and write by turns.
func (w *responseWriter) EnableFullDuplex() error {
	w.fullDuplex = true
	return nil
}

// CloseNotify returns a channel that gets one value if the client goes before the
// handler has returned. It is for old code: Request.Context tells the same.
func (w *responseWriter) CloseNotify() <-chan bool {
	if w.done.Load() {
		panic("net/http: CloseNotify called after ServeHTTP finished")
	}
	return w.exchange.context.closeNotify()
}

// Hijack hands the connection to the handler: a *net.TCPConn or *net.UnixConn
// without deadlines. The reader yields first what the client has sent and nobody
// has read: the rest of the body as it was received, and what follows. Chunks of
// a body that came whole are not among it; Request.Body still reads those.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.done.Load() {
		panic("net/http: Hijack called after ServeHTTP finished")
	}
	conn, buffered, err := w.hijack()
	if err == nil {
		w.handed.conn.hijacked()
	}
	return conn, buffered, err
}
