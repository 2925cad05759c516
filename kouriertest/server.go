// Package kouriertest has the shape of net/http/httptest's Server on a
// [kourier.Server]: a test moves over by changing the package's name.
//
//	server := kouriertest.NewServer(handler)
//	defer server.Close()
//	response, err := server.Client().Get(server.URL + "/hello")
package kouriertest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kourier-go/kourier"
)

// A Server serves on a port of the loopback interface that the system has chosen.
type Server struct {
	// URL is http://address:port or https://address:port, with nothing behind.
	URL string

	// Listener is where the server accepts. It may be replaced before the start;
	// the one that was there is then the caller's to close.
	Listener net.Listener

	// EnableHTTP2 has StartTLS offer HTTP/2, and the client ask for it.
	EnableHTTP2 bool

	// TLS may be set before StartTLS, which replaces it by a copy with all that
	// was missing.
	TLS *tls.Config

	// Config may be changed before the start.
	Config *kourier.Server

	certificate *x509.Certificate
	client      *http.Client
	served      sync.WaitGroup // the goroutine that serves

	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]http.ConnState // but those hijacked or closed
	changed *sync.Cond                  // signals a connection gone; on mu
}

// NewServer returns a server that has started. It is the caller's to close.
func NewServer(handler http.Handler) *Server {
	s := NewUnstartedServer(handler)
	s.Start()
	return s
}

// NewTLSServer returns a server that has started to serve over TLS. It is the
// caller's to close.
func NewTLSServer(handler http.Handler) *Server {
	s := NewUnstartedServer(handler)
	s.StartTLS()
	return s
}

// NewUnstartedServer returns a server that listens, and serves once Start or
// StartTLS is called. It is the caller's to close.
func NewUnstartedServer(handler http.Handler) *Server {
	return &Server{
		Listener: listen(),
		Config:   &kourier.Server{Handler: handler},
	}
}

func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l, err = net.Listen("tcp6", "[::1]:0") // a machine without IPv4
	}
	if err != nil {
		panic(fmt.Sprintf("kouriertest: no port on the loopback interface: %v", err))
	}
	return l
}

// Start has a server from NewUnstartedServer serve.
func (s *Server) Start() {
	s.start("http", &http.Transport{}, func() error { return s.Config.Serve(s.Listener) })
}

// StartTLS has a server from NewUnstartedServer serve over TLS. Without a
// certificate in TLS it makes one, for example.com and the loopback addresses.
func (s *Server) StartTLS() {
	if err := s.completeTLS(); err != nil {
		panic(fmt.Sprintf("kouriertest: %v", err))
	}
	s.Config.TLSConfig = s.TLS
	if s.Config.Protocols == nil {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetHTTP2(slices.Contains(s.TLS.NextProtos, "h2"))
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.certificate)
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: s.EnableHTTP2,
	}
	s.start("https", transport, func() error { return s.Config.ServeTLS(s.Listener, "", "") })
}

// completeTLS makes s.TLS what the server uses.
func (s *Server) completeTLS() error {
	config := &tls.Config{}
	if s.TLS != nil {
		config = s.TLS.Clone()
	}
	if config.NextProtos == nil {
		config.NextProtos = []string{"http/1.1"}
		if s.EnableHTTP2 {
			config.NextProtos = []string{"h2"}
		}
	}
	if len(config.Certificates) == 0 {
		own, err := localCertificate()
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{own}
	}
	var err error
	s.certificate, err = x509.ParseCertificate(config.Certificates[0].Certificate[0])
	s.TLS = config
	return err
}

// start runs serve, and makes the client.
func (s *Server) start(scheme string, transport *http.Transport, serve func() error) {
	if s.URL != "" {
		panic("kouriertest: server already started")
	}
	address := s.Listener.Addr().String()
	s.URL = scheme + "://" + address
	transport.DialContext = dialer(transport, scheme, address)
	s.client = &http.Client{Transport: transport}
	s.follow()
	s.served.Go(func() { _ = serve() }) // ErrServerClosed, or what the client will see
}

// dialer returns a transport's DialContext, which leads example.com and the
// hosts below it to address. A Dial that the user has set comes first.
func dialer(transport *http.Transport, scheme, address string) func(context.Context, string, string) (net.Conn, error) {
	example := map[string]string{"http": "example.com:80", "https": "example.com:443"}[scheme]
	return func(ctx context.Context, network, wanted string) (net.Conn, error) {
		if transport.Dial != nil { //nolint:staticcheck // deprecated, and still to be honoured
			return transport.Dial(network, wanted) //nolint:staticcheck // the same
		}
		if wanted == example || strings.HasSuffix(wanted, "."+example) {
			wanted = address
		}
		return new(net.Dialer).DialContext(ctx, network, wanted)
	}
}

// follow keeps account of the connections, in front of the user's ConnState.
func (s *Server) follow() {
	s.conns = map[net.Conn]http.ConnState{}
	s.changed = sync.NewCond(&s.mu)
	next := s.Config.ConnState
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		gone := state == http.StateHijacked || state == http.StateClosed
		s.mu.Lock()
		if !gone {
			s.conns[c] = state
		}
		unwanted := s.closed && idle(state)
		s.mu.Unlock()
		if next != nil {
			next(c, state)
		}
		if unwanted {
			_ = c.Close()
		}
		if gone {
			s.forget(c) // only now: Close waits for the user's function too
		}
	}
}

func (s *Server) forget(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.changed.Broadcast()
}

// idle tells of a connection in this state that it has no request in flight.
func idle(state http.ConnState) bool {
	return state == http.StateNew || state == http.StateIdle
}

// Close ends the server. It blocks until all requests in flight are answered.
func (s *Server) Close() {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()

	if first {
		_ = s.Listener.Close()
		s.Config.SetKeepAlivesEnabled(false)
		s.closeConns(idle)
	}
	closeIdleConnections(http.DefaultTransport) // what most clients use
	if s.client != nil {
		closeIdleConnections(s.client.Transport)
	}
	s.waitForConns()
	_ = s.Config.Close() // the core accepts until it is told
	s.served.Wait()
	s.waitForConns() // those that came in between
}

func closeIdleConnections(transport http.RoundTripper) {
	if t, ok := transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// waitForConns waits until there is no connection, and says whom it waits for if
// that takes long.
func (s *Server) waitForConns() {
	const patience = 5 * time.Second
	warning := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c, state := range s.conns {
			log.Printf("kouriertest: Close waits for the connection of %v, which is %v", c.RemoteAddr(), state)
		}
	})
	defer warning.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) > 0 {
		s.changed.Wait()
	}
}

// CloseClientConnections closes the connections that are open.
func (s *Server) CloseClientConnections() {
	s.closeConns(func(http.ConnState) bool { return true })
}

// closeConns closes the connections in the states chosen. None of them may be
// closed under s.mu: that may call ConnState.
func (s *Server) closeConns(chosen func(http.ConnState) bool) {
	s.mu.Lock()
	conns := maps.Clone(s.conns)
	s.mu.Unlock()
	for c, state := range conns {
		if chosen(state) {
			_ = c.Close()
		}
	}
}

// Certificate returns the certificate of a server with TLS, else nil.
func (s *Server) Certificate() *x509.Certificate { return s.certificate }

// Client returns a client that trusts the server's certificate, and that the
// server's Close lets go of its idle connections. For it example.com, and all
// hosts below, are the server.
func (s *Server) Client() *http.Client { return s.client }
