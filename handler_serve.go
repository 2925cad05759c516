package kourier

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kourier-go/kourier/internal/abi"
)

// A handed is what a goroutine is given: a link, and requests of it in order.
// Base, Fields and Body of each request point into Go memory, which is never
// written to again, so that the strings made of it are valid for ever.
type handed struct {
	link     link
	base     context.Context // parent of the contexts
	block    []byte          // the bytes of all the requests, as received, and no more: the link has what follows
	requests []abi.Request   // only the last can have abi.RequestBodyOpen
	several  *several        // whose memory requests is; nil if there is but one
	fields   []abi.Field
	scope    scope        // without a parent until there is a request for the handler
	remote   string       // once somebody has asked for remoteAddr
	text     string       // of the head before, as it was handed out
	conn     *trackedConn // nil unless ConnState or ConnContext is set
}

// several is memory for requests that came together. No handler sees it, so that it is
// used again when they are answered.
type several struct{ requests []abi.Request }

var severalRequests = sync.Pool{New: func() any { return new(several) }}

// free gives back what is of no use when all requests are answered. What a handler has
// kept may hold h itself, by its scope.
func (h *handed) free() {
	clear(h.requests) // which may be part of what h is, or of what is used again
	if h.several != nil {
		h.several.requests = h.requests[:0]
		severalRequests.Put(h.several)
	}
	h.requests, h.several, h.block, h.fields = nil, nil, nil, nil
}

// A handlerEngine has requests answered by an http.Handler on goroutines. Its
// fields but the last ones are set before the first request and not changed.
type handlerEngine struct {
	handler          http.Handler // nil: http.DefaultServeMux
	noGeneralOptions bool         // OPTIONS * is for the handler too

	// fast sees the requests that came behind one which it has passed. nil: none.
	fast    FastHandler
	fastLog logFunc

	server *http.Server // the value of http.ServerContextKey

	readTimeout  time.Duration // first byte to end of body; 0: none
	writeTimeout time.Duration // begin of the handler to end of the answer; 0: none
	drainMax     int64         // bytes of a body that are read because nobody else has
	maxBodyBytes int64         // the core's limit, for errors that tell it

	closing    func() bool // the server shuts down
	keepAlives func() bool // connections may persist
	closeIdle  func()      // closes those on which nothing happens
	logf       func(format string, args ...any)
	logPanic   func(remote string, value any, stack []byte)

	dates    *dateCache
	pools    []goroutinePool // by worker
	counters handlerCounters
}

// handlerCounters count what goroutines do; any of them may be read at any time.
type handlerCounters struct {
	running   atomic.Int64  // goroutines that have requests
	hijacked  atomic.Uint64 // connections
	responses answerCounters
}

// stackSizeMax bounds the stack that is logged of a handler that panicked, in bytes.
const stackSizeMax = 64 << 10

// serve answers the requests of h in order on the calling goroutine, and
// releases the link, or leaves it to who has hijacked it. Nothing that a handler
// does leaves it but runtime.Goexit.
func (e *handlerEngine) serve(h *handed) {
	e.counters.running.Add(1)
	s := newSender(h.link)
	served := outcome{how: abi.ReleaseAbort} // what stands if a handler ends the goroutine
	defer func() {
		defer s.free()
		h.free()
		e.counters.running.Add(-1)
		if !served.hijacked {
			e.release(s, h, served.how)
		}
	}()
	h.conn.active()
	for i := range h.requests {
		served = outcome{how: abi.ReleaseAbort}
		e.serveOne(s, h, i, &served)
		if served.how != abi.ReleaseKeep || served.hijacked {
			return
		}
	}
}

// An outcome says what becomes of the link after a request.
type outcome struct {
	hijacked bool
	how      uint32 // abi.Release*
}

// release sends what is left and gives the link back.
func (e *handlerEngine) release(s *sender, h *handed, how uint32) {
	// Before the client has the answer: what it does then, ending the server perhaps,
	// comes after the connection has become idle.
	if how == abi.ReleaseKeep && (e.closing() || !e.keepAlives()) {
		how = abi.ReleaseClose
	}
	s.mu.Lock()
	s.send(nil)
	if s.err != nil {
		how = abi.ReleaseReset // a peer that does not read needs nothing more
	}
	s.mu.Unlock()
	defer func() { // ConnState may end the goroutine
		h.link.release(how)
		if how == abi.ReleaseKeep && !e.keepAlives() { // since the look at it
			e.closeIdle()
		}
		h.conn.released()
	}()
	if how == abi.ReleaseKeep {
		h.conn.idle()
	}
}

// serveOne has the request of h at index answered.
func (e *handlerEngine) serveOne(s *sender, h *handed, index int, served *outcome) {
	raw := &h.requests[index]
	if index > 0 && e.fast != nil && raw.Flags&(abi.RequestBodyOpen|abi.RequestPreface) == 0 && s.serveFast(e, h, index, served) {
		return
	}
	var x *exchange
	returned := false
	defer func() {
		if !returned {
			e.abandon(s, h, x, recover(), served)
		}
	}()
	x = e.newExchange(s, h, index)
	e.setDeadlines(h, s.answer.body)
	e.call(x)
	keep := s.answer.finish()
	returned = true
	served.hijacked = s.answer.hijacked
	served.how = abi.ReleaseClose
	if keep && e.resetDeadlines(s, h, x) {
		served.how = abi.ReleaseKeep
	}
	if form := x.request.MultipartForm; form != nil {
		_ = form.RemoveAll() // temporary files that are left are the system's to remove
	}
}

// call calls the handler.
func (e *handlerEngine) call(x *exchange) {
	handler := e.handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	r := &x.request
	if !e.noGeneralOptions && r.Method == http.MethodOptions && r.RequestURI == "*" {
		handler = http.HandlerFunc(generalOptions)
	}
	handler.ServeHTTP(&x.writer, r)
}

// generalOptions answers OPTIONS * for the server as a whole, RFC 9110 §9.3.7.
func generalOptions(w http.ResponseWriter, r *http.Request) {
	const bodySizeMax = 4 << 10 // larger than anything that anybody has defined
	w.Header().Set("Content-Length", "0")
	if r.ContentLength != 0 {
		_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, bodySizeMax))
		if err != nil {
			w.Header().Set("Connection", "close")
		}
	}
}

// setDeadlines begins the times of Server.ReadTimeout and Server.WriteTimeout.
func (e *handlerEngine) setDeadlines(h *handed, body *requestBody) {
	if e.writeTimeout > 0 {
		h.link.setWriteDeadline(time.Now().Add(e.writeTimeout))
	}
	if e.readTimeout > 0 && body != nil && body.link != nil {
		h.link.setReadDeadline(time.Now().Add(e.readTimeout - h.link.age()))
	}
}

// resetDeadlines takes back what the handler of x has set, after what it has
// written is sent. It reports whether that was sent.
func (e *handlerEngine) resetDeadlines(s *sender, h *handed, x *exchange) bool {
	c := &x.context // its handler has returned: nobody changes it
	if !c.readDeadline && !c.writeDeadline {
		return true
	}
	s.mu.Lock()
	s.send(nil)
	sent := s.err == nil
	s.mu.Unlock()
	if c.readDeadline {
		h.link.setReadDeadline(time.Time{})
	}
	if c.writeDeadline {
		h.link.setWriteDeadline(time.Time{})
	}
	return sent
}

// abandon ends a request whose handler has not returned: it has panicked, or
// value is nil and the goroutine ends. Nothing more of its answer is sent. x is
// nil if the panic was that of ConnContext.
func (e *handlerEngine) abandon(s *sender, h *handed, x *exchange, value any, served *outcome) {
	if x != nil {
		served.hijacked, served.how = s.answer.abandon()
	}
	if value != nil && value != http.ErrAbortHandler { //nolint:errorlint // as net/http does: errors.Is would run code of the value's
		remote := ""
		if x != nil {
			remote = x.request.RemoteAddr
		} else {
			remote = h.remoteAddr()
		}
		reportPanic(e.logPanic, remote, value)
	}
}

// reportPanic calls log, which is the user's in the end, with the caller's stack.
func reportPanic(log func(remote string, value any, stack []byte), remote string, value any) {
	defer func() { _ = recover() }()
	stack := make([]byte, stackSizeMax)
	log(remote, value, stack[:runtime.Stack(stack, false)])
}
