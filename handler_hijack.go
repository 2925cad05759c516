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
// It unlocks sender.mu.
func (a *answer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	s := a.sender
	defer s.mu.Unlock()
	if a.hijacked {
		return nil, nil, http.ErrHijacked
	}
	a.body.forgetContinue()
	if a.wroteHeader {
		a.flushBody()
	}
	s.send(nil)
	a.exchange.context.detach()
	body := a.body
	if body != nil {
		body.interrupt()
		defer body.mu.Unlock()
	}
	conn, rest, err := a.handed.link.hijack()
	if err != nil { // the connection is lost
		a.closing = true
		return nil, nil, err
	}
	a.hijacked = true
	a.engine.counters.hijacked.Add(1)
	unread := a.unread(rest)
	reader := bufio.NewReaderSize(&restReader{rest: unread, conn: conn}, max(hijackBufferSize, len(unread)))
	_, _ = reader.Peek(len(unread)) // fills the buffer, so that Buffered tells how much there is
	if body != nil {
		body.hijacked(reader)
	}
	return conn, bufio.NewReadWriter(reader, bufio.NewWriterSize(conn, hijackBufferSize)), nil
}

// unread returns all that was received behind what the handler has read: the
// rest of the body, the requests behind this one, and rest, which the core had.
func (a *answer) unread(rest []byte) []byte {
	var all []byte
	if body := a.body; body != nil {
		all = append(all, body.unread()...)
	}
	if next := a.index + 1; next < len(a.handed.requests) {
		all = append(all, a.handed.requests[next].From(a.handed.block)...)
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
