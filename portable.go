package kourier

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// A portable is the portable engine: the handlers of a Server on net/http.
type portable struct {
	server  *Server
	http    http.Server
	main    *boundListener // the first of the server, whatever engine serves it
	fast    FastHandler    // nil: none
	handler http.Handler   // answers what fast does not; nil: 404
	limits  settings
	calls   sync.Pool // of *fastCall

	handoff     handoff
	handoffOnce sync.Once

	accepted  atomic.Uint64
	requests  atomic.Uint64
	responses answerCounters
	dates     *dateCache // of the native engine too

	mu       sync.Mutex
	conns    map[net.Conn]http.ConnState
	refusals map[Reason]uint64
	timeouts map[Reason]uint64
}

// newPortable reads the fields of s. s.settings is resolved, s.mu is held.
func newPortable(s *Server, main *boundListener) *portable {
	p := &portable{
		server:   s,
		main:     main,
		fast:     s.Fast,
		handler:  s.handler(),
		limits:   s.settings,
		handoff:  handoff{conns: make(chan net.Conn), closed: make(chan struct{})},
		conns:    map[net.Conn]http.ConnState{},
		refusals: map[Reason]uint64{},
		timeouts: map[Reason]uint64{},
		dates:    newDateCache(),
	}
	p.calls.New = func() any { return newFastCall(p) }
	p.http = http.Server{
		Addr:                         s.Addr,
		Handler:                      http.HandlerFunc(p.serveHTTP),
		DisableGeneralOptionsHandler: true, // Fast comes first; serveRest does the same
		TLSConfig:                    s.TLSConfig,
		ReadTimeout:                  s.ReadTimeout,
		ReadHeaderTimeout:            shorter(defaulted(s.ReadHeaderTimeout, defaultReadHeaderTimeout), s.ReadTimeout),
		WriteTimeout:                 s.WriteTimeout,
		IdleTimeout:                  defaulted(s.IdleTimeout, shorter(defaultIdleTimeout, s.ReadTimeout)),
		MaxHeaderBytes:               int(s.settings.headSizeMax),
		TLSNextProto:                 s.TLSNextProto,
		ConnState:                    p.connState,
		ErrorLog:                     s.netHTTPLog(),
		BaseContext:                  p.baseContext,
		ConnContext:                  p.connContext,
		HTTP2:                        s.HTTP2,
		Protocols:                    s.Protocols,
	}
	p.http.SetKeepAlivesEnabled(!s.keepAlivesOff.Load())
	return p
}

// defaulted returns a timeout in net/http's terms: negative for none, but never
// zero, which stands for another timeout there.
func defaulted(timeout, unset time.Duration) time.Duration {
	if timeout == 0 {
		return unset
	}
	return timeout
}

// shorter returns the shorter of two timeouts; one that is not positive is none.
func shorter(a, b time.Duration) time.Duration {
	if b > 0 && (a <= 0 || b < a) {
		return b
	}
	return a
}

// serve accepts from l until it fails or the server ends.
func (p *portable) serve(l *boundListener, secure *keyPair) error {
	if secure != nil {
		return p.http.ServeTLS(l, secure.certFile, secure.keyFile)
	}
	return p.http.Serve(l)
}

// serveConn takes a connection over from the core, with the parent of its context
// and the bytes that were received of it and not used. It returns at once, and owns
// conn from then on.
func (p *portable) serveConn(conn net.Conn, base context.Context, unread []byte) {
	p.handoffOnce.Do(func() {
		go func() { _ = p.http.Serve(&p.handoff) }() // ends when the server does
	})
	select {
	case p.handoff.conns <- &handedConn{Conn: conn, base: base, unread: unread}:
	case <-p.handoff.closed:
		_ = conn.Close() // the server ends
	}
}

// A handoff is the listener that serveConn's connections come from.
type handoff struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handoff) Addr() net.Addr { return handoffAddr{} }

type handoffAddr struct{}

func (handoffAddr) Network() string { return "handoff" }
func (handoffAddr) String() string  { return "handoff" }

// A handedConn is a connection of which some bytes were received before.
type handedConn struct {
	net.Conn
	base   context.Context // in place of that of the listener, which all of them have
	unread []byte
}

func (c *handedConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// original returns the connection as the user's functions know it.
func original(c net.Conn) net.Conn {
	if handed, ok := c.(*handedConn); ok {
		return handed.Conn
	}
	return c
}

func (p *portable) baseContext(l net.Listener) context.Context {
	if p.server.BaseContext == nil {
		return context.Background()
	}
	switch own := l.(type) {
	case *boundListener:
		l = own.Listener
	case *handoff:
		return context.Background() // connContext knows that of each connection
	}
	return p.server.BaseContext(l)
}

func (p *portable) connContext(ctx context.Context, c net.Conn) context.Context {
	if handed, ok := c.(*handedConn); ok {
		ctx = context.WithValue(handed.base, http.ServerContextKey, &p.http)
	}
	if p.server.ConnContext == nil {
		return ctx
	}
	return p.server.ConnContext(ctx, original(c))
}

func (p *portable) connState(c net.Conn, state http.ConnState) {
	conn := original(c)
	p.countConn(conn, state)
	_, handed := c.(*handedConn)
	known := handed && state == http.StateNew // the core has told of it
	if p.server.ConnState != nil && !known {
		p.server.ConnState(conn, state)
	}
}

func (p *portable) countConn(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		p.accepted.Add(1)
	}
	if !reflect.ValueOf(c).Comparable() {
		return // no key for a map
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch state {
	case http.StateHijacked, http.StateClosed:
		delete(p.conns, c)
	default:
		p.conns[c] = state
	}
}

// addStats adds the counters of this engine to those of the core.
func (p *portable) addStats(s *Stats) {
	s.Accepted += p.accepted.Load()
	s.Requests += p.requests.Load()
	p.responses.addTo(s)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, state := range p.conns {
		if state == http.StateActive {
			s.ConnsActive++
		} else {
			s.ConnsIdle++
		}
	}
	for reason, count := range p.refusals {
		s.ParseErrors[reason] += count
	}
	for reason, count := range p.timeouts {
		s.Timeouts[reason] += count
	}
}

// serveHTTP answers a request with what the server has for it: a refusal, a
// static answer, Fast, Handler.
func (p *portable) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if why := p.refusal(w, r); why != nil {
		p.refuse(w, r, why)
		return
	}
	if route := p.findStatic(r); route != nil {
		p.requests.Add(1)
		p.answerStatic(w, r, route)
		return
	}
	if p.fast == nil {
		p.requests.Add(1)
	} else if p.answerFast(w, r) {
		return
	}
	p.serveRest(w, r)
}

// serveRest has the Handler answer.
func (p *portable) serveRest(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions && r.RequestURI == "*" && !p.server.DisableGeneralOptionsHandler {
		generalOptions(w, r)
		return
	}
	p.server.serveHandler(w, r)
}

// A refusedRequest says how a request is refused: in the words of the core, but for
// the status line, which is net/http's.
type refusedRequest struct {
	code    int
	reason  Reason
	text    string
	timeout bool
}

var (
	targetTooLong = &refusedRequest{code: 414, reason: ReasonTargetTooLong, text: "414 URI Too Long\n"}
	tooManyFields = &refusedRequest{code: 431, reason: ReasonTooManyFields, text: "431 Request Header Fields Too Large: too many header fields\n"}
	bodyTooLarge  = &refusedRequest{code: 413, reason: ReasonBodyTooLarge, text: "413 Content Too Large\n"}
	badChunk      = &refusedRequest{code: 400, reason: ReasonBadChunk, text: "400 Bad Request: malformed chunked body\n"}
	bodyTimeout   = &refusedRequest{code: 408, reason: ReasonBodyTimeout, text: "408 Request Timeout\n", timeout: true}
)

// refusal holds r against the limits that net/http does not know. It returns nil
// if all are kept, and then sees to it that the body keeps them too.
func (p *portable) refusal(w http.ResponseWriter, r *http.Request) *refusedRequest {
	bodyMax := int64(p.limits.bodySizeMax)
	switch {
	case len(r.RequestURI) > int(p.limits.targetSizeMax):
		return targetTooLong
	case fieldCount(r) > int(p.limits.fieldCountMax):
		return tooManyFields
	case r.ContentLength > bodyMax:
		return bodyTooLarge
	}
	if p.handler != nil && bodyMax != noBodyLimit && r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
	}
	return nil
}

// fieldCount returns how many fields the head of r had.
func fieldCount(r *http.Request) int {
	count := len(r.TransferEncoding)
	if r.Host != "" {
		count++
	}
	for _, values := range r.Header {
		count += len(values)
	}
	return count
}

func (p *portable) refuse(w http.ResponseWriter, r *http.Request, why *refusedRequest) {
	p.mu.Lock()
	if why.timeout {
		p.timeouts[why.reason]++
	} else {
		p.refusals[why.reason]++
	}
	p.mu.Unlock()
	p.responses.count(why.code)
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(why.code)
	_, _ = io.WriteString(w, why.text)             // a client that has gone needs no reason
	remote, _ := netip.ParseAddrPort(r.RemoteAddr) // invalid for a Unix socket
	line := r.Method + " " + r.RequestURI + " " + r.Proto
	p.server.event(Event{Reason: why.reason, Status: why.code, Remote: remote, Detail: quoteLine([]byte(line))})
}
