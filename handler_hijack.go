package kourier

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// hijackBufferSize is the least size of the buffers that a hijacker gets, in
// bytes; libraries reuse those of net/http, which are as large.
const hijackBufferSize = 4096

// hijack sends what the handler has written and takes the connection out of the core.
func (w *responseWriter) hijack() (net.Conn, *bufio.ReadWriter, error) {
	s := w.sender
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case w.done.Load(): // since Hijack has looked
		return nil, nil, ErrRequestDone
	case w.hijacked:
		return nil, nil, http.ErrHijacked
	}
	w.forgetContinue()
	if w.wroteHeader {
		w.flushBody()
	}
	s.send(nil)
	w.exchange.context.detach()
	body := w.exchange.body
	if body != nil {
		body.interrupt()
		defer body.mu.Unlock()
	}
	conn, rest, err := w.handed.link.hijack()
	if err != nil { // the connection is lost
		w.closing = true
		return nil, nil, err
	}
	w.hijacked = true
	w.engine.counters.hijacked.Add(1)
	unread := w.unread(rest)
	reader := bufio.NewReaderSize(&restReader{rest: unread, conn: conn}, max(hijackBufferSize, len(unread)))
	_, _ = reader.Peek(len(unread)) // fills the buffer, so that Buffered tells how much there is
	if body != nil {
		body.hijacked(reader)
	}
	return conn, bufio.NewReadWriter(reader, bufio.NewWriterSize(conn, hijackBufferSize)), nil
}

// unread returns all that was received behind what the handler has read: the
// rest of the body, the requests behind this one, and rest, which the core had.
func (w *responseWriter) unread(rest []byte) []byte {
	var all []byte
	if body := w.exchange.body; body != nil {
		all = append(all, body.unread()...)
	}
	if next := w.index + 1; next < len(w.handed.requests) {
		all = append(all, w.handed.requests[next].From(w.handed.block)...)
	}
	return append(all, rest...)
}

// A restReader reads rest and then conn.
type restReader struct {
	rest []byte
	conn net.Conn
}

func (r *restReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return r.conn.Read(p)
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// WriteTo lets a copy out of the buffered reader reach the connection itself.
func (r *restReader) WriteTo(to io.Writer) (int64, error) {
	n, err := to.Write(r.rest)
	r.rest = r.rest[n:]
	if err != nil {
		return int64(n), err
	}
	copied, err := io.Copy(to, r.conn)
	return int64(n) + copied, err
}
