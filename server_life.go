package kourier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

// This file is a server's life: its listeners and its phases. What concerns the
// core alone stands in server_native.go, the other engine in portable.go.

type serverPhase uint8

const (
	phaseNew serverPhase = iota
	phaseStarted
	phaseClosing
)

// A boundListener is a listener that is open, and accepted from or not yet.
type boundListener struct {
	net.Listener
	worker    int            // the only one of the core to accept, or -1
	lead      *boundListener // the first of those that share its address, itself perhaps
	based     bool           // of a lead: origin is set
	origin    uint8          // of a lead: that of the connections which the core accepts
	bound     bool           // Listen has made it; else it was given to Serve
	accepting bool           // one of the engines has it, or is about to
	closed    sync.Once
}

// Close closes the listener the first time that it is called.
func (l *boundListener) Close() (err error) {
	l.closed.Do(func() { err = l.Listener.Close() })
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// A keyPair names the files of a certificate and its key. Both may be empty.
type keyPair struct{ certFile, keyFile string }

// Listen binds an address now, to be served later by ListenAndServe or
// ListenAndServeTLS: connections wait until then. It returns the address bound,
// which tells the port if the one asked for was 0. network is "tcp", "tcp4",
// "tcp6" or "unix". It may be called several times. The file of a Unix socket is
// removed at the end.
func (s *Server) Listen(network, address string) (net.Addr, error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
	default:
		return nil, fmt.Errorf("kourier: listen: %w", net.UnknownNetworkError(network))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	bound, err := s.bind(network, address)
	if err != nil {
		return nil, err
	}
	engine := enginePortable
	if s.whyPortable(bound[0]) == nil {
		engine = engineNative
		err = s.start()
	}
	if err != nil {
		s.forgetAll(bound)
		return nil, err
	}
	s.tellEngine(bound[0], engine)
	return bound[0].Addr(), nil
}

// bind makes the sockets for an address. s.mu is held.
func (s *Server) bind(network, address string) ([]*boundListener, error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	count := 1
	if s.settings.reusePort && network != "unix" && nativeBuilt {
		config.Control = reusePort
		count = int(s.settings.workers)
	}
	var bound []*boundListener
	for worker := range count {
		l, err := config.Listen(context.Background(), network, address)
		if err != nil {
			s.forgetAll(bound)
			return nil, fmt.Errorf("kourier: %w", err)
		}
		if count == 1 {
			worker = -1
		}
		b := &boundListener{Listener: l, worker: worker, bound: true}
		s.listeners[b] = struct{}{}
		bound = append(bound, b)
		b.lead = bound[0]
		address = l.Addr().String() // the port that the first one got
	}
	s.begin(bound[0]) // only now: nobody closes a server that could not bind
	return bound, nil
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
	return s.listenAndServe(":http", nil)
}

// ListenAndServeTLS is ListenAndServe over TLS, with HTTP/2 for the clients that
// ask for it. The files hold the certificate, followed by those of its issuers,
// and its key. Both names may be empty if TLSConfig has certificates or a
// function that gets them.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error {
	return s.listenAndServe(":https", &keyPair{certFile, keyFile})
}

func (s *Server) listenAndServe(defaultAddr string, secure *keyPair) error {
	if err := s.bindAddr(defaultAddr); err != nil {
		return err
	}
	return s.serve(secure, func(l *boundListener) bool { return l.bound })
}

// bindAddr binds Addr, unless Listen has bound something.
func (s *Server) bindAddr(defaultAddr string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		if l.bound {
			return nil
		}
	}
	addr := s.Addr
	if addr == "" {
		addr = defaultAddr
	}
	_, err := s.bind("tcp", addr)
	return err
}

var errNoListener = errors.New("kourier: Serve: the listener is nil")

// Serve serves the connections of l. It blocks like ListenAndServe and closes l
// before it returns. It may be called for several listeners at a time.
//
// The core serves a [*net.TCPListener] and a [*net.UnixListener], from a duplicate
// of the descriptor: to close l is not enough to stop accepting, Shutdown or Close
// is. All other listeners, those that wrap one of these too, keep their Accept
// and are served by the portable engine.
func (s *Server) Serve(l net.Listener) error { return s.serveListener(l, nil) }

// ServeTLS is Serve over TLS, with the files that ListenAndServeTLS takes.
func (s *Server) ServeTLS(l net.Listener, certFile, keyFile string) error {
	return s.serveListener(l, &keyPair{certFile, keyFile})
}

func (s *Server) serveListener(l net.Listener, secure *keyPair) error {
	if l == nil {
		return errNoListener
	}
	b := &boundListener{Listener: l, worker: -1}
	b.lead = b
	s.mu.Lock()
	if err := s.prepare(); err != nil {
		s.mu.Unlock()
		_ = b.Close() // err tells more
		return err
	}
	s.listeners[b] = struct{}{}
	s.begin(b)
	s.mu.Unlock()
	return s.serve(secure, func(other *boundListener) bool { return other == b })
}

// serve has the listeners accepted from that are wanted, and waits. The
// connections are secured if there is a keyPair.
func (s *Server) serve(secure *keyPair, wanted func(*boundListener) bool) error {
	failed, err := s.acceptAll(secure, wanted)
	if err != nil {
		return err
	}
	select {
	case <-s.closing:
		return ErrServerClosed
	case err := <-failed:
		return err
	}
}

// acceptAll has the listeners accepted from that are wanted. What ends that is sent to failed.
func (s *Server) acceptAll(secure *keyPair, wanted func(*boundListener) bool) (failed chan error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != phaseStarted {
		return nil, ErrServerClosed
	}
	var todo []*boundListener
	for l := range s.listeners {
		if !l.accepting && wanted(l) {
			l.accepting = true // accept may let go of s.mu
			todo = append(todo, l)
		}
	}
	failed = make(chan error, len(todo))
	for i, l := range todo {
		if err := s.accept(l, secure, failed); err != nil {
			_ = s.forget(l) // err tells more
			for _, other := range todo[i+1:] {
				other.accepting = false
			}
			return nil, err
		}
	}
	return failed, nil
}

// accept has the engine that l needs accept from it. What ends the portable
// engine's accepting is sent to failed. s.mu is held.
func (s *Server) accept(l *boundListener, secure *keyPair, failed chan<- error) error {
	if secure == nil {
		why := s.whyPortable(l)
		if why == nil {
			return s.acceptNative(l)
		}
		if os.Getenv("KOURIER_REQUIRE_NATIVE") == "1" {
			return fmt.Errorf("%w: %w", ErrNativeRequired, why)
		}
		if s.Logger != nil && nativeBuilt {
			s.Logger.Warn("served by the portable engine", "listener", l.Addr(), "error", why)
		}
	}
	s.tellEngine(l, enginePortable)
	p := s.portable.Load()
	go func() { failed <- s.ended(l, p.serve(l, secure)) }()
	return nil
}

// ended forgets a listener whose accepting has ended with err, which it returns,
// or what that means for the server.
func (s *Server) ended(l *boundListener, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phaseClosing {
		return ErrServerClosed
	}
	_ = s.forget(l) // err tells more, and is compared by programs
	return err
}

// prepare reads and checks the settings, unless the server has begun. s.mu is held.
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
		BodiesStream:        s.handler() != nil,
	})
	return err
}

// begin ends phaseNew. main is the first listener. s.mu is held, and prepare has
// returned nil.
func (s *Server) begin(main *boundListener) {
	if s.phase == phaseStarted {
		return
	}
	s.portable.Store(newPortable(s, main))
	s.closing = make(chan struct{})
	s.phase = phaseStarted
}

// forget closes a listener. s.mu is held.
func (s *Server) forget(l *boundListener) error {
	delete(s.listeners, l)
	return l.Close()
}

// forgetAll closes listeners on the way to an error that tells more than theirs. s.mu is held.
func (s *Server) forgetAll(listeners []*boundListener) {
	for _, l := range listeners {
		_ = s.forget(l)
	}
}

// isClosing reports whether Shutdown or Close has begun.
func (s *Server) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// beginClosing makes Serve return and closes the listeners. The core has
// descriptors of its own for them.
func (s *Server) beginClosing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phaseStarted {
		close(s.closing)
	}
	s.phase = phaseClosing
	var err error
	for l := range s.listeners {
		err = errors.Join(err, s.forget(l))
	}
	return err
}

// Shutdown ends the server in order: it stops accepting, closes idle
// connections, lets the requests that have begun to arrive be answered, and
// returns when the last connection has gone. If ctx ends first its error is
// returned, and the connections that are left go on until they are done or
// Close is called. Hijacked connections are not waited for. The methods that
// serve return at once. Called in a handler, Shutdown waits for that handler too,
// until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.beginClosing()
	ended := s.drainNative(ctx)
	s.tellShutdown()
	if p := s.portable.Load(); p != nil {
		if err := p.http.Shutdown(ctx); err != nil {
			return err
		}
	}
	select {
	case <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tellShutdown starts what RegisterOnShutdown was given.
func (s *Server) tellShutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.onShutdown {
		go f()
	}
}

// Close closes all listeners and connections at once, but hijacked ones;
// requests are cut off. When it returns everything that the core held is released,
// unless it is called from a Fast handler: then that happens soon after the
// handler has returned. Handlers on goroutines end by themselves.
func (s *Server) Close() error {
	err := s.beginClosing()
	if p := s.portable.Load(); p != nil {
		err = errors.Join(err, p.http.Close())
	}
	s.closeNative()
	return err
}
