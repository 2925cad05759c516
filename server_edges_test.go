//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// A child process holds all sockets between fork and exec, also those that the
// server closes meanwhile.
func TestProcessesStartedMeanwhileDoNotDisturb(t *testing.T) {
	srv := &kourier.Server{
		Config: kourier.Config{Workers: 1},
		Fast:   func(req *kourier.Request, res *kourier.Response) { res.Send("text/plain", req.Path()) },
	}
	address := serving(t, srv)
	var children, clients sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		children.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = exec.Command("/bin/true").Run()
				}
			}
		})
	}
	for i := range 8 {
		clients.Go(func() {
			for n := range 400 {
				path := fmt.Sprintf("/%d-%d", i, n)
				p := dial(t, address)
				a := p.ask("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
				if a.body != path {
					t.Errorf("%s was answered %q", path, a.body)
					return
				}
				p.vanish()
			}
		})
	}
	clients.Wait()
	close(stop)
	children.Wait()
	eventually(t, func() bool { return srv.Stats().Workers[0].Conns == 0 }, "connections are left: %+v", srv.Stats())
	require.Zero(t, srv.Stats().ConnsIdle)
}

func TestARefusalBehindASlowAnswerIsNotForgotten(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 8<<20)
	var mutex sync.Mutex
	var seen []string
	address := serving(t, &kourier.Server{
		Config: kourier.Config{Workers: 1},
		Fast: func(req *kourier.Request, res *kourier.Response) {
			mutex.Lock()
			seen = append(seen, string(req.Path()))
			mutex.Unlock()
			if string(req.Path()) == "/large" {
				res.Send("text/plain", large)
				return
			}
			res.Send("text/plain", []byte("ok"))
		},
	})
	p := dialNarrow(t, address).send("GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /one HTTP/1.1\r\nHost: a\r\n\r\n" +
		"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\nAAAA")
	require.Len(t, p.answer().body, len(large))
	require.Equal(t, "ok", p.answer().body)
	p.send("GET /body HTTP/1.1\r\nHost: a\r\n\r\n")
	require.Equal(t, 413, p.answer().StatusCode)
	mutex.Lock()
	defer mutex.Unlock()
	require.Equal(t, []string{"/large", "/one"}, seen, "bytes of a refused request's body are no request")
}

type hollowError struct{ inner error }

func (e *hollowError) Error() string { return "hollow" }
func (e *hollowError) Unwrap() error { return e.inner }

func TestAPanicWithAnErrorWhoseMethodsPanic(t *testing.T) {
	var book logBook
	address := serving(t, &kourier.Server{
		ErrorLog: log.New(&book, "", 0),
		Fast:     func(*kourier.Request, *kourier.Response) { panic((*hollowError)(nil)) },
	})
	require.Equal(t, 500, dial(t, address).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").StatusCode)
}

func TestListenAndServeServesAddrBesideServe(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &kourier.Server{Addr: free.Addr().String(), Fast: sayHello}
	require.NoError(t, free.Close())
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	served := async(func() error { return srv.Serve(l) })
	eventually(t, func() bool { return len(srv.Addrs()) == 1 }, "Serve does not listen")
	both := async(srv.ListenAndServe)
	eventually(t, func() bool { return len(srv.Addrs()) == 2 }, "ListenAndServe does not listen")
	require.Equal(t, "hello", dial(t, srv.Addr).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").body)
	require.NoError(t, srv.Close())
	require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
	require.ErrorIs(t, soon(t, both), kourier.ErrServerClosed)
}

func TestAServerThatCouldNotBindHoldsNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(entries)
	}
	before := descriptors()
	for range 20 {
		srv := &kourier.Server{Addr: taken.Addr().String(), Config: kourier.Config{Workers: 4}}
		require.ErrorIs(t, srv.ListenAndServe(), syscall.EADDRINUSE)
	}
	require.Less(t, descriptors(), before+20)
}

func TestStaticAnswersTheAbsoluteFormWithoutAPath(t *testing.T) {
	srv := &kourier.Server{Fast: sayHello}
	require.NoError(t, srv.Static("GET /{$}", kourier.StaticResponse{Body: []byte("static")}))
	address := serving(t, srv)
	require.Equal(t, "static", dial(t, address).ask("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").body)
	require.Equal(t, "hello", dial(t, address).ask("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").body)
}

// The oldest idle connection is found among any number that are not idle.
func TestHalfSentHeadsDoNotKeepIdleConnectionsOpen(t *testing.T) {
	const conns = 600
	srv := &kourier.Server{Fast: sayHello, Config: kourier.Config{Workers: 1, MaxConns: conns}}
	address := serving(t, srv)
	for range conns - 20 {
		dial(t, address).send("GET / HT")
	}
	eventually(t, func() bool { return srv.Stats().ConnsActive == conns-20 }, "heads have not arrived")
	for range 20 {
		dial(t, address)
	}
	eventually(t, func() bool { return srv.Stats().ConnsIdle == 20 }, "connections are not idle")
	for range 20 {
		require.Equal(t, "hello", dial(t, address).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").body)
	}
	stats := srv.Stats()
	require.Zero(t, stats.Refused)
	require.EqualValues(t, 20, stats.Shed)
}

// Accepted sockets have no Nagle delay and probe silent peers, whoever made the listener.
func TestAcceptedSocketsHaveTheirOptions(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	given := &kourier.Server{Fast: sayHello}
	go func() { _ = given.Serve(l) }()
	t.Cleanup(func() { require.NoError(t, given.Close()) })
	for _, address := range []string{serving(t, &kourier.Server{Fast: sayHello}), l.Addr().String()} {
		p := dial(t, address)
		require.Equal(t, "hello", p.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").body)
		requireOptions(t, p.LocalAddr().(*net.TCPAddr).Port)
	}
}

// requireOptions looks at the socket in this process whose peer has that port.
func requireOptions(t *testing.T, peerPort int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		require.NoError(t, err)
		peer, err := syscall.Getpeername(fd)
		if err != nil {
			continue
		}
		if v4, ok := peer.(*syscall.SockaddrInet4); !ok || v4.Port != peerPort {
			continue
		}
		for _, option := range []struct{ level, name, want int }{
			{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
		} {
			value, err := syscall.GetsockoptInt(fd, option.level, option.name)
			require.NoError(t, err)
			require.Equal(t, option.want, value, "option %d of the socket from port %d", option.name, peerPort)
		}
		return
	}
	t.Fatal("the accepted socket was not found")
}

// Equal heads are parsed once; with -race that would show in a poisoned table of fields.
func TestRepeatedRequestsSeeTheirFields(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Fast: func(req *kourier.Request, res *kourier.Response) {
		res.Send("text/plain", append([]byte(req.Method()+" "), req.Header("X-Name")...))
	}}
	p := dial(t, serving(t, srv))
	p.send(strings.Repeat("GET /a HTTP/1.1\r\nHost: a\r\nX-Name: value\r\n\r\n", 600))
	for range 600 {
		require.Equal(t, "GET value", p.answer().body)
	}
}

func TestEventsTellOfWhatNoHandlerSees(t *testing.T) {
	t.Parallel()
	events := make(chan kourier.Event, 10)
	srv := &kourier.Server{
		Fast:    sayHello,
		Config:  kourier.Config{Workers: 2},
		OnEvent: func(e kourier.Event) { events <- e; panic("logged") },
	}
	srv.ErrorLog = log.New(io.Discard, "", 0)
	p := dial(t, serving(t, srv))
	const badHost = "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"
	require.Equal(t, 400, p.ask(badHost).StatusCode)
	sent := uint64(len(badHost))
	event := soon(t, events)
	require.Equal(t, kourier.ReasonBadHost, event.Reason)
	require.Equal(t, 400, event.Status)
	require.Equal(t, p.LocalAddr().String(), event.Remote.String())
	require.Equal(t, `"GET / HTTP/1.1"`, event.Detail)
	require.WithinDuration(t, time.Now(), event.Time, time.Minute)

	// Behind another, in pieces, in its body.
	for _, c := range []struct {
		pieces []string
		reason kourier.Reason
		detail string
	}{
		{[]string{helloRequest + "GET /a b HTTP/1.1\r\n\r\n"}, kourier.ReasonBadRequestLine, `"GET /a b HTTP/1.1"`},
		{[]string{helloRequest + "GET /", "\"x\r\n"}, kourier.ReasonBadTarget, `"GET /\"x"`},
		{[]string{"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", "xyz"}, kourier.ReasonBadChunk, `"POST /c HTTP/1.1"`},
	} {
		p := dial(t, srv.Addrs()[0].String())
		for i, piece := range c.pieces {
			if i > 0 {
				eventually(t, func() bool { return srv.Stats().BytesIn == sent }, "what came before is received")
			}
			p.send(piece)
			sent += uint64(len(piece))
		}
		event := soon(t, events)
		require.Equal(t, c.reason, event.Reason)
		require.Equal(t, c.detail, event.Detail)
	}
}
