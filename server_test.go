//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// sayHello is the handler of tests that are not about handlers.
func sayHello(_ *kourier.Request, res *kourier.Response) { res.Send("text/plain", []byte("hello")) }

// echo answers with the body of the request.
func echo(req *kourier.Request, res *kourier.Response) {
	body, _ := req.Body()
	res.Send("application/octet-stream", body)
}

const (
	helloRequest = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	closeRequest = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
)

// serving starts srv on a free port of 127.0.0.1 and closes it when the test
// ends. Without a handler it says hello; without a log it has none.
func serving(t *testing.T, srv *kourier.Server) (address string) {
	t.Helper()
	return servingOn(t, srv, "tcp", "127.0.0.1:0")
}

func servingOn(t *testing.T, srv *kourier.Server, network, address string) string {
	t.Helper()
	if srv.Fast == nil && srv.Handler == nil {
		srv.Fast = sayHello
	}
	if srv.ErrorLog == nil && srv.Logger == nil {
		srv.ErrorLog = log.New(io.Discard, "", 0)
	}
	bound, err := srv.Listen(network, address)
	require.NoError(t, err)
	served := async(srv.ListenAndServe)
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
	})
	return bound.String()
}

// async calls f on a goroutine of its own, and hands on what it returns.
func async[T any](f func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

// soon receives from c, or fails the test and shows what everybody waits for.
func soon[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing within %v\n%s", patience, serverStacks())
		panic("not reached")
	}
}

// serverStacks returns the stacks of the goroutines that are in the server.
func serverStacks() string {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var text strings.Builder
	for _, stack := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(stack, "kourier.(*") {
			text.WriteString(stack + "\n\n")
		}
	}
	return text.String()
}

// eventually waits for a condition.
func eventually(t *testing.T, condition func() bool, format string, arguments ...any) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: "+format, append([]any{patience}, arguments...)...)
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}

// A peer is a client that speaks and reads raw bytes.
type peer struct {
	net.Conn
	t      *testing.T
	reader *bufio.Reader
}

func dial(t *testing.T, address string) *peer {
	t.Helper()
	return dialWith(t, address, net.Dialer{Timeout: patience})
}

// dialNarrow is dial with little room for what the client has not read.
func dialNarrow(t *testing.T, address string) *peer {
	t.Helper()
	return dialWith(t, address, net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) error {
		var failure error
		err := raw.Control(func(fd uintptr) {
			failure = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10)
		})
		return errors.Join(err, failure)
	}})
}

func dialWith(t *testing.T, address string, dialer net.Dialer) *peer {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	conn, err := dialer.Dial(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(2*patience)))
	return &peer{conn, t, bufio.NewReader(conn)}
}

func (p *peer) send(text string) *peer {
	p.t.Helper()
	_, err := io.WriteString(p.Conn, text)
	require.NoError(p.t, err)
	return p
}

// An answer is one response, read to its end.
type answer struct {
	*http.Response
	body string
}

// answerTo reads the answer to a request with that method.
func (p *peer) answerTo(method string) answer {
	p.t.Helper()
	a, err := readAnswer(p.reader, method)
	require.NoError(p.t, err)
	return a
}

func (p *peer) answer() answer { p.t.Helper(); return p.answerTo("GET") }

func readAnswer(reader *bufio.Reader, method string) (answer, error) {
	response, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(response.Body)
	return answer{response, string(body)}, err
}

// ask sends the text of a request and reads the answer.
func (p *peer) ask(text string) answer {
	p.t.Helper()
	method, _, _ := strings.Cut(text, " ")
	return p.send(text).answerTo(method)
}

// rest reads what comes until the server closes the connection in order.
func (p *peer) rest() string {
	p.t.Helper()
	text, err := io.ReadAll(p.reader)
	require.NoError(p.t, err)
	return string(text)
}

// mustEnd requires that the server closes the connection without another word.
func (p *peer) mustEnd() { p.t.Helper(); require.Empty(p.t, p.rest()) }

// mustBreak is mustEnd for a connection that may end with a reset.
func (p *peer) mustBreak() {
	p.t.Helper()
	text, err := io.ReadAll(p.reader)
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		require.NoError(p.t, err)
	}
	require.Empty(p.t, text)
}

// vanish ends the connection with a reset.
func (p *peer) vanish() {
	p.t.Helper()
	require.NoError(p.t, p.Conn.(*net.TCPConn).SetLinger(0))
	require.NoError(p.t, p.Close())
}

// post returns a request with a body of declared length.
func post(path, body string, fields ...string) string {
	fields = append(fields, fmt.Sprintf("Content-Length: %d", len(body)))
	return "POST " + path + " HTTP/1.1\r\nHost: a\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n" + body
}

// postChunked returns a request with a body in two chunks.
func postChunked(path, body string, fields ...string) string {
	fields = append(fields, "Transfer-Encoding: chunked")
	head := "POST " + path + " HTTP/1.1\r\nHost: a\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
	var text strings.Builder
	text.WriteString(head)
	for _, part := range []string{body[:len(body)/2], body[len(body)/2:]} {
		if part != "" {
			fmt.Fprintf(&text, "%x\r\n%s\r\n", len(part), part)
		}
	}
	return text.String() + "0\r\n\r\n"
}

// hasIPv6 skips a test that needs it where there is none.
func hasIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on this machine: %v", err)
	}
	require.NoError(t, l.Close())
}

// A gate holds handlers back: they report that they have come, and wait.
type gate struct {
	reached chan struct{}
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 1024), make(chan struct{})} }

func (g *gate) pass() {
	g.reached <- struct{}{}
	<-g.open
}

// child runs the test that calls it once more, in a process of its own, with the
// environment variable KOURIER_CHILD set. It is killed when the test ends.
func child(t *testing.T, environment ...string) *exec.Cmd {
	t.Helper()
	return childOf(t, t.Name(), environment...)
}

func childOf(t *testing.T, name string, environment ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.v", "-test.count=1", "-test.timeout=60s")
	command.Env = append(append(os.Environ(), "KOURIER_CHILD=1"), environment...)
	command.Stderr = os.Stderr
	t.Cleanup(func() {
		if command.Process != nil && command.ProcessState == nil {
			_ = command.Process.Kill()
			_ = command.Wait()
		}
	})
	return command
}

func isChild() bool { return os.Getenv("KOURIER_CHILD") != "" }

// ------------------------------------------------------------------- listening

func TestListensOnEveryNetwork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ network, address, reachedBy string }{
		{"tcp", "127.0.0.1:0", "127.0.0.1"},
		{"tcp4", "127.0.0.1:0", "127.0.0.1"},
		{"tcp4", ":0", "127.0.0.1"},
		{"tcp6", "[::1]:0", "::1"},
		{"tcp6", "[::]:0", "::1"},
		{"tcp", "[::]:0", "127.0.0.1"},
		{"tcp", "[::]:0", "::1"},
		{"tcp", ":0", "127.0.0.1"},
		{"tcp", "localhost:0", "localhost"},
	} {
		t.Run(c.network+" "+c.address+" by "+c.reachedBy, func(t *testing.T) {
			if c.network == "tcp6" || strings.Contains(c.address, "::") {
				hasIPv6(t)
			}
			srv := &kourier.Server{}
			bound := servingOn(t, srv, c.network, c.address)
			_, port, err := net.SplitHostPort(bound)
			require.NoError(t, err)
			require.NotEqual(t, "0", port)
			require.Equal(t, "hello", dial(t, net.JoinHostPort(c.reachedBy, port)).ask(helloRequest).body)
		})
	}
}

func TestTCP6AloneIsNotReachedByIPv4(t *testing.T) {
	t.Parallel()
	hasIPv6(t)
	bound := servingOn(t, &kourier.Server{}, "tcp6", "[::]:0")
	_, port, err := net.SplitHostPort(bound)
	require.NoError(t, err)
	_, err = net.Dial("tcp4", "127.0.0.1:"+port)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestAUnixSocketGoesWithItsServer(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*kourier.Server) error{
		"Close":    (*kourier.Server).Close,
		"Shutdown": func(srv *kourier.Server) error { return srv.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "socket")
			srv := &kourier.Server{Config: kourier.Config{Workers: 2, ReusePort: true}}
			require.Equal(t, path, servingOn(t, srv, "unix", path))
			require.Len(t, srv.Addrs(), 1)
			p := dial(t, path)
			require.Equal(t, "hello", p.ask(helloRequest).body)
			require.NoError(t, end(srv))
			p.mustEnd()
			_, err := os.Stat(path)
			require.ErrorIs(t, err, os.ErrNotExist)
		})
	}
}

func TestSeveralListenersShareAServer(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Fast: sayHello}
	var bound []string
	for range 3 {
		addr, err := srv.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		bound = append(bound, addr.String())
	}
	bound = append(bound, servingOn(t, srv, "unix", filepath.Join(t.TempDir(), "socket")))
	var addrs []string
	for _, addr := range srv.Addrs() {
		addrs = append(addrs, addr.String())
	}
	require.ElementsMatch(t, bound, addrs)
	for _, address := range bound {
		require.Equal(t, "hello", dial(t, address).ask(helloRequest).body)
	}
	require.NoError(t, srv.Close())
	require.Empty(t, srv.Addrs())
	for _, address := range bound[:3] {
		_, err := net.Dial("tcp", address)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	}
}

func TestWithReusePortEachWorkerAccepts(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{Workers: 2, ReusePort: true}}
	address := serving(t, srv)
	require.Len(t, srv.Addrs(), 1)
	var peers []*peer
	for range 64 { // the kernel spreads them by a hash of the address
		p := dial(t, address)
		require.Equal(t, "hello", p.ask(helloRequest).body)
		peers = append(peers, p)
	}
	for _, w := range srv.Stats().Workers {
		require.Positive(t, w.Conns)
	}
	require.NoError(t, srv.Shutdown(t.Context()))
	for _, p := range peers {
		p.mustEnd()
	}
	_, err := net.Dial("tcp", address)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestOneSocketServesSeveralWorkers(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{Workers: 2}}
	address := serving(t, srv)
	for range 64 {
		require.Equal(t, "hello", dial(t, address).ask(helloRequest).body)
	}
	eventually(t, func() bool {
		workers := srv.Stats().Workers
		return workers[0].Conns > 16 && workers[1].Conns > 16
	}, "the connections are spread")
}

func TestConnectionsWaitFromListenOn(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Fast: sayHello}
	addr, err := srv.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := dial(t, addr.String()).send(helloRequest)
	served := async(srv.ListenAndServe)
	require.Equal(t, "hello", p.answer().body)
	require.NoError(t, srv.Close())
	require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
}

func TestListenAndServeServesAddr(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Addr: "127.0.0.1:0", Fast: sayHello}
	served := async(srv.ListenAndServe)
	eventually(t, func() bool { return len(srv.Addrs()) == 1 }, "it listens")
	require.Equal(t, "hello", dial(t, srv.Addrs()[0].String()).ask(helloRequest).body)
	require.NoError(t, srv.Shutdown(t.Context()))
	require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
}

func TestServeTakesTCPAndUnixListeners(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	srv := &kourier.Server{Fast: sayHello}
	var served []<-chan error
	var listeners []net.Listener
	for _, c := range []struct{ network, address string }{{"tcp", "127.0.0.1:0"}, {"tcp", "127.0.0.1:0"}, {"unix", path}} {
		l, err := net.Listen(c.network, c.address)
		require.NoError(t, err)
		listeners = append(listeners, l)
		served = append(served, async(func() error { return srv.Serve(l) }))
	}
	for _, l := range listeners {
		require.Equal(t, "hello", dial(t, l.Addr().String()).ask(helloRequest).body)
	}
	require.NoError(t, srv.Shutdown(t.Context()))
	for _, s := range served {
		require.ErrorIs(t, soon(t, s), kourier.ErrServerClosed)
	}
	_, err := listeners[0].Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A foreignListener has no descriptor.
type foreignListener struct{ net.Listener }

// Its Accept may do more than that of the socket in it.
func TestAForeignListenerIsServedBesideANativeOne(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &kourier.Server{}
	address := serving(t, srv)
	served := async(func() error { return srv.Serve(foreignListener{l}) })
	require.Equal(t, "hello", dial(t, l.Addr().String()).ask(helloRequest).body)
	require.Equal(t, "hello", dial(t, address).ask(helloRequest).body)
	stats := srv.Stats()
	require.Equal(t, "native", stats.Engine)
	require.EqualValues(t, 2, stats.Requests)
	require.EqualValues(t, 2, stats.Accepted)
	require.Len(t, srv.Addrs(), 2)
	require.NoError(t, srv.Shutdown(t.Context()))
	require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestTheNativeCoreCanBeRequired(t *testing.T) {
	t.Setenv("KOURIER_REQUIRE_NATIVE", "1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &kourier.Server{Fast: sayHello}
	err = soon(t, async(func() error { return srv.Serve(foreignListener{l}) }))
	require.ErrorIs(t, err, kourier.ErrNativeRequired)
	require.ErrorIs(t, err, kourier.ErrForeignListener)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	require.Empty(t, srv.Addrs())

	address := serving(t, srv)
	require.Equal(t, 200, dial(t, address).ask(helloRequest).StatusCode)
}

func TestConnectionsCloseWithoutKeepAlives(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Fast: sayHello}
	address := serving(t, srv)
	idle := dial(t, address)
	require.False(t, idle.ask(helloRequest).Close)
	srv.SetKeepAlivesEnabled(false)
	idle.mustEnd()
	p := dial(t, address)
	require.True(t, p.ask(helloRequest).Close)
	p.mustEnd()
}

func TestServeOfAClosedListenerFails(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	srv := &kourier.Server{}
	require.ErrorIs(t, soon(t, async(func() error { return srv.Serve(l) })), net.ErrClosed)
	require.NoError(t, srv.Close())
}

func TestAPortInUseIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	address := l.Addr().String()

	srv := &kourier.Server{Addr: address}
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	_, err = srv.Listen("tcp", address)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, address)
	err = soon(t, async(srv.ListenAndServe))
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, address)
	require.Empty(t, srv.Addrs())

	reuse := &kourier.Server{Config: kourier.Config{Workers: 2, ReusePort: true}}
	t.Cleanup(func() { require.NoError(t, reuse.Close()) })
	_, err = reuse.Listen("tcp", address)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.Empty(t, reuse.Addrs())
}

func TestUnknownNetworksAndAddressesAreErrors(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{}
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	for _, network := range []string{"udp", "unixgram", "unixpacket", "", "TCP"} {
		_, err := srv.Listen(network, "127.0.0.1:0")
		var unknown net.UnknownNetworkError
		require.ErrorAs(t, err, &unknown)
		require.ErrorContains(t, err, "kourier")
	}
	_, err := srv.Listen("tcp", "127.0.0.1")
	require.ErrorContains(t, err, "127.0.0.1")
	_, err = srv.Listen("tcp", "127.0.0.1:65536")
	require.ErrorContains(t, err, "65536")
	_, err = srv.Listen("unix", filepath.Join(t.TempDir(), "missing", "socket"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Empty(t, srv.Addrs())
}

func TestABadConfigIsFoundByEveryStart(t *testing.T) {
	t.Parallel()
	for field, srv := range map[string]*kourier.Server{
		"Config.Workers":             {Config: kourier.Config{Workers: -1}},
		"Config.MaxConns":            {Config: kourier.Config{MaxConns: -1}},
		"Config.OnFull":              {Config: kourier.Config{OnFull: 3}},
		"Config.MaxTargetBytes":      {Config: kourier.Config{MaxTargetBytes: -1}},
		"Server.MaxHeaderBytes":      {MaxHeaderBytes: -1},
		"Server.MaxHeaderValueCount": {MaxHeaderValueCount: 1 << 16},
		"Server.IdleTimeout":         {IdleTimeout: 1 << 62},
	} {
		mustName := func(err error) {
			t.Helper()
			var mistake *kourier.ConfigError
			require.ErrorAs(t, err, &mistake)
			require.Equal(t, field, mistake.Field)
			require.ErrorContains(t, err, field)
			require.NotEmpty(t, mistake.Why)
		}
		_, err := srv.Listen("tcp", "127.0.0.1:0")
		mustName(err)
		srv.Addr = "127.0.0.1:0"
		mustName(srv.ListenAndServe())
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		mustName(srv.Serve(l))
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		require.Empty(t, srv.Addrs())
		require.NoError(t, srv.Close())
	}
}

func TestNothingStartsAfterTheEnd(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*kourier.Server) error{
		"Close":    (*kourier.Server).Close,
		"Shutdown": func(srv *kourier.Server) error { return srv.Shutdown(context.Background()) },
	}
	for name, end := range ends {
		for _, started := range []bool{false, true} {
			srv := &kourier.Server{Addr: "127.0.0.1:0"}
			if started {
				_, err := srv.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
			}
			require.NoError(t, end(srv))
			_, err := srv.Listen("tcp", "127.0.0.1:0")
			require.ErrorIs(t, err, kourier.ErrServerClosed, name)
			require.ErrorIs(t, err, http.ErrServerClosed)
			require.ErrorIs(t, srv.ListenAndServe(), kourier.ErrServerClosed)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			require.ErrorIs(t, srv.Serve(l), kourier.ErrServerClosed)
			_, err = l.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
			var mistake *kourier.ConfigError
			require.ErrorAs(t, srv.Static("/", kourier.StaticResponse{}), &mistake)
			require.NoError(t, srv.Close())
			require.NoError(t, srv.Shutdown(t.Context()))
			require.Empty(t, srv.Addrs())
		}
	}
}

func TestStaticMistakesAreConfigErrors(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Fast: sayHello}
	mustRefuse := func(pattern string, r kourier.StaticResponse, field string) {
		t.Helper()
		var mistake *kourier.ConfigError
		err := srv.Static(pattern, r)
		require.ErrorAs(t, err, &mistake)
		require.Equal(t, field, mistake.Field)
		require.ErrorContains(t, err, fmt.Sprintf("%s: %q: ", field, pattern))
	}
	mustRefuse("", kourier.StaticResponse{}, "Static pattern")
	mustRefuse("x", kourier.StaticResponse{}, "Static pattern")
	mustRefuse("GET  /x", kourier.StaticResponse{}, "Static pattern")
	mustRefuse("BREW /x", kourier.StaticResponse{}, "Static pattern")
	mustRefuse("/%zz", kourier.StaticResponse{}, "Static pattern")
	mustRefuse("/{x}", kourier.StaticResponse{}, "Static pattern")
	mustRefuse("/x", kourier.StaticResponse{Status: 100}, "StaticResponse.Status")
	mustRefuse("/x", kourier.StaticResponse{Header: http.Header{"Date": {"now"}}}, "StaticResponse.Header")
	require.NoError(t, srv.Static("GET /x", kourier.StaticResponse{}))
	mustRefuse("GET /x", kourier.StaticResponse{}, "Static pattern")
	serving(t, srv)
	mustRefuse("/late", kourier.StaticResponse{}, "Static pattern")
}

// What Static has taken must not make the start fail.
func TestALargeStaticBodyIsServedOrRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 60 << 10, 70 << 10, 1 << 20} {
		srv := &kourier.Server{}
		body := bytes.Repeat([]byte("x"), size)
		if err := srv.Static("/", kourier.StaticResponse{Body: body}); err != nil {
			var mistake *kourier.ConfigError
			require.ErrorAs(t, err, &mistake)
			require.Equal(t, "StaticResponse.Body", mistake.Field)
			continue
		}
		_, err := srv.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err, "with a static body of %d bytes, which Static has taken", size)
		require.Len(t, dial(t, serving(t, srv)).ask(helloRequest).body, size)
	}
}

// ------------------------------------------------------------------ in order

func TestServeReturnsAtOnceOnShutdown(t *testing.T) {
	t.Parallel()
	g := newGate()
	srv := &kourier.Server{Fast: func(_ *kourier.Request, res *kourier.Response) {
		g.pass()
		sayHello(nil, res)
	}}
	addr, err := srv.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := async(srv.ListenAndServe)
	p := dial(t, addr.String()).send(helloRequest)
	soon(t, g.reached)
	ended := async(func() error { return srv.Shutdown(context.Background()) })
	require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed) // while the handler is running
	select {
	case err := <-ended:
		t.Fatalf("Shutdown has returned before its last request: %v", err)
	default:
	}
	close(g.open)
	require.Equal(t, "hello", p.answer().body)
	require.NoError(t, soon(t, ended))
	p.mustEnd()
}

func TestShutdownClosesIdleConnectionsAndRefusesNewOnes(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{Workers: 2}}
	address := serving(t, srv)
	var peers []*peer
	for i := range 20 {
		p := dial(t, address)
		if i%2 == 0 {
			require.Equal(t, "hello", p.ask(helloRequest).body)
		}
		peers = append(peers, p)
	}
	eventually(t, func() bool { return srv.Stats().ConnsIdle == 20 }, "all are accepted")
	require.NoError(t, srv.Shutdown(t.Context()))
	for _, p := range peers {
		p.mustEnd()
	}
	_, err := net.Dial("tcp", address)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

// drainedNow waits until a Shutdown that has begun has closed the idle connection.
func drainedNow(t *testing.T, idle *peer) { t.Helper(); idle.mustEnd() }

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"half a request line": "GET / HT|TP/1.1\r\nHost: a\r\n\r\n",
		"half a head":         "GET / HTTP/1.1\r\nHo|st: a\r\n\r\n",
		"half a body":         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab|cd",
		"half a chunk":        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab|cd\r\n0\r\n\r\n",
		"the first byte":      "G|ET / HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := &kourier.Server{Config: kourier.Config{Workers: 1}}
			address := serving(t, srv)
			first, second, _ := strings.Cut(text, "|")
			p, idle := dial(t, address), dial(t, address)
			p.send(first)
			eventually(t, func() bool { s := srv.Stats(); return s.ConnsActive == 1 && s.ConnsIdle == 1 }, "half has come")
			ended := async(func() error { return srv.Shutdown(context.Background()) })
			drainedNow(t, idle)
			// What follows the request that is answered last is not.
			a := p.send(second + helloRequest).answer()
			require.Equal(t, "hello", a.body)
			require.True(t, a.Close)
			require.NoError(t, soon(t, ended))
			p.mustBreak()
			require.EqualValues(t, 1, srv.Stats().Requests)
		})
	}
}

// While a handler keeps the worker busy, requests come on connections that the
// worker still takes for idle.
func TestShutdownAnswersWhatHasArrivedButIsNotRead(t *testing.T) {
	t.Parallel()
	g := newGate()
	srv := &kourier.Server{
		Fast: func(req *kourier.Request, res *kourier.Response) {
			if string(req.Path()) == "/wait" {
				g.pass()
			}
			sayHello(req, res)
		},
		Config: kourier.Config{Workers: 1},
	}
	address := serving(t, srv)
	var peers []*peer
	for range 600 { // more than the loop takes events in one turn
		p := dial(t, address)
		peers = append(peers, p)
	}
	eventually(t, func() bool { return srv.Stats().ConnsIdle == 600 }, "all are accepted")
	peers[0].send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
	soon(t, g.reached)
	for _, p := range peers[1:] {
		p.send(helloRequest)
	}
	served := async(srv.ListenAndServe)
	ended := async(func() error { return srv.Shutdown(context.Background()) })
	require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
	close(g.open)
	lost := 0
	for _, p := range peers {
		if a, err := readAnswer(p.reader, "GET"); err != nil || a.body != "hello" {
			lost++
		}
	}
	require.Zero(t, lost, "requests were lost of 600 that had arrived when Shutdown was called")
	require.NoError(t, soon(t, ended))
}

// An answer must arrive whole although the client has sent more by then, which
// is answered too.
func TestShutdownDeliversALongAnswerToAPipeliningClient(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0123456789abcdef", 1<<20)
	srv := &kourier.Server{
		Fast:   func(_ *kourier.Request, res *kourier.Response) { res.Send("text/plain", []byte(body)) },
		Config: kourier.Config{Workers: 1},
	}
	address := serving(t, srv)
	p, idle := dialNarrow(t, address), dial(t, address)
	p.send(helloRequest)
	eventually(t, func() bool { s := srv.Stats(); return s.NativeBytes > 4<<20 && s.ConnsIdle == 1 }, "the answer waits for the client")
	p.send(helloRequest)
	ended := async(func() error { return srv.Shutdown(context.Background()) })
	drainedNow(t, idle)
	require.Equal(t, len(body), len(p.answer().body))
	a := p.answer()
	require.Equal(t, len(body), len(a.body))
	require.True(t, a.Close)
	p.mustEnd()
	require.NoError(t, p.Close())
	require.NoError(t, soon(t, ended))
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{Workers: 1}}
	address := serving(t, srv)
	p, idle := dial(t, address), dial(t, address)
	p.send("GET / HT")
	eventually(t, func() bool { s := srv.Stats(); return s.ConnsActive == 1 && s.ConnsIdle == 1 }, "half has come")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, srv.Shutdown(ctx), context.DeadlineExceeded)
	drainedNow(t, idle)
	require.EqualValues(t, 1, srv.Stats().ConnsActive)
	require.Equal(t, "hello", p.send("TP/1.1\r\nHost: a\r\n\r\n").answer().body, "it goes on")
	p.mustEnd()

	srv = &kourier.Server{Config: kourier.Config{Workers: 1}}
	p = dial(t, serving(t, srv)).send("GET / HT")
	eventually(t, func() bool { return srv.Stats().ConnsActive == 1 }, "half has come")
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, srv.Shutdown(ctx), context.Canceled)
	require.NoError(t, srv.Close())
	p.mustBreak()
	require.NoError(t, srv.Shutdown(t.Context()))
}

func TestShutdownWaitsForOtherShutdowns(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{}
	p := dial(t, serving(t, srv)).send("GET / HT")
	eventually(t, func() bool { return srv.Stats().ConnsActive == 1 }, "half has come")
	var ended []<-chan error
	for range 4 {
		ended = append(ended, async(func() error { return srv.Shutdown(context.Background()) }))
	}
	p.send("TP/1.1\r\nHost: a\r\n\r\n")
	require.Equal(t, "hello", p.answer().body)
	for _, e := range ended {
		require.NoError(t, soon(t, e))
	}
}

// ------------------------------------------------------------------- at once

func TestCloseCutsConnections(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{Workers: 2}}
	address := serving(t, srv)
	var peers []*peer
	for range 10 {
		peers = append(peers, dial(t, address), dial(t, address).send("GET / HT"))
	}
	eventually(t, func() bool { s := srv.Stats(); return s.ConnsActive == 10 && s.ConnsIdle == 10 }, "all are there")
	require.NoError(t, srv.Close())
	for _, p := range peers {
		p.mustBreak()
	}
	stats := srv.Stats()
	require.Zero(t, stats.ConnsActive)
	require.Zero(t, stats.ConnsIdle)
	require.Zero(t, stats.NativeBytes)
	require.EqualValues(t, 20, stats.Accepted, "the counters outlive the server")
}

func TestCloseAndShutdownMayComeTwiceAndUnstarted(t *testing.T) {
	t.Parallel()
	for _, started := range []bool{false, true} {
		srv := &kourier.Server{}
		if started {
			serving(t, srv)
		} else {
			require.Equal(t, "none", srv.Stats().Engine)
		}
		for range 2 {
			require.NoError(t, srv.Close())
			require.NoError(t, srv.Shutdown(t.Context()))
		}
		srv = &kourier.Server{}
		if started {
			serving(t, srv)
		}
		for range 2 {
			require.NoError(t, srv.Shutdown(t.Context()))
			require.NoError(t, srv.Close())
		}
	}
}

func TestAHandlerMayCloseItsServer(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{Workers: 2}}
	closed := make(chan error, 2)
	srv.Fast = func(_ *kourier.Request, res *kourier.Response) {
		closed <- srv.Close()
		closed <- srv.Close()
		sayHello(nil, res)
	}
	addr, err := srv.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := async(srv.ListenAndServe)
	p := dial(t, addr.String()).send(helloRequest)
	require.NoError(t, soon(t, closed))
	require.NoError(t, soon(t, closed))
	require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
	_, _ = io.ReadAll(p) // the answer may come or not
	require.NoError(t, soon(t, async(srv.Close)))
	require.Zero(t, srv.Stats().NativeBytes)
}

func TestAHandlerMayHaveItsServerShutDown(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{}
	ended := make(chan error, 1)
	srv.Fast = func(_ *kourier.Request, res *kourier.Response) {
		go func() { ended <- srv.Shutdown(context.Background()) }()
		sayHello(nil, res)
	}
	p := dial(t, serving(t, srv)).send(helloRequest)
	require.Equal(t, "hello", p.answer().body)
	require.NoError(t, soon(t, ended))
	p.mustEnd()
}

// Close waits for the handlers that run; they may use the server meanwhile.
func TestHandlersMayUseAServerThatIsBeingClosed(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(*kourier.Server){
		"Stats": func(srv *kourier.Server) { srv.Stats() },
		"Close": func(srv *kourier.Server) { _ = srv.Close() },
		"Addrs": func(srv *kourier.Server) { srv.Addrs() },
		"Listen": func(srv *kourier.Server) {
			_, err := srv.Listen("tcp", "127.0.0.1:0")
			if !errors.Is(err, kourier.ErrServerClosed) {
				panic(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			used := make(chan bool, 1)
			srv := &kourier.Server{Fast: sayHello, ErrorLog: log.New(io.Discard, "", 0)}
			srv.Fast = func(_ *kourier.Request, res *kourier.Response) {
				g.pass()
				use(srv)
				used <- true
				sayHello(nil, res)
			}
			addr, err := srv.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			served := async(srv.ListenAndServe)
			dial(t, addr.String()).send(helloRequest)
			soon(t, g.reached)
			closed := async(srv.Close)
			require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
			waitForStop(t)
			close(g.open)
			soon(t, used)
			require.NoError(t, soon(t, closed))
			require.NoError(t, soon(t, async(srv.Close)))
		})
	}
}

// waitForStop waits until some goroutine joins the workers of its core.
func waitForStop(t *testing.T) {
	t.Helper()
	eventually(t, func() bool { return strings.Contains(serverStacks(), "kourier.(*core).stop") }, "Close waits for the worker")
}

// Close returns when everything is released, whoever releases it.
func TestEveryCloseWaitsForTheEnd(t *testing.T) {
	t.Parallel()
	g := newGate()
	srv := &kourier.Server{Fast: func(_ *kourier.Request, res *kourier.Response) {
		g.pass()
		sayHello(nil, res)
	}}
	addr, err := srv.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := async(srv.ListenAndServe)
	dial(t, addr.String()).send(helloRequest)
	soon(t, g.reached)
	first := async(srv.Close)
	require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
	waitForStop(t)
	second := async(srv.Close)
	third := async(func() error { return srv.Shutdown(context.Background()) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, soon(t, async(func() error { return srv.Shutdown(ctx) })), context.DeadlineExceeded)
	select {
	case <-first:
		t.Fatal("the first Close has not waited for the handler")
	case <-second:
		t.Fatal("the second Close has not waited for the handler")
	case <-third:
		t.Fatal("Shutdown has not waited for the handler")
	default:
	}
	close(g.open)
	require.NoError(t, soon(t, first))
	require.NoError(t, soon(t, second))
	require.NoError(t, soon(t, third))
}

func TestLifeFromManyGoroutines(t *testing.T) {
	t.Parallel()
	for range 200 {
		srv := &kourier.Server{Addr: "127.0.0.1:0", Fast: sayHello, Config: kourier.Config{Workers: 2}}
		var calls sync.WaitGroup
		failures := make(chan error, 100)
		call := func(f func() error) {
			calls.Go(func() {
				if err := f(); err != nil && !errors.Is(err, kourier.ErrServerClosed) {
					failures <- err
				}
			})
		}
		for range 2 {
			call(func() error { srv.Stats(); srv.Addrs(); return nil })
			call(func() error { _, err := srv.Listen("tcp", "127.0.0.1:0"); return err })
			call(func() error { return srv.ListenAndServe() })
			call(func() error {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				return srv.Serve(l)
			})
			call(func() error {
				addr, err := srv.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				if conn, err := net.Dial("tcp", addr.String()); err == nil {
					return conn.Close()
				}
				return nil
			})
			call(func() error { srv.Stats(); return srv.Shutdown(context.Background()) })
			call(func() error { err := srv.Close(); srv.Stats(); return err })
		}
		soon(t, async(func() bool { calls.Wait(); return true }))
		close(failures)
		for err := range failures {
			require.NoError(t, err)
		}
		require.Zero(t, srv.Stats().NativeBytes)
	}
}

func TestStatsDoNotStandInTheWayOfTheStart(t *testing.T) {
	t.Parallel()
	for range 200 {
		srv := &kourier.Server{Fast: sayHello, Config: kourier.Config{Workers: 1}}
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						srv.Stats()
					}
				}
			})
		}
		require.NoError(t, soon(t, async(func() error { _, err := srv.Listen("tcp", "127.0.0.1:0"); return err })))
		require.NoError(t, soon(t, async(srv.Close)))
		close(stop)
		soon(t, async(func() bool { readers.Wait(); return true }))
	}
}

// With one P, Go and the core share a single processor.
func TestServesWithOneProcessor(t *testing.T) {
	t.Parallel()
	if !isChild() {
		output, err := child(t, "GOMAXPROCS=1").Output()
		require.NoError(t, err, "%s", output)
		require.Contains(t, string(output), "served on 1 processor")
		return
	}
	require.Equal(t, 1, runtime.GOMAXPROCS(0))
	srv := &kourier.Server{Fast: echo}
	address := serving(t, srv)
	require.Len(t, srv.Stats().Workers, 1)
	var clients sync.WaitGroup
	failures := make(chan error, 16)
	for i := range 16 {
		clients.Go(func() {
			for j := range 50 {
				text := fmt.Sprint(i, " ", j)
				response, err := http.Post("http://"+address, "text/plain", strings.NewReader(text))
				if err != nil {
					failures <- err
					return
				}
				body, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || string(body) != text {
					failures <- fmt.Errorf("%q, %w", body, err)
					return
				}
			}
		})
	}
	clients.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
	http.DefaultClient.CloseIdleConnections()
	require.NoError(t, srv.Shutdown(t.Context()))
	fmt.Println("served on 1 processor")
}

// With one P and only handlers to call, the worker waits for events in Go.
func TestHandlersShareOneProcessorWithTheWorker(t *testing.T) {
	t.Parallel()
	if !isChild() {
		output, err := child(t, "GOMAXPROCS=1").Output()
		require.NoError(t, err, "%s", output)
		require.Contains(t, string(output), "shared 1 processor")
		return
	}
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(entries)
	}
	before := 0
	for round := range 20 {
		entered, leave := make(chan struct{}, 2), make(chan struct{})
		srv := &kourier.Server{Config: kourier.Config{Workers: 1}}
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			entered <- struct{}{}
			if r.URL.Path == "/wait" {
				<-leave // while the worker waits
			}
			_, _ = io.WriteString(w, r.URL.Path)
		})
		address := serving(t, srv)
		waiting := async(func() string { return bodyOf(t, "http://"+address+"/wait") })
		soon(t, entered)
		require.Equal(t, "/quick", bodyOf(t, "http://"+address+"/quick"))
		soon(t, entered)
		if round%2 == 0 {
			ended := async(func() error { return srv.Shutdown(t.Context()) })
			close(leave)
			require.Equal(t, "/wait", soon(t, waiting))
			require.NoError(t, soon(t, ended))
		} else {
			close(leave)
			require.Equal(t, "/wait", soon(t, waiting))
			require.NoError(t, soon(t, async(srv.Close)))
		}
		http.DefaultClient.CloseIdleConnections()
		if round == 0 { // Go's poller has its own from now on
			before = descriptors()
		}
	}
	require.Equal(t, 1, runtime.GOMAXPROCS(0))
	require.Eventually(t, func() bool { return descriptors() <= before }, patience, time.Millisecond, "sockets close in the background")
	fmt.Println("shared 1 processor")
}

// bodyOf returns the body of an answer, or the error in its place.
func bodyOf(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}
