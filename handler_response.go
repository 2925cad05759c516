package kourier

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/kourier-go/kourier/internal/abi"
)

// A responseWriter is the http.ResponseWriter of one request. It has every
// optional method that the one of net/http's server has, so that middleware finds
// them. It is used for one request only: kept by a handler, it fails harmlessly.
type responseWriter struct {
	exchange *exchange
	number   uint64      // of the answer, among those of the sender
	header   http.Header // the handler's; nil until it asks
	touched  bool        // the handler had the header since the answer froze it
}

var (
	_ http.Flusher       = (*responseWriter)(nil)
	_ http.Hijacker      = (*responseWriter)(nil)
	_ http.CloseNotifier = (*responseWriter)(nil) //nolint:staticcheck // deprecated, and still used
	_ io.ReaderFrom      = (*responseWriter)(nil)
	_ io.StringWriter    = (*responseWriter)(nil)
)

// lock locks the sender's mu and returns the answer. If the handler has returned it
// returns nil, and locks nothing.
func (w *responseWriter) lock() *answer {
	if w.over() {
		return nil
	}
	s := w.sender()
	s.mu.Lock()
	if w.over() {
		s.mu.Unlock()
		return nil
	}
	return &s.answer
}

// over reports whether the handler has returned. It takes no lock, which another
// connection may hold by then.
func (w *responseWriter) over() bool { return w.sender().number.Load() != w.number }

// sender returns who sends the answer, and others when the handler has returned.
func (w *responseWriter) sender() *sender { return w.exchange.context.scope.sender }

// Header returns the header, for the handler to change until WriteHeader.
func (w *responseWriter) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	w.touched = true
	return w.header
}

// WriteHeader freezes status and header. Interim statuses, 100 to 199 but 101, go
// out at once, and the header stays open. It panics if code has not three digits.
func (w *responseWriter) WriteHeader(code int) {
	a := w.lock()
	if a == nil {
		return
	}
	e, mu := a.engine, &a.sender.mu
	switch {
	case a.hijacked:
		mu.Unlock()
		e.complain("http: response.WriteHeader on hijacked connection from %s (%s:%d)")
	case a.wroteHeader:
		mu.Unlock()
		e.complain("http: superfluous response.WriteHeader call from %s (%s:%d)")
	case code < 100 || code > 999:
		mu.Unlock()
		panic(fmt.Sprintf("invalid WriteHeader code %v", code))
	default:
		defer mu.Unlock()
		a.writeHeader(code)
	}
}

// complain logs what a handler did wrong, and where.
func (e *handlerEngine) complain(format string) {
	frame := handlerFrame()
	e.logf(format, frame.Function, path.Base(frame.File), frame.Line)
}

// handlerFrame returns the innermost frame that called complain and belongs to none of
// the types that answer, nor to net/http.
func handlerFrame() runtime.Frame {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		frame, more := frames.Next()
		if !more || !strings.Contains(frame.Function, "kourier.(*responseWriter).") &&
			!strings.Contains(frame.Function, "kourier.(*answer).") && !strings.HasPrefix(frame.Function, "net/http.") {
			return frame
		}
	}
}

// Write adds p to the body. Up to 2048 bytes are collected before the head goes
// out, and then for each chunk. The error is [http.ErrBodyNotAllowed] if the
// status allows no body, [http.ErrContentLength] if p does not fit into the
// Content-Length that the handler has set, [http.ErrHijacked] after Hijack,
// [ErrRequestDone] after the handler has returned, or that of the connection.
func (w *responseWriter) Write(p []byte) (int, error) {
	a := w.lock()
	if a == nil {
		return 0, ErrRequestDone
	}
	defer a.sender.mu.Unlock()
	return a.write(p)
}

// WriteString is Write for a string. It makes no copy of text.
func (w *responseWriter) WriteString(text string) (int, error) {
	return w.Write(abi.StringBytes(text))
}

// Flush sends what was written.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError sends what was written, and waits until the kernel has taken it.
func (w *responseWriter) FlushError() error {
	a := w.lock()
	if a == nil {
		return ErrRequestDone
	}
	defer a.sender.mu.Unlock()
	return a.flush()
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
	a := w.lock()
	if a == nil {
		return ErrRequestDone
	}
	defer a.sender.mu.Unlock()
	a.fullDuplex = true
	return nil
}

// CloseNotify returns a channel that gets one value if the client goes before the
// handler has returned. It is for old code: Request.Context tells the same.
func (w *responseWriter) CloseNotify() <-chan bool {
	if w.over() {
		panic("net/http: CloseNotify called after ServeHTTP finished")
	}
	return w.exchange.context.closeNotify()
}

// Hijack hands the connection to the handler: a *net.TCPConn or *net.UnixConn
// without deadlines. The reader yields first what the client has sent and nobody
// has read: the rest of the body as it was received, and what follows. Chunks of
// a body that came whole are not among it; Request.Body still reads those.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.over() {
		panic("net/http: Hijack called after ServeHTTP finished")
	}
	a := w.lock()
	if a == nil { // since then
		return nil, nil, ErrRequestDone
	}
	tracked := a.handed.conn
	conn, buffered, err := a.hijack()
	if err == nil {
		tracked.hijacked()
	}
	return conn, buffered, err
}
