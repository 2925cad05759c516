package kourier_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// long is how long these tests wait for what must happen.
const long = 20 * time.Second

// A pipeListener hands out connections that are no sockets.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// onPortable serves srv on the portable engine and returns its base URL and a
// client for it.
func onPortable(t *testing.T, srv *kourier.Server) *http.Client {
	t.Helper()
	if srv.ErrorLog == nil && srv.Logger == nil {
		srv.ErrorLog = log.New(io.Discard, "", 0)
	}
	l := newPipeListener()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	transport := &http.Transport{DialContext: l.dial, DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		require.NoError(t, srv.Close())
		require.ErrorIs(t, within(t, served), kourier.ErrServerClosed)
	})
	return &http.Client{Transport: transport, Timeout: long}
}

func within[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(long):
		t.Fatal("nothing has come")
		panic("not reached")
	}
}

func fetch(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	response, err := client.Get(url)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response, string(body)
}

func sayProto(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }

func TestForeignListenersAreServed(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Handler: http.HandlerFunc(sayProto)}
	_, body := fetch(t, onPortable(t, srv), "http://a/")
	require.Equal(t, "HTTP/1.1", body)
	stats := srv.Stats()
	require.Equal(t, "portable", stats.Engine)
	require.EqualValues(t, 1, stats.Requests)
	require.EqualValues(t, 1, stats.Accepted)
}

func TestTheHandlerMayBeReplaced(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Handler: http.HandlerFunc(sayProto)}
	client := onPortable(t, srv)
	_, body := fetch(t, client, "http://pipe/")
	require.Equal(t, "HTTP/1.1", body)
	srv.Handler = http.NotFoundHandler()
	response, _ := fetch(t, client, "http://pipe/")
	require.Equal(t, http.StatusNotFound, response.StatusCode)
}

// A failingListener has nothing to accept.
type failingListener struct{ *pipeListener }

func (failingListener) Accept() (net.Conn, error) { return nil, io.EOF }

// Programs compare what Serve returns with ==.
func TestServeReturnsErrorsUnwrapped(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Handler: http.HandlerFunc(sayProto)}
	require.Equal(t, io.EOF, srv.Serve(failingListener{newPipeListener()}))
	require.NoError(t, srv.Close())
	require.Equal(t, kourier.ErrServerClosed, srv.Serve(newPipeListener()))
}

// An oddListener counts how often it is closed. It cannot be compared, and neither can its connections.
type oddListener struct {
	net.Listener
	closed *atomic.Int64
	_      []int
}

func (l oddListener) Close() error {
	l.closed.Add(1)
	return l.Listener.Close()
}

func (l oddListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return oddConn{Conn: conn}, err
}

type oddConn struct {
	net.Conn
	_ []int
}

func TestOddListenersAreServedAndClosedOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(srv *kourier.Server, l net.Listener) error
		want error // of Serve
	}{
		"Close":    {func(srv *kourier.Server, _ net.Listener) error { return srv.Close() }, kourier.ErrServerClosed},
		"Shutdown": {func(srv *kourier.Server, _ net.Listener) error { return srv.Shutdown(context.Background()) }, kourier.ErrServerClosed},
		"its own":  {func(_ *kourier.Server, l net.Listener) error { return l.(oddListener).Listener.Close() }, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var closed [3]atomic.Int64
			var listeners []net.Listener
			served := make(chan error, len(closed))
			srv := &kourier.Server{Handler: http.HandlerFunc(sayProto), ErrorLog: log.New(io.Discard, "", 0)}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: long}
			for i := range closed {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				odd := oddListener{Listener: l, closed: &closed[i]}
				listeners = append(listeners, odd)
				go func() { served <- srv.Serve(odd) }()
				_, body := fetch(t, client, "http://"+l.Addr().String())
				require.Equal(t, "HTTP/1.1", body)
			}
			for _, l := range listeners {
				require.NoError(t, c.end(srv, l))
			}
			for range closed {
				require.ErrorIs(t, within(t, served), c.want)
			}
			require.NoError(t, srv.Close())
			for i := range closed {
				require.EqualValues(t, 1, closed[i].Load())
			}
		})
	}
}

// certificate returns a server's certificate and a client that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	server := httptest.NewTLSServer(nil) // it has one of its own
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return server.TLS.Certificates[0], pool
}

func TestTLSSpeaksBothVersionsOfHTTP(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	for _, c := range []struct {
		http2 bool
		want  string
	}{{true, "HTTP/2.0"}, {false, "HTTP/1.1"}} {
		srv := &kourier.Server{
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
			Fast: func(req *kourier.Request, res *kourier.Response) {
				if string(req.Path()) == "/fast" {
					res.Send("text/plain", req.Host())
					return
				}
				res.Pass()
			},
			Handler: http.HandlerFunc(sayProto),
		}
		addr, err := srv.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- srv.ListenAndServeTLS("", "") }()
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: c.http2}
		client := &http.Client{Transport: transport, Timeout: long}
		response, body := fetch(t, client, "https://"+addr.String()+"/")
		require.Equal(t, c.want, response.Proto)
		require.Equal(t, c.want, body)
		response, body = fetch(t, client, "https://"+addr.String()+"/fast")
		require.Equal(t, addr.String(), body)
		require.Equal(t, c.want, response.Proto)
		require.Equal(t, "portable", srv.Stats().Engine)
		transport.CloseIdleConnections()
		require.NoError(t, srv.Shutdown(t.Context()))
		require.ErrorIs(t, within(t, served), kourier.ErrServerClosed)
	}
}

func TestTLSNeedsACertificate(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &kourier.Server{}
	require.Error(t, srv.ServeTLS(l, "", ""))
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	require.Empty(t, srv.Addrs())
	require.NoError(t, srv.Close())
	require.ErrorIs(t, srv.ListenAndServeTLS("", ""), kourier.ErrServerClosed)
}

func TestFailedHandshakesAreToldInEveryWay(t *testing.T) {
	t.Parallel()
	cert, _ := certificate(t)
	events := make(chan kourier.Event, 1)
	var lines lockedBuffer
	srv := &kourier.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler:   http.NotFoundHandler(),
		Logger:    slog.New(slog.NewTextHandler(&lines, nil)),
		OnEvent:   func(e kourier.Event) { events <- e },
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.ServeTLS(l, "", "") }()
	_, err = tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: x509.NewCertPool()})
	require.Error(t, err)
	e := within(t, events)
	require.Equal(t, kourier.ReasonTLSHandshake, e.Reason)
	require.True(t, e.Remote.IsValid())
	require.NotEmpty(t, e.Detail)
	require.False(t, e.Time.IsZero())
	require.NoError(t, srv.Shutdown(t.Context()))
	require.ErrorIs(t, within(t, served), kourier.ErrServerClosed)
	require.Contains(t, lines.String(), "TLS handshake failed")
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func TestHTTP2NeedsNoTLSIfAllowed(t *testing.T) {
	t.Parallel()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	client := onPortable(t, &kourier.Server{Handler: http.HandlerFunc(sayProto), Protocols: &protocols})
	_, body := fetch(t, client, "http://a/")
	require.Equal(t, "HTTP/1.1", body)
	var prior http.Protocols
	prior.SetUnencryptedHTTP2(true)
	client.Transport.(*http.Transport).Protocols = &prior
	transport := client.Transport.(*http.Transport).Clone()
	transport.Protocols = &prior
	defer transport.CloseIdleConnections()
	_, body = fetch(t, &http.Client{Transport: transport, Timeout: long}, "http://a/")
	require.Equal(t, "HTTP/2.0", body)
}

func TestContextsAndStatesReachTheUser(t *testing.T) {
	t.Parallel()
	type key string
	states := make(chan http.ConnState, 16)
	srv := &kourier.Server{
		BaseContext: func(l net.Listener) context.Context {
			return context.WithValue(context.Background(), key("listener"), l)
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, key("conn"), c)
		},
		ConnState: func(_ net.Conn, state http.ConnState) { states <- state },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, ours := r.Context().Value(key("listener")).(*pipeListener)
			conn, _ := r.Context().Value(key("conn")).(net.Conn)
			_, server := r.Context().Value(http.ServerContextKey).(*http.Server)
			if !ours || conn == nil || !server {
				w.WriteHeader(http.StatusTeapot)
			}
		}),
	}
	client := onPortable(t, srv)
	response, _ := fetch(t, client, "http://a/")
	require.Equal(t, 200, response.StatusCode)
	require.NoError(t, srv.Shutdown(t.Context()))
	require.Equal(t, http.StateNew, within(t, states))
	require.Equal(t, http.StateActive, within(t, states))
	for within(t, states) != http.StateClosed { // it may be idle before
	}
}

func TestShutdownTellsThoseWhoAsked(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{}
	told := make(chan struct{}, 2)
	for range 2 {
		srv.RegisterOnShutdown(func() { told <- struct{}{} })
	}
	require.NoError(t, srv.Shutdown(t.Context()))
	within(t, told)
	within(t, told)
}

func TestKeepAlivesCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Handler: http.HandlerFunc(sayProto)}
	client := onPortable(t, srv)
	response, _ := fetch(t, client, "http://a/")
	require.False(t, response.Close)
	client.CloseIdleConnections() // the server closes them too, and the next request might meet that
	srv.SetKeepAlivesEnabled(false)
	response, _ = fetch(t, client, "http://a/")
	require.True(t, response.Close)
	srv.SetKeepAlivesEnabled(true)
	response, _ = fetch(t, client, "http://a/")
	require.False(t, response.Close)
}

func TestWithFastAloneWhatItPassesIsNotFound(t *testing.T) {
	t.Parallel()
	client := onPortable(t, &kourier.Server{Fast: func(_ *kourier.Request, res *kourier.Response) { res.Pass() }})
	response, body := fetch(t, client, "http://a/")
	require.Equal(t, 404, response.StatusCode)
	require.Equal(t, "404 page not found\n", body)
}

// What Fast has looked at is still all there for the Handler.
func TestAPassedBodyIsWhole(t *testing.T) {
	t.Parallel()
	var complete []bool
	client := onPortable(t, &kourier.Server{
		Fast: func(req *kourier.Request, res *kourier.Response) {
			body, whole := req.Body()
			if !whole && len(body) > 0 {
				panic("half a body")
			}
			complete = append(complete, whole)
			res.Pass()
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(err)
			}
			_, _ = w.Write(body)
		}),
		Config: kourier.Config{BodyBuffer: 1000},
	})
	for _, size := range []int{0, 1, 1000, 1001, 100_000} {
		text := strings.Repeat("x", size)
		for _, body := range []io.Reader{strings.NewReader(text), struct{ io.Reader }{strings.NewReader(text)}} {
			response, err := client.Post("http://a/", "text/plain", body)
			require.NoError(t, err)
			echoed, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.Equal(t, text, string(echoed))
			require.Equal(t, size <= 1000, complete[len(complete)-1])
		}
	}
}

func TestBodiesBeyondTheLimitAreRefusedAndTold(t *testing.T) {
	t.Parallel()
	events := make(chan kourier.Event, 1)
	srv := &kourier.Server{
		Fast:    func(*kourier.Request, *kourier.Response) { panic("called") },
		Config:  kourier.Config{MaxBodyBytes: 10},
		OnEvent: func(e kourier.Event) { events <- e },
	}
	client := onPortable(t, srv)
	text := strings.Repeat("x", 11)
	for n, body := range []io.Reader{strings.NewReader(text), struct{ io.Reader }{strings.NewReader(text)}} {
		response, err := client.Post("http://a/", "text/plain", body)
		require.NoError(t, err)
		require.Equal(t, 413, response.StatusCode)
		require.True(t, response.Close)
		e := within(t, events)
		require.Equal(t, kourier.ReasonBodyTooLarge, e.Reason)
		require.Equal(t, 413, e.Status)
		require.Equal(t, `"POST / HTTP/1.1"`, e.Detail)
		require.EqualValues(t, n+1, srv.Stats().ParseErrors[kourier.ReasonBodyTooLarge])
	}
	require.Zero(t, srv.Stats().Requests)
}

// What a client has got of an answer that broke off must not look whole.
func TestAnAnswerThatBreaksOffFailsAtTheClient(t *testing.T) {
	t.Parallel()
	client := onPortable(t, &kourier.Server{Fast: func(req *kourier.Request, res *kourier.Response) {
		if string(req.Path()) == "/short" {
			res.Set("Content-Length", "300000")
		}
		_, _ = res.Write(make([]byte, 200_000))
		if string(req.Path()) == "/panic" {
			panic("on purpose")
		}
	}})
	for _, path := range []string{"/short", "/panic"} {
		response, err := client.Get("http://a" + path)
		if err == nil {
			_, err = io.ReadAll(response.Body)
		}
		require.Error(t, err, path)
	}
	_, body := fetch(t, client, "http://a/")
	require.Len(t, body, 200_000)
}

func TestGeneralOptionsAreAnsweredUnlessTheHandlerWantsThem(t *testing.T) {
	t.Parallel()
	for _, mine := range []bool{false, true} {
		l := newPipeListener()
		srv := &kourier.Server{Handler: http.HandlerFunc(sayProto), DisableGeneralOptionsHandler: mine}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		conn, err := l.dial(t.Context(), "", "")
		require.NoError(t, err)
		got := exchange(t, conn, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
		require.Equal(t, 200, got.status)
		require.Equal(t, mine, got.body == "HTTP/1.1")
		require.NoError(t, srv.Close())
		require.ErrorIs(t, within(t, served), kourier.ErrServerClosed)
	}
}

// testCases are requests, and what both engines must answer alike.
var testCases = []string{
	"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /hello HTTP/1.0\r\n\r\n",
	"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET http://a/hello?x=1 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"GET /static HTTP/1.1\r\nHost: a\r\n\r\n",
	"HEAD /static HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /below/x HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfour",
	"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n",
	"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
	"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n",
	"GET /none HTTP/1.1\r\nHost: a\r\n\r\n",
	"BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /written HTTP/1.1\r\nHost: a\r\n\r\n",
	"HEAD /written HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /streamed HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /streamed HTTP/1.0\r\n\r\n",
	"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /bare HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /cookies HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /204 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /304 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /205 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /abort HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /short HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /fields?a=b&c HTTP/1.1\r\nHost: a:80\r\nA-Field: 1\r\nB-Field: 2\r\nB-Field: 3\r\n\r\n",
	"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
	"GET /" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", 128) + "\r\n",
}

func newTestServer(t *testing.T) *kourier.Server {
	var mux kourier.FastMux
	write := func(size int) kourier.FastHandler {
		return func(_ *kourier.Request, res *kourier.Response) {
			for range size {
				_, _ = res.WriteString("0123456789")
			}
		}
	}
	status := func(code int) kourier.FastHandler {
		return func(_ *kourier.Request, res *kourier.Response) { res.Status(code).Set("X-Field", "value") }
	}
	for pattern, h := range map[string]kourier.FastHandler{
		"GET /hello": func(_ *kourier.Request, res *kourier.Response) { res.Send("text/plain", []byte("hello")) },
		"POST /echo": func(req *kourier.Request, res *kourier.Response) {
			body, complete := req.Body()
			if !complete {
				panic("not complete")
			}
			res.Set("X-Size", strings.Repeat("x", int(req.ContentLength()+2)))
			res.Send("application/octet-stream", body)
		},
		"/written":  write(100),
		"/streamed": write(30_000),
		"/large": func(_ *kourier.Request, res *kourier.Response) {
			res.Send("a/b", bytes.Repeat([]byte("large"), 100_000))
		},
		"/bare": func(_ *kourier.Request, res *kourier.Response) { res.Set("Date", "").Send("", []byte("no type")) },
		"/cookies": func(_ *kourier.Request, res *kourier.Response) {
			res.Add("Set-Cookie", "a=1").Add("Set-Cookie", "b=2")
		},
		"/204": status(204), "/304": status(304), "/205": status(205),
		"/close": func(_ *kourier.Request, res *kourier.Response) { res.Close() },
		"/panic": func(*kourier.Request, *kourier.Response) { panic("on purpose") },
		"/abort": func(*kourier.Request, *kourier.Response) { panic(http.ErrAbortHandler) },
		"/short": func(_ *kourier.Request, res *kourier.Response) {
			res.Set("Content-Length", "10")
			_, _ = res.WriteString("short")
		},
		"/fields": func(req *kourier.Request, res *kourier.Response) {
			var lines []string
			for name, value := range req.Headers() {
				lines = append(lines, string(name)+": "+string(value))
			}
			slices.Sort(lines)
			lines = append(lines, req.Method(), string(req.Target()), string(req.Path()), string(req.Query()), string(req.Host()))
			lines = append(lines, req.Copy().URL.String())
			res.Send("text/plain", []byte(strings.Join(lines, "\n")))
		},
	} {
		mux.Handle(pattern, h)
	}
	srv := &kourier.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Fast: func(req *kourier.Request, res *kourier.Response) {
			if req.Method() == http.MethodConnect {
				return
			}
			mux.ServeFast(req, res)
		},
	}
	require.NoError(t, srv.Static("/static", kourier.StaticResponse{Body: []byte("static")}))
	require.NoError(t, srv.Static("GET /below/", kourier.StaticResponse{Status: 301, Header: http.Header{"Location": {"/"}}}))
	return srv
}

// An outcome is what a client sees of an answer.
type outcome struct {
	status int
	header http.Header
	body   string
	close  bool
	failed bool
}

func exchange(t *testing.T, conn net.Conn, text string) outcome {
	t.Helper()
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(long)))
	go func() { _, _ = io.WriteString(conn, text) }() // a refusal may come before its end
	method, _, _ := strings.Cut(text, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return outcome{failed: true}
	}
	body, err := io.ReadAll(response.Body)
	var late net.Error
	require.False(t, errors.As(err, &late) && late.Timeout(), "the answer to %q does not end", text)
	_, dated := response.Header["Date"]
	require.Equal(t, !strings.Contains(text, "/bare"), dated)
	delete(response.Header, "Date")
	delete(response.Header, "Connection") // Close says what it means for the version
	return outcome{response.StatusCode, response.Header, string(body), response.Close, err != nil}
}

func TestBothEnginesAnswerAlike(t *testing.T) {
	t.Parallel()
	first, second := newTestServer(t), newTestServer(t)
	addr, err := first.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := newPipeListener()
	served := make(chan error, 2)
	go func() { served <- first.ListenAndServe() }()
	go func() { served <- second.Serve(l) }()
	for _, text := range testCases {
		native, err := net.Dial("tcp", addr.String())
		require.NoError(t, err)
		portable, err := l.dial(t.Context(), "", "")
		require.NoError(t, err)
		require.Equal(t, exchange(t, native, text), exchange(t, portable, text), "%.200q", text)
	}
	require.Equal(t, "portable", second.Stats().Engine)
	require.Equal(t, first.Stats().Requests, second.Stats().Requests)
	require.Equal(t, first.Stats().ParseErrors, second.Stats().ParseErrors)
	require.NoError(t, first.Close())
	require.NoError(t, second.Close())
	require.ErrorIs(t, within(t, served), kourier.ErrServerClosed)
	require.ErrorIs(t, within(t, served), kourier.ErrServerClosed)
}
