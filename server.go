package kourier

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A Server serves HTTP. It has every exported field and method of [http.Server],
// with the same name, type and meaning; where a default differs, the field says
// so. Its fields are read when it starts, which the first of its Listen and Serve
// methods does; changes after that have no effect, but for Handler. The zero value
// is safe for a server that faces the public. A Server must not be copied, and
// cannot be used again after Shutdown or Close.
//
// Two engines serve, behind one Server: the native core, and package net/http
// with the same answers, the portable engine. The latter serves TLS, listeners
// that are not sockets, and everything where the core is not built in: off Linux,
// with CGO_ENABLED=0 and with -tags kourier_portable. KOURIER_REQUIRE_NATIVE=1 in
// the environment makes that an error, [ErrNativeRequired], for all but TLS.
// docs/internals.md lists how the engines differ.
type Server struct {
	// Addr is the TCP address for ListenAndServe and ListenAndServeTLS,
	// "host:port". Default ":http" and ":https".
	Addr string

	// Handler answers, on goroutines, the requests that Fast has not answered. A
	// goroutine serves other connections after one: what a handler does to it, and
	// leaves so (runtime.LockOSThread, profiler labels), the next ones find. Default [http.DefaultServeMux] if Fast is nil too. If Fast
	// is set, what it passes without a Handler is answered 404. One Handler may be
	// replaced by another between two requests, as in net/http.
	Handler http.Handler

	// DisableGeneralOptionsHandler gives "OPTIONS *" requests to Handler. Default:
	// those that would come to Handler are answered 200 without a body.
	DisableGeneralOptionsHandler bool

	// TLSConfig is what ServeTLS and ListenAndServeTLS use, a clone of it. Default
	// the zero tls.Config, with which certificates must be named by files.
	TLSConfig *tls.Config

	// ReadTimeout bounds the time from the first byte of a request to the end of
	// its body. Then the answer is 408, or, while a Handler reads the body, the read
	// fails with an error that wraps [os.ErrDeadlineExceeded]. Default none.
	ReadTimeout time.Duration

	// ReadHeaderTimeout bounds the time from the first byte of a request to the
	// end of its head; 408 then. Default 30 s (net/http: none); negative for none.
	ReadHeaderTimeout time.Duration

	// WriteTimeout bounds how long an answer may wait for the client to read; the
	// connection is closed then. On the portable engine, and for a Handler, it is
	// the time from the end of the head to the end of the answer. Default none;
	// Config.MinDrainRate guards against clients that do not read.
	WriteTimeout time.Duration

	// IdleTimeout bounds the time without a byte of a request, also before the
	// first one; the connection is closed silently then. Default 120 s (net/http:
	// none), or ReadTimeout if that is set and shorter; negative for none.
	IdleTimeout time.Duration

	// MaxHeaderBytes bounds request line and header fields together, in bytes;
	// 431 beyond it. Default 32 KiB (net/http: 1 MiB).
	MaxHeaderBytes int

	// MaxHeaderValueCount bounds the number of header fields; 431 beyond it.
	// Default 128.
	MaxHeaderValueCount int

	// TLSNextProto holds what takes over a TLS connection for which its key was
	// negotiated (ALPN). Default: HTTP/2 is served, unless Protocols forbids it.
	TLSNextProto map[string]func(*http.Server, *tls.Conn, http.Handler)

	// ConnState is called when a connection changes its state: to StateActive before
	// Handler gets the request, and beside what Fast or Static answer and what is
	// refused. Of the native core's connections it gets a value that has the addresses
	// and can be closed; until Hijack input and output are the server's. Default:
	// nothing is.
	ConnState func(net.Conn, http.ConnState)

	// ErrorLog receives what handlers do wrong, and failing connections, in
	// net/http's words. Default: the standard logger of package log.
	ErrorLog *log.Logger

	// BaseContext returns the context that those of the requests of a listener
	// derive from; it must not be nil. It is called once for each listener, before
	// anything is accepted from it; 256 of the native core can have one. Default
	// [context.Background].
	BaseContext func(net.Listener) context.Context

	// ConnContext changes the context for a connection. ctx derives from that of
	// BaseContext and has [http.ServerContextKey]; c is as for ConnState. Default: ctx
	// is used.
	ConnContext func(ctx context.Context, c net.Conn) context.Context

	// HTTP2 configures HTTP/2 connections. Default net/http's.
	HTTP2 *http.HTTP2Config

	// Protocols are what the server speaks. Default HTTP/1, and over TLS HTTP/2
	// too unless TLSNextProto is set without it.
	Protocols *http.Protocols

	// Fast, if set, sees every request first, on the native thread that parsed it;
	// behind a request that it has passed, and on the portable engine, on a
	// goroutine. It must not block. Default: all requests go to Handler.
	Fast FastHandler

	// Logger receives what ErrorLog would, as structured records; it wins over ErrorLog.
	Logger *slog.Logger

	// OnEvent receives what never reaches a handler: requests that were refused, and
	// connections that took too long. The portable engine tells of failed TLS
	// handshakes and of the requests that this package, not net/http, refuses. It is
	// called concurrently, on native threads too, and must not block; a panic in it
	// is logged. Default: nothing is told; Stats counts.
	OnEvent func(Event)

	// Config holds what net/http has no setting for.
	Config Config

	mu         sync.Mutex
	phase      serverPhase
	statics    []staticRoute
	settings   settings
	listeners  map[*boundListener]struct{}
	onShutdown []func()
	bases      baseContexts  // of the listeners that the core accepts from
	closing    chan struct{} // closed when Shutdown or Close begins; nil before the start

	// keepAlivesOff is what SetKeepAlivesEnabled was told, reversed.
	keepAlivesOff atomic.Bool

	// portable is set at the start, also if the core serves all listeners.
	portable atomic.Pointer[portable]

	// running guards the core's life: held for reading while the core is used,
	// and for writing when its start is told and when its end begins. It may be
	// locked while mu is, never the other way round.
	running  sync.RWMutex
	core     *core         // nil before its start and after its end
	links    *linkTable    // of core
	stopping bool          // the end of core has begun: only onWorker may be asked
	stopped  chan struct{} // closed when core is freed; nil before its start
	final    Stats         // of core, from when its end begins
	engine   string        // of the main listener, for Stats; "" before the start
}

// ListenAndServe serves handler, or [http.DefaultServeMux] if it is nil, on the
// TCP address addr, like [Server.ListenAndServe].
func ListenAndServe(addr string, handler http.Handler) error {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServe()
}

// ListenAndServeTLS is ListenAndServe over TLS, like [Server.ListenAndServeTLS].
func ListenAndServeTLS(addr, certFile, keyFile string, handler http.Handler) error {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServeTLS(certFile, keyFile)
}

// Serve serves handler, or [http.DefaultServeMux] if it is nil, on the
// connections of l, like [Server.Serve].
func Serve(l net.Listener, handler http.Handler) error {
	return (&Server{Handler: handler}).Serve(l)
}

// handler returns what answers the requests that Fast leaves; nil if they are
// answered 404.
func (s *Server) handler() http.Handler {
	if s.Handler == nil && s.Fast == nil {
		return http.DefaultServeMux
	}
	return s.Handler
}

// serveHandler has the Handler answer. The field is read each time: programs that
// were written for net/http, tests most of all, set it on a running server.
func (s *Server) serveHandler(w http.ResponseWriter, r *http.Request) {
	handler := s.handler()
	if handler == nil { // it was taken away
		handler = http.NotFoundHandler()
	}
	handler.ServeHTTP(w, r)
}

// staticCountMax bounds the number of static answers; each request is held against all of them.
const staticCountMax = 1024

// Static has the requests that match pattern answered by the core, without
// entering Go. The form of the pattern is that of [FastMux]; the longest match
// wins, and wins over Fast. It must be called before the server starts.
// The error is a [*ConfigError].
func (s *Server) Static(pattern string, r StaticResponse) error {
	route, err := r.encode(pattern)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != phaseNew {
		return patternError(pattern, "the server has started already")
	}
	if len(s.statics) == staticCountMax {
		return patternError(pattern, fmt.Sprintf("there are %d static answers already", staticCountMax))
	}
	for _, other := range s.statics {
		if other.pattern == route.pattern {
			return patternError(pattern, "it is answered already")
		}
	}
	s.statics = append(s.statics, route)
	return nil
}

// Stats returns the counters of the server, of both engines together; after its
// end, the last ones.
func (s *Server) Stats() Stats {
	s.running.RLock()
	defer s.running.RUnlock()
	stats := s.nativeStats()
	if p := s.portable.Load(); p != nil {
		p.addStats(&stats)
	}
	if stats.Engine = s.engine; stats.Engine == "" {
		stats.Engine = "none"
	}
	return stats
}

// SetKeepAlivesEnabled says whether connections stay open after an answer, which
// they do unless it is called with false. Then the connections that are idle
// close at once. On the native engine what [Server.Static] answers keeps its connection.
func (s *Server) SetKeepAlivesEnabled(v bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepAlivesOff.Store(!v)
	if p := s.portable.Load(); p != nil {
		p.http.SetKeepAlivesEnabled(v)
	}
	if !v {
		s.use((*core).closeIdle)
	}
}

// RegisterOnShutdown has f called, on a goroutine of its own, when Shutdown
// begins. Shutdown does not wait for it. It is for connections that were
// hijacked or upgraded, which the server no longer knows.
func (s *Server) RegisterOnShutdown(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onShutdown = append(s.onShutdown, f)
}
