package kourier

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Server serves HTTP/1.1 on the native core. Its fields are read when it
// starts, which the first of Listen, Serve and ListenAndServe does; changes
// after that have no effect. The zero value is safe for a server that faces the
// public and answers everything 404. A Server must not be copied, and cannot be
// used again after Shutdown or Close.
type Server struct {
	// Addr is the TCP address for ListenAndServe, "host:port". Default ":http".
	Addr string

	// Fast answers the requests, on the native thread that parsed them. It must
	// not block. Default: everything is answered 404.
	Fast FastHandler

	// ReadTimeout bounds the time from the first byte of a request to the end of
	// its body; 408 then. Default none.
	ReadTimeout time.Duration

	// ReadHeaderTimeout bounds the time from the first byte of a request to the
	// end of its head; 408 then. Default 30 s (net/http: none); negative for none.
	ReadHeaderTimeout time.Duration

	// WriteTimeout bounds how long an answer may wait for the client to read; the
	// connection is closed then. Default none; Config.MinDrainRate guards against
	// clients that do not read.
	WriteTimeout time.Duration

	// IdleTimeout bounds the time without a byte of a request, also before the
	// first one; the connection is closed silently then. Default 120 s (net/http:
	// none); negative for none.
	IdleTimeout time.Duration

	// MaxHeaderBytes bounds request line and header fields together, in bytes;
	// 431 beyond it. Default 32 KiB (net/http: 1 MiB).
	MaxHeaderBytes int

	// MaxHeaderValueCount bounds the number of header fields; 431 beyond it.
	// Default 128.
	MaxHeaderValueCount int

	// ErrorLog receives what handlers do wrong: panics, and misuse of a Response.
	// Default: the standard logger of package log.
	ErrorLog *log.Logger

	// Logger receives the same as structured records; it wins over ErrorLog.
	Logger *slog.Logger

	// Config holds what only a native core has.
	Config Config

	mu        sync.Mutex
	phase     serverPhase
	statics   []staticRoute
	settings  settings
	listeners map[*boundListener]struct{}
	closing   chan struct{} // closed when Shutdown or Close begins

	// running guards the core's life: held for reading while the core is used,
	// and for writing when its start is told and when its end begins. It may be
	// locked while mu is, never the other way round.
	running  sync.RWMutex
	core     *core         // nil before the start and after the end
	stopping bool          // the end of core has begun: only onWorker may be asked
	stopped  chan struct{} // closed when core is freed; nil before the start
	final    Stats         // of core, from when its end begins
}

type serverPhase uint8

const (
	phaseNew serverPhase = iota
	phaseStarted
	phaseClosing
)

// A boundListener is a listener that is open, and accepted from or not yet.
type boundListener struct {
	net.Listener
	worker    int  // the only one to accept, or -1
	bound     bool // Listen has made it; else it was given to Serve
	accepting bool // the core has it
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
		return &ConfigError{Field: "Static pattern", Value: pattern, Why: "the server has started already"}
	}
	if len(s.statics) == staticCountMax {
		return &ConfigError{Field: "Static pattern", Value: pattern, Why: fmt.Sprintf("there are %d static answers already", staticCountMax)}
	}
	for _, other := range s.statics {
		if other.pattern == route.pattern {
			return &ConfigError{Field: "Static pattern", Value: pattern, Why: fmt.Sprintf("%q is answered already", route.pattern)}
		}
	}
	s.statics = append(s.statics, route)
	return nil
}

// Listen binds an address now, to be served later by ListenAndServe: connections
// wait until then. It returns the address bound, which tells the port if the one
// asked for was 0. network is "tcp", "tcp4", "tcp6" or "unix". It may be called
// several times. The file of a Unix socket is removed at the end.
func (s *Server) Listen(network, address string) (net.Addr, error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
	default:
		return nil, fmt.Errorf("kourier: listen: %w", net.UnknownNetworkError(network))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.prepare(); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	count := 1
	if s.settings.reusePort && network != "unix" {
		config.Control = reusePort
		count = int(s.settings.workers)
	}
	var bound []*boundListener
	fail := func(err error) (net.Addr, error) {
		for _, b := range bound {
			_ = s.forget(b) // the first error tells more
		}
		return nil, err
	}
	for worker := range count {
		l, err := config.Listen(context.Background(), network, address)
		if err != nil {
			return fail(fmt.Errorf("kourier: %w", err))
		}
		if count == 1 {
			worker = -1
		}
		b := &boundListener{Listener: l, worker: worker, bound: true}
		s.listeners[b] = struct{}{}
		bound = append(bound, b)
		address = l.Addr().String() // the port that the first one got
	}
	// Only now: nobody closes a server that could not bind.
	if err := s.start(); err != nil {
		return fail(err)
	}
	return bound[0].Addr(), nil
}

// Addrs returns the addresses that the server listens on.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var addrs []net.Addr
	for l := range s.listeners {
		if l.worker <= 0 { // one of the listeners that share an address
			addrs = append(addrs, l.Addr())
		}
	}
	return addrs
}

// ListenAndServe serves the addresses that Listen has bound, or, if there is
// none, the TCP address Addr. It blocks until Shutdown or Close is called and
// then returns ErrServerClosed at once; the error of another cause comes earlier.
func (s *Server) ListenAndServe() error {
	s.mu.Lock()
	none := true
	for l := range s.listeners {
		none = none && !l.bound
	}
	s.mu.Unlock()
	if none {
		addr := s.Addr
		if addr == "" {
			addr = ":http"
		}
		if _, err := s.Listen("tcp", addr); err != nil {
			return err
		}
	}
	return s.serve(func(l *boundListener) bool { return l.bound })
}

// Serve serves the connections of l, which must be a TCP or Unix listener or
// another one with a file descriptor (syscall.Conn). It blocks like
// ListenAndServe and closes l before it returns. It may be called for several
// listeners at a time. The core accepts from a duplicate of the descriptor: to
// close l is not enough to stop accepting, Shutdown or Close is.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	err := s.prepare()
	if _, ok := l.(syscall.Conn); err == nil && !ok {
		err = ErrForeignListener
	}
	if err == nil {
		err = s.start()
	}
	if err != nil {
		s.mu.Unlock()
		return errors.Join(err, ignoreClosed(l.Close()))
	}
	b := &boundListener{Listener: l, worker: -1}
	s.listeners[b] = struct{}{}
	s.mu.Unlock()
	return s.serve(func(other *boundListener) bool { return other == b })
}

// serve has the core accept from the listeners that are wanted, and waits.
func (s *Server) serve(wanted func(*boundListener) bool) error {
	s.mu.Lock()
	if s.phase != phaseStarted {
		s.mu.Unlock()
		return ErrServerClosed
	}
	for l := range s.listeners {
		if l.accepting || !wanted(l) {
			continue
		}
		if err := s.accept(l); err != nil {
			err = errors.Join(err, s.forget(l))
			s.mu.Unlock()
			return err
		}
		l.accepting = true
	}
	s.mu.Unlock()
	<-s.closing
	return ErrServerClosed
}

// prepare reads and checks the settings, unless the core runs. s.mu is held.
func (s *Server) prepare() error {
	switch s.phase {
	case phaseStarted:
		return nil
	case phaseClosing:
		return ErrServerClosed
	}
	if s.listeners == nil {
		s.listeners = map[*boundListener]struct{}{}
	}
	var err error
	s.settings, err = s.Config.resolve(serverLimits{
		ReadTimeout:         s.ReadTimeout,
		ReadHeaderTimeout:   s.ReadHeaderTimeout,
		WriteTimeout:        s.WriteTimeout,
		IdleTimeout:         s.IdleTimeout,
		MaxHeaderBytes:      s.MaxHeaderBytes,
		MaxHeaderValueCount: s.MaxHeaderValueCount,
	})
	return err
}

// start starts the core, unless it runs. s.mu is held, and prepare has returned nil.
func (s *Server) start() error {
	if s.phase == phaseStarted {
		return nil
	}
	workers := int(s.settings.workers)
	d := newDispatcher(s.Fast, nil, workers, batchWrite, peerAddress, s.logHandler)
	started, err := startCore(s.settings, s.statics, d)
	if err != nil {
		return err
	}
	if makeSpareP(workers) {
		d.enableYield() // no batch can have come yet
	}
	s.running.Lock()
	s.core = started
	s.stopped = make(chan struct{})
	s.running.Unlock()
	s.closing = make(chan struct{})
	s.phase = phaseStarted
	return nil
}

func (s *Server) accept(l *boundListener) error {
	err := ErrServerClosed
	s.use(func(c *core) { err = c.listen(l.Listener, l.worker) })
	return err
}

// forget closes a listener. s.mu is held.
func (s *Server) forget(l *boundListener) error {
	delete(s.listeners, l)
	return ignoreClosed(l.Close())
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// beginClosing makes Serve return and closes the Go side of the listeners. The
// core has descriptors of its own for them.
func (s *Server) beginClosing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for l := range s.listeners {
		err = errors.Join(err, s.forget(l))
	}
	if s.phase == phaseStarted {
		close(s.closing)
	}
	s.phase = phaseClosing
	return err
}

// Shutdown ends the server in order: it stops accepting, closes idle
// connections, lets the requests that have begun to arrive be answered, and
// returns when the last connection has gone. If ctx ends first its error is
// returned, and the connections that are left go on until they are done or
// Close is called. Serve and ListenAndServe return at once. Called in a handler,
// Shutdown waits for that handler too, until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.beginClosing()
	// The waiting is the core's, which knows nothing of contexts.
	ended := make(chan struct{})
	go func() {
		s.use((*core).drain)
		for finished := false; !finished; {
			finished = true
			s.use(func(c *core) { finished = c.wait(shutdownPoll) })
			if !finished && ctx.Err() != nil {
				return
			}
		}
		s.stop()
		close(ended)
	}()
	select {
	case <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shutdownPoll is how long Shutdown goes on behind the caller's back when its context has ended.
const shutdownPoll = 50 * time.Millisecond

// Close closes all listeners and connections at once; requests are cut off. When
// it returns everything that the server held is released, unless it is called
// from a handler: then that happens soon after the handler has returned.
func (s *Server) Close() error {
	err := s.beginClosing()
	if s.onWorker() {
		go s.stop()
	} else {
		s.stop()
	}
	return err
}

// use calls f with the core, unless there is none or its end has begun.
func (s *Server) use(f func(*core)) {
	s.running.RLock()
	defer s.running.RUnlock()
	if s.core != nil && !s.stopping {
		f(s.core)
	}
}

// onWorker reports whether the caller is a handler of this server.
func (s *Server) onWorker() bool {
	s.running.RLock()
	defer s.running.RUnlock()
	return s.core != nil && s.core.onWorker()
}

// stop joins the workers and frees the core, or waits until another call has
// done so. It waits for a handler that runs, which may use the server meanwhile.
func (s *Server) stop() {
	var last Stats
	s.use(func(c *core) {
		last = c.stats() // while the workers run: a thread that has ended has no clock
		c.interrupt()    // ends the waiting of Shutdown, which holds running
	})
	s.running.Lock()
	ending, stopped := s.core, s.stopped
	first := ending != nil && !s.stopping
	if first {
		s.stopping = true
		s.final = last
		s.final.ConnsActive, s.final.ConnsIdle, s.final.NativeBytes = 0, 0, 0
	}
	s.running.Unlock()
	if first {
		ending.stop()
		s.running.Lock()
		s.core = nil
		s.running.Unlock()
		close(stopped)
	}
	if stopped != nil {
		<-stopped
	}
}

// Stats returns the counters of the server; after its end, the last ones.
func (s *Server) Stats() Stats {
	s.running.RLock()
	defer s.running.RUnlock()
	switch {
	case s.stopping:
		final := s.final
		final.ParseErrors, final.Timeouts = maps.Clone(final.ParseErrors), maps.Clone(final.Timeouts)
		final.Workers = slices.Clone(final.Workers)
		return final
	case s.core != nil:
		return s.core.stats()
	}
	stats := newStats()
	stats.Engine = "none"
	return stats
}

// logHandler reports what a handler did wrong, with net/http's words for a panic.
func (s *Server) logHandler(value any, stack []byte, req *Request) {
	remote := req.RemoteAddr()
	switch {
	case s.Logger != nil && stack != nil:
		s.Logger.Error("panic serving", "remote", remote, "panic", fmt.Sprint(value), "stack", string(stack))
	case s.Logger != nil:
		s.Logger.Warn("handler misused its response", "remote", remote, "error", fmt.Sprint(value))
	case stack != nil:
		s.logf("http: panic serving %v: %v\n%s", remote, value, stack)
	default:
		s.logf("%v", value)
	}
}

func (s *Server) logf(format string, args ...any) {
	if s.ErrorLog != nil {
		s.ErrorLog.Printf(format, args...)
	} else {
		log.Printf(format, args...)
	}
}
