package kourier

import (
	"context"
	"net/http"
	"strconv"

	"github.com/kourier-go/kourier/internal/abi"
)

// An answer is the answer in progress of a sender, whose mu guards it: what its
// responseWriter has been told, and what follows from it. Handlers do not see it, so
// that the next request has the same memory, which is in the cache. What stands above
// answerState only the goroutine that serves the link changes, before the handler has the
// writer and when the link is given back, so that this goroutine reads it without mu.
type answer struct {
	sender   *sender
	engine   *handlerEngine
	handed   *handed
	index    int // of the request, among those of handed
	exchange *exchange
	body     *requestBody // nil: there is none
	answerState
}

// An answerState is what begins anew with each request.
type answerState struct {
	status   int
	declared int64 // Content-Length as set by the handler; -1: not set
	written  int64 // bytes of the body that the handler has given, as far as they fit

	isHead, isConnect, http10 bool
	expected                  bool // the client waited for 100 Continue at the start
	wroteHeader               bool // status and fields are frozen
	frozenSize                int  // of the header then
	committed                 bool // the head is on its way
	chunking                  bool
	closing                   bool // the connection closes after this answer
	dropped                   bool // more was written than was declared
	fullDuplex                bool
	hijacked                  bool
	frozen                    frozenHeader
}

// begin makes the answer in progress that of x, the request of h that stands at index,
// and x.writer its writer. No handler has that yet, so that s.mu need not be held.
func (s *sender) begin(e *handlerEngine, h *handed, index int, x *exchange, body *requestBody) {
	raw := &h.requests[index]
	x.writer.exchange, x.writer.number = x, s.number.Load()
	a := &s.answer
	a.engine, a.handed, a.index, a.exchange, a.body = e, h, index, x, body
	a.answerState = answerState{
		declared:  -1,
		isHead:    raw.Method == abi.MethodHead,
		isConnect: raw.Method == abi.MethodConnect,
		http10:    raw.Flags&abi.RequestHTTP10 != 0,
		closing:   raw.Flags&abi.RequestKeepAlive == 0 || raw.Flags&abi.RequestPreface != 0,
		expected:  body != nil && body.awaited.Load(),
	}
}

// writeHeader is WriteHeader, with a code that it can have.
func (a *answer) writeHeader(code int) {
	if code == http.StatusContinue || code >= 200 {
		a.body.forgetContinue()
	}
	if code < 200 && code != http.StatusSwitchingProtocols {
		a.interim(code)
		return
	}
	a.freeze(code)
}

// write is Write; sender.mu is held.
func (a *answer) write(p []byte) (int, error) {
	if a.hijacked {
		if len(p) > 0 {
			a.engine.complain("http: response.Write on hijacked connection from %s (%s:%d)")
		}
		return 0, http.ErrHijacked
	}
	a.implyHeader()
	switch {
	case len(p) == 0:
		return 0, nil
	case !bodyAllowed(a.status):
		return 0, http.ErrBodyNotAllowed
	case a.declared >= 0 && int64(len(p)) > a.declared-a.written:
		a.dropped = true
		return 0, http.ErrContentLength
	}
	if err := a.failed(); err != nil {
		return 0, err
	}
	a.written += int64(len(p))
	a.take(p)
	if err := a.failed(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// failed returns why nothing can be sent any more, nil if it can. Others who work on the
// answer learn of it by the end of the context.
func (a *answer) failed() error {
	err := a.sender.err
	if err != nil {
		a.exchange.context.cancel(context.Canceled)
	}
	return err
}

// implyHeader is for who writes, or returns, without a WriteHeader before, which means 200.
func (a *answer) implyHeader() {
	a.body.forgetContinue()
	if !a.wroteHeader {
		a.freeze(http.StatusOK)
	}
}

// take collects p, in pieces of collectSize.
func (a *answer) take(p []byte) {
	s := a.sender
	if len(s.body)+len(p) <= collectSize {
		s.body = append(s.body, p...)
		return
	}
	if room := collectSize - len(s.body); room < collectSize {
		s.body = append(s.body, p[:room]...)
		p = p[room:]
		a.flushBody()
	}
	if len(p) < collectSize {
		s.body = append(s.body, p...)
	} else {
		a.piece(p)
	}
	s.arm()
}

// flushBody makes a piece of what was collected.
func (a *answer) flushBody() {
	a.piece(a.sender.body)
	a.sender.body = a.sender.body[:0]
}

// piece puts a part of the body behind the head, as a chunk if the body is
// chunked, RFC 9112 §7.1. A head without a body may be all: then data is empty.
func (a *answer) piece(data []byte) {
	s := a.sender
	if !a.committed {
		a.commit(data, false)
	}
	if len(data) == 0 || a.isHead {
		return
	}
	if !a.chunking {
		s.add(data)
		return
	}
	s.pending = strconv.AppendInt(s.pending, int64(len(data)), 16)
	s.pending = append(s.pending, lineEnd...)
	s.add(data)
	s.pending = append(s.pending, lineEnd...)
}

// interim sends an interim answer, RFC 9110 §15.2: not to clients of HTTP/1.0,
// which know of none.
func (a *answer) interim(code int) {
	if a.http10 {
		return
	}
	a.engine.counters.responses.count(code)
	s := a.sender
	s.fields = appendStatusLine(s.fields[:0], code)
	s.appendFields(s.list(a.exchange.writer.header), func(name string) bool { return name == "Content-Length" || name == "Transfer-Encoding" })
	s.fields = append(s.fields, lineEnd...)
	s.add(s.fields)
	s.send(nil)
}

// flush sends what was written.
func (a *answer) flush() error {
	if a.hijacked {
		return http.ErrHijacked
	}
	a.implyHeader()
	a.flushBody()
	a.sender.send(nil)
	return a.failed()
}

// makeWay reads what is left of the request's body before the answer begins,
// because many clients read nothing until they have sent everything. Where that
// is too much, the connection closes.
func (a *answer) makeWay() {
	body := a.body
	if body == nil || body.link == nil || a.closing {
		return
	}
	if a.expected && !body.atEnd() {
		// Whether the client is going to send the body after all is its choice.
		a.closing = true
		return
	}
	if a.fullDuplex || body.atEnd() {
		return
	}
	if len(a.sender.pending) > 0 {
		a.sender.send(nil) // earlier answers do not wait for this body
	}
	a.closing = !body.drain(a.engine.drainMax)
}

// end takes context, body and writer away from a handler that is over. clean is as for
// requestBody.settle. It locks sender.mu.
func (a *answer) end() (clean bool) {
	if a.body != nil {
		_ = a.body.Close() // who waits for the end of the context finds it closed
	}
	a.exchange.context.end()
	clean = a.body.settle()
	a.sender.mu.Lock()
	a.body.forgetContinue()
	a.sender.number.Add(1)
	return clean
}

// finish completes the answer when the handler has returned. It reports whether
// the connection can have another one.
func (a *answer) finish() (keep bool) {
	clean := a.end()
	s, body := a.sender, a.body
	defer s.mu.Unlock()
	if a.hijacked {
		return false
	}
	a.closing = a.closing || !clean
	a.implyHeader()
	if a.mayHaveTrailers() && !a.committed {
		a.frozen.trailers = a.frozen.trailers || a.hasPrefixedTrailers()
	}
	if !a.committed {
		a.commit(s.body, true)
	}
	a.flushBody()
	if a.chunking {
		a.endChunks()
	}
	if body != nil && body.link != nil && !a.closing && !body.atEnd() { // the answer has begun before the body was read
		s.send(nil)
		a.closing = !body.drain(a.engine.drainMax)
	}
	if a.declared >= 0 && a.declared != a.written || a.dropped { // the client would wait, or misses something
		a.closing = a.closing || !a.isHead && bodyAllowed(a.status)
	}
	s.next(a.index+1 < len(a.handed.requests))
	return !a.closing && s.err == nil
}

// abandon takes back what has not left of the answer. how is ReleaseClose where
// nothing has, but earlier answers: a reset could take those from the client.
func (a *answer) abandon() (hijacked bool, how uint32) {
	_ = a.end()
	s := a.sender
	defer s.mu.Unlock()
	if a.hijacked {
		return true, abi.ReleaseAbort
	}
	if s.cut() && a.index > 0 {
		return false, abi.ReleaseClose
	}
	return false, abi.ReleaseAbort
}
