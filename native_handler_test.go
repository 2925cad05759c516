//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// The tests in the files native_handler_*_test.go serve an http.Handler over real
// sockets, most of them on both engines.

// An engine is a way to serve a Handler.
type engine struct {
	network string
	foreign bool   // the listener is one that only the portable engine can serve
	tls     uint16 // the version of TLS, which only the portable engine speaks; 0 for none
}

func (e engine) String() string {
	switch {
	case e.tls != 0:
		return tls.VersionName(e.tls)
	case e.foreign:
		return "portable " + e.network
	}
	return "native " + e.network
}

// native reports whether the core serves e.
func (e engine) native() bool { return !e.foreign && e.tls == 0 }

// onEngines runs a test on each engine.
func onEngines(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	onNative(t, test)
	onEach(t, test, engine{network: "tcp", foreign: true})
}

// onTransports runs a test on each engine and with all that a connection may be. It reaches the server by [engine.dial].
func onTransports(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	onEngines(t, test)
	onEach(t, test, engine{network: "tcp6"}, engine{network: "tcp", tls: tls.VersionTLS12}, engine{network: "tcp", tls: tls.VersionTLS13})
}

// onNative runs a test on the native engine, with TCP and with Unix sockets.
func onNative(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	onEach(t, test, engine{network: "tcp"}, engine{network: "unix"})
}

func onEach(t *testing.T, test func(t *testing.T, e engine), engines ...engine) {
	t.Helper()
	for _, e := range engines {
		t.Run(e.String(), func(t *testing.T) { t.Parallel(); test(t, e) })
	}
}

// listen makes a listener of the kind that e serves.
func (e engine) listen(t *testing.T) (l net.Listener, address string) {
	t.Helper()
	where := "127.0.0.1:0"
	switch e.network {
	case "tcp6":
		hasIPv6(t)
		where = "[::1]:0"
	case "unix":
		folder, err := os.MkdirTemp("", "kourier") // t.TempDir may be too long a name for a socket
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(folder) })
		where = filepath.Join(folder, "socket")
	}
	l, err := net.Listen(e.network, where)
	require.NoError(t, err)
	address = l.Addr().String()
	if e.foreign {
		return foreignListener{l}, address
	}
	return l, address
}

// serving starts srv, which closes when the test ends. Without a log it has none.
func (e engine) serving(t *testing.T, srv *kourier.Server) (address string) {
	t.Helper()
	address, served := e.serve(t, srv)
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
	})
	return address
}

// serve starts srv, and sends what its Serve returns to served.
func (e engine) serve(t *testing.T, srv *kourier.Server) (address string, served <-chan error) {
	t.Helper()
	if srv.ErrorLog == nil && srv.Logger == nil {
		srv.ErrorLog = log.New(io.Discard, "", 0)
	}
	if e.tls != 0 {
		cert, _ := certificate(t)
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	l, address := e.listen(t)
	served = async(func() error { return e.serveListener(srv, l) })
	want := "portable"
	if e.native() {
		want = "native"
	}
	eventually(t, func() bool { return srv.Stats().Engine == want }, "%v serves", e)
	return address, served
}

func (e engine) serveListener(srv *kourier.Server, l net.Listener) error {
	if e.tls != 0 {
		return srv.ServeTLS(l, "", "")
	}
	return srv.Serve(l)
}

// dial connects to a server that e serves.
func (e engine) dial(t *testing.T, address string) *peer {
	t.Helper()
	p := dial(t, address)
	if e.tls != 0 {
		config := e.tlsConfig()
		config.ServerName = "example.com"
		p.Conn = tls.Client(p.Conn, config)
		p.reader = bufio.NewReader(p.Conn)
	}
	return p
}

// tlsConfig returns what a client of e needs.
func (e engine) tlsConfig() *tls.Config {
	return &tls.Config{MinVersion: e.tls, MaxVersion: e.tls, InsecureSkipVerify: true} // of a certificate made for the test
}

// handle starts a server that has nothing but a handler.
func (e engine) handle(t *testing.T, handler http.HandlerFunc) (address string) {
	t.Helper()
	return e.serving(t, &kourier.Server{Handler: handler})
}

// sayPath answers with the path of the request.
func sayPath(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }

// hasNone reports whether s has neither connections nor running handlers.
func hasNone(s kourier.Stats) bool {
	return s.ConnsActive == 0 && s.ConnsIdle == 0 && s.HandlersRunning == 0
}

// closeWrite ends the client's half of the connection.
func (p *peer) closeWrite() {
	p.t.Helper()
	require.NoError(p.t, p.Conn.(interface{ CloseWrite() error }).CloseWrite())
}

// ----------------------------------------------------------------- the request

func TestHandlersSeeRequestsAsNetHTTPMakesThem(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s|%s|%s|%d.%d|%s|%d|%v|%v|%v", r.Method, r.RequestURI, r.URL.Path, r.ProtoMajor, r.ProtoMinor,
				r.Host, r.ContentLength, r.TransferEncoding, r.Close, r.Body == http.NoBody)
		})
		for text, want := range map[string]string{
			"GET //host/x?q HTTP/1.1\r\nHost: a\r\n\r\n":     "GET|//host/x?q|//host/x|1.1|a|0|[]|false|true",
			"get / HTTP/1.1\r\nHost: a\r\n\r\n":              "get|/|/|1.1|a|0|[]|false|true",
			"GET http://other/p HTTP/1.1\r\nHost: a\r\n\r\n": "GET|http://other/p|/p|1.1|other|0|[]|false|true",
			"GET / HTTP/1.0\r\n\r\n":                         "GET|/|/|1.0||0|[]|true|true",
			post("/p", "four"):                               "POST|/p|/p|1.1|a|4|[]|false|false",
			post("/p", ""):                                   "POST|/p|/p|1.1|a|0|[]|false|true",
			postChunked("/p", "four"):                        "POST|/p|/p|1.1|a|-1|[chunked]|false|false",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx": "POST|/|/|1.1|a|1|[]|true|false",
		} {
			require.Equal(t, want, dial(t, address).ask(text).body, "%q", text)
		}
		for text, code := range map[string]int{
			"GET / HTTP/2.0\r\nHost: a\r\n\r\n":                                     505,
			"GET / HTTP/3.0\r\nHost: a\r\n\r\n":                                     505,
			"GET / HTTP/1.1\r\n\r\n":                                                400,
			"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n":                          400,
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n":         501,
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx":             400,
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: x\r\n\r\nx": 417,
			postChunked("/", "", "Trailer: A, content-length"):                      400,
			postChunked("/", "", "Trailer: Trailer"):                                400,
			postChunked("/", "", "Trailer: Transfer-Encoding"):                      400,
		} {
			a := dial(t, address).ask(text)
			require.Equal(t, code, a.StatusCode, "%q", text)
			require.True(t, a.Close)
		}
	})
}

func TestTheNativeEngineRefusesFoldsAndAmbiguousLengths(t *testing.T) {
	t.Parallel()
	onNative(t, func(t *testing.T, e engine) {
		var called atomic.Bool
		address := e.handle(t, func(http.ResponseWriter, *http.Request) { called.Store(true) })
		for _, text := range []string{
			"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		} {
			p := dial(t, address)
			require.Equal(t, 400, p.ask(text).StatusCode)
			p.mustEnd()
		}
		require.False(t, called.Load())
	})
}

// What a handler keeps of a request is never used for another one.
func TestAKeptRequestStaysAsItWas(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		var mu sync.Mutex
		var kept []*http.Request
		var writers []http.ResponseWriter
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			kept, writers = append(kept, r), append(writers, w)
			mu.Unlock()
		})
		const count = 200
		p := dial(t, address)
		var text strings.Builder
		for i := range count {
			text.WriteString(post(fmt.Sprintf("/%d?%d", i, i), fmt.Sprint(i), fmt.Sprintf("X-Number: %d", i)))
		}
		pipeline(t, p, text.String(), count, func(_ int, a answer) { require.Equal(t, 200, a.StatusCode) })
		require.Equal(t, 200, p.ask(helloRequest).StatusCode, "all before it are over")
		mu.Lock()
		requests, answers := kept[:count], writers[:count]
		mu.Unlock()
		for i, r := range requests {
			number := strconv.Itoa(i)
			require.Equal(t, "/"+number, r.URL.Path)
			require.Equal(t, number, r.URL.RawQuery)
			require.Equal(t, number, r.Header.Get("X-Number"))
			_, err := r.Body.Read(make([]byte, 1))
			require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
			require.ErrorIs(t, r.Context().Err(), context.Canceled)
			if e.foreign { // net/http's server has given the writer's buffer to another answer
				continue
			}
			_, err = answers[i].Write([]byte("late"))
			require.Error(t, err)
		}
		if !e.foreign {
			require.Equal(t, 200, p.ask(helloRequest).StatusCode, "the late ones have written nothing")
		}
	})
}

func TestBaseContextAndConnContextReachEveryRequest(t *testing.T) {
	t.Parallel()
	type key string
	onEngines(t, func(t *testing.T, e engine) {
		var bases, conns atomic.Int64
		srv := &kourier.Server{
			BaseContext: func(l net.Listener) context.Context {
				bases.Add(1)
				return context.WithValue(context.Background(), key("base"), l.Addr().String())
			},
			ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
				if ctx.Value(http.ServerContextKey) == nil || ctx.Value(key("base")) == nil {
					return nil
				}
				return context.WithValue(ctx, key("conn"), conns.Add(1))
			},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx := r.Context()
				_, known := ctx.Value(http.ServerContextKey).(*http.Server)
				fmt.Fprint(w, ctx.Value(key("base")), " ", ctx.Value(key("conn")), " ", known, " ", ctx.Value(http.LocalAddrContextKey))
			}),
		}
		address := e.serving(t, srv)
		for connection := 1; connection <= 3; connection++ {
			p := dial(t, address)
			for range 3 {
				require.Equal(t, fmt.Sprintf("%s %d true %s", address, connection, address), p.ask(helloRequest).body)
			}
		}
		require.EqualValues(t, 1, bases.Load())
		require.EqualValues(t, 3, conns.Load())
	})
}

// Each listener has a context of its own, whichever engine serves it, and however many sockets it has.
func TestBaseContextIsAskedOnceForEachListener(t *testing.T) {
	t.Parallel()
	type key struct{}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	var asked sync.Map
	var calls atomic.Int64
	srv := &kourier.Server{
		Config:    kourier.Config{Workers: 3, ReusePort: true},
		Protocols: &protocols,
		BaseContext: func(l net.Listener) context.Context {
			calls.Add(1)
			asked.Store(l.Addr().String(), l)
			return context.WithValue(context.Background(), key{}, l.Addr().String())
		},
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			if ctx.Value(http.ServerContextKey) == nil {
				return nil
			}
			return ctx
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, r.Proto, " ", r.Context().Value(key{}))
		}),
	}
	address := serving(t, srv) // several sockets
	addresses := []string{address}
	for _, e := range []engine{{network: "tcp"}, {network: "unix"}, {network: "tcp", foreign: true}} {
		l, address := e.listen(t)
		addresses = append(addresses, address)
		served := async(func() error { return srv.Serve(l) })
		eventually(t, func() bool { _, known := asked.Load(address); return known }, "%v is served", e)
		known, _ := asked.Load(address)
		require.True(t, known == any(l), "%v", known)
		t.Cleanup(func() { require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed) })
		t.Cleanup(func() { require.NoError(t, srv.Close()) })
	}
	for range 5 {
		for _, address := range addresses {
			require.Equal(t, "HTTP/1.1 "+address, dial(t, address).ask(helloRequest).body)
		}
	}
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	defer h2.CloseIdleConnections()
	for _, i := range []int{0, 1, 3} {
		response, err := (&http.Client{Transport: h2, Timeout: patience}).Get("http://" + addresses[i])
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, "HTTP/2.0 "+addresses[i], string(body))
	}
	require.EqualValues(t, len(addresses), calls.Load())
}

// The core keeps eight bits of a connection for its listener.
func TestBaseContextIsForManyListeners(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{
		Handler:     http.NotFoundHandler(),
		BaseContext: func(net.Listener) context.Context { return context.Background() },
	}
	for range 256 {
		_, err := srv.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
	}
	served := async(srv.ListenAndServe)
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, soon(t, served), kourier.ErrServerClosed)
	})
	for _, address := range srv.Addrs() {
		require.Equal(t, 404, dial(t, address.String()).ask(helloRequest).StatusCode)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.ErrorContains(t, srv.Serve(l), "at most 256 listeners")
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

// -------------------------------------------------------- the end of a context

// leaving says how a client goes.
var leaving = map[string]func(p *peer){
	"FIN":             func(p *peer) { _ = p.Close() },
	"RST":             (*peer).vanish,
	"FIN of one half": (*peer).closeWrite,
}

func TestAContextEndsWhenTheClientGoes(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no body":                  helloRequest,
		"an unread body":           post("/", strings.Repeat("x", 100_000)),
		"half an unread body":      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 100_000),
		"an unread chunked body":   postChunked("/", strings.Repeat("x", 100_000)),
		"an unread chunk":          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nxxx",
		"pipelined requests":       strings.Repeat(helloRequest, 3),
		"half a pipelined request": helloRequest + "GET / HT",
		"a client that waits":      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEngines(t, func(t *testing.T, e engine) {
				if e.foreign && name != "no body" {
					t.Skip("net/http does not notice: golang/go#23262, #37145")
				}
				ended := make(chan error, 16)
				reached := make(chan struct{}, 16)
				srv := &kourier.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					reached <- struct{}{}
					<-r.Context().Done()
					ended <- r.Context().Err()
				})}
				address := e.serving(t, srv)
				for how, leave := range leaving {
					if how == "RST" && e.network == "unix" {
						continue
					}
					p := dial(t, address).send(text)
					soon(t, reached)
					leave(p)
					require.ErrorIs(t, soon(t, ended), context.Canceled, how)
					_ = p.Close()
					eventually(t, func() bool { return hasNone(srv.Stats()) }, "it is gone after %s", how)
				}
			})
		})
	}
}

func TestCloseNotifyTellsOnce(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		told := make(chan bool, 2)
		reached := make(chan struct{}, 1)
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			gone := w.(http.CloseNotifier).CloseNotify() //nolint:staticcheck // that is what is tested
			reached <- struct{}{}
			told <- <-gone
			<-r.Context().Done()
			select {
			case <-gone:
				told <- false
			default:
				told <- true
			}
		})
		p := dial(t, address).send(helloRequest)
		soon(t, reached)
		require.NoError(t, p.Close())
		require.True(t, soon(t, told))
		require.True(t, soon(t, told), "once")
	})
}

// ------------------------------------------------------------------- reading

func TestABodyIsNotReceivedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		const size = 64 * mebibyte
		gate := newGate()
		srv := &kourier.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			gate.pass()
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, " ", err)
		})}
		address := e.serving(t, srv)
		p := dial(t, address).send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size))
		soon(t, gate.reached)
		native := srv.Stats().NativeBytes
		body := make([]byte, size)
		require.NoError(t, p.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
		n, err := p.Write(body)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the client is held back")
		require.Less(t, n, size/2)
		require.LessOrEqual(t, srv.Stats().NativeBytes, native+spareBytes)
		close(gate.open)
		require.NoError(t, p.SetWriteDeadline(time.Time{}))
		_, err = p.Write(body[n:])
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(size, " ", nil), p.answer().body)
	})
}

func TestAClientIsToldToContinueWhenTheBodyIsRead(t *testing.T) {
	t.Parallel()
	const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
	onEngines(t, func(t *testing.T, e engine) {
		late := make(chan error, 1)
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/":
				w.WriteHeader(http.StatusEarlyHints) // what comes behind it was not sent before
				for range 3 {
					n, err := io.ReadAll(r.Body)
					if len(n) == 0 && err == nil {
						continue
					}
					fmt.Fprintf(w, "%s %v", n, err)
				}
			case "/late":
				go func(body io.Reader, done <-chan struct{}) {
					<-done
					_, err := body.Read(make([]byte, 1))
					late <- err
				}(r.Body, r.Context().Done())
			}
		})
		p := dial(t, address).send(head)
		statusLine := func() string {
			line, err := p.reader.ReadString('\n')
			require.NoError(t, err)
			return strings.TrimSpace(line)
		}
		require.Equal(t, "HTTP/1.1 103 Early Hints", statusLine())
		require.Empty(t, statusLine())
		require.Equal(t, "HTTP/1.1 100 Continue", statusLine())
		require.Empty(t, statusLine())
		require.Equal(t, "four <nil>", p.send("four").answer().body, "told once")
		require.Equal(t, "four <nil>", func() string {
			p.send(head)
			for range 4 {
				statusLine()
			}
			return p.send("four").answer().body
		}(), "the connection has persisted")

		for _, path := range []string{"/unread", "/late"} {
			p = dial(t, address).send(strings.Replace(head, "/", path, 1))
			if e.foreign {
				p.closeWrite() // net/http waits for the body all the same
			}
			text := p.rest()
			require.NotContains(t, text, "100 Continue")
			require.Contains(t, text, "HTTP/1.1 200 OK")
			require.Contains(t, text, "Connection: close")
		}
		require.Error(t, soon(t, late))
	})
}

// Whatever a handler leaves of a body, the next request is the next one, or the connection closes.
func TestAnUnreadBodyIsNeverTakenForARequest(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, 2047, 2048, 64 << 10, 64<<10 + 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1 << 20}
	onEngines(t, func(t *testing.T, e engine) {
		for way, handler := range map[string]http.HandlerFunc{
			"ignored": sayPath,
			"closed":  func(w http.ResponseWriter, r *http.Request) { _ = r.Body.Close(); sayPath(w, r) },
			"begun": func(w http.ResponseWriter, r *http.Request) {
				_, _ = r.Body.Read(make([]byte, 1))
				sayPath(w, r)
			},
			"flushed before": func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				sayPath(w, r)
				w.(http.Flusher).Flush()
			},
		} {
			address := e.handle(t, handler)
			for _, size := range sizes {
				// A body that would be a request itself, were it taken for one.
				smuggled := "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
				body := strings.Repeat(smuggled, size/len(smuggled)+1)[:size]
				for framing, text := range map[string]string{"Content-Length": post("/first", body), "chunked": postChunked("/first", body)} {
					p := dial(t, address)
					written := async(func() error {
						_, err := io.WriteString(p.Conn, text+"GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
						return err
					})
					a := p.answer()
					require.Equal(t, "/first", a.body)
					name := fmt.Sprintf("%s, %s, %d bytes", way, framing, size)
					if !e.foreign && size <= 256<<10 && way != "flushed before" {
						require.False(t, a.Close, name)
					}
					if !e.foreign && size > 256<<10+1 && way != "flushed before" {
						require.True(t, a.Close, name)
					}
					if next, err := readAnswer(p.reader, "GET"); err == nil {
						require.False(t, a.Close, name)
						require.Equal(t, "/second", next.body, name)
						require.NoError(t, soon(t, written))
						p.mustEnd()
					} else {
						// net/http's server resets connections on which more comes.
						require.True(t, e.foreign || errors.Is(err, io.ErrUnexpectedEOF), "%s: %v", name, err)
						require.NoError(t, p.Close())
						<-written
					}
				}
			}
		}
	})
}

// What is drained to make way for an answer is lost to the handler, which is told so:
// it never takes what is left for the whole.
func TestABodyThatMadeWayForTheAnswerCannotBeRead(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		type result struct {
			rest int64
			err  error
		}
		results := make(chan result, 1)
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, 1))
			w.(http.Flusher).Flush()
			n, err := io.Copy(io.Discard, r.Body)
			results <- result{n, err}
			_, err = r.Body.Read(make([]byte, 1))
			results <- result{0, err}
		})
		const declared, inChunks = "Content-Length: %d", "Transfer-Encoding: chunked, of %d"
		for _, c := range []struct {
			framing string
			size    int
			want    error // nil: all of it can be read on
			here    bool  // net/http's server goes on reading behind what it has drained
		}{
			{framing: declared, size: 100 << 10, want: http.ErrBodyReadAfterClose},
			{framing: declared, size: 1 << 20},
			{framing: declared, size: 1},
			{framing: inChunks, size: 100 << 10, want: http.ErrBodyReadAfterClose},
			{framing: inChunks, size: 1 << 20, want: http.ErrBodyReadAfterClose, here: true},
		} {
			if e.foreign && (c.here || c.size == 1) {
				continue
			}
			name := fmt.Sprintf(c.framing, c.size)
			field, _, _ := strings.Cut(name, ", ")
			body := strings.Repeat("b", c.size)
			if c.framing == inChunks {
				body = chunked(body)
			}
			p := dial(t, address).send("POST / HTTP/1.1\r\nHost: a\r\n" + field + "\r\n\r\n")
			written := async(func() error { _, err := io.WriteString(p.Conn, body); return err })
			first, second := <-results, <-results
			if c.want != nil {
				require.Equal(t, result{err: c.want}, first, name)
				require.Equal(t, result{err: c.want}, second, name)
			} else {
				require.Equal(t, result{rest: int64(c.size) - 1}, first, name)
				require.Equal(t, result{err: io.EOF}, second, name)
			}
			require.NoError(t, p.Close())
			<-written
		}
	})
}

// A body that breaks while it makes way is no closed one.
func TestWhatBreaksABodyIsToldAlsoWhenItMadeWay(t *testing.T) {
	t.Parallel()
	onNative(t, func(t *testing.T, e engine) {
		begun, errs := make(chan bool, 1), make(chan error, 1)
		address := e.serving(t, &kourier.Server{
			Config: kourier.Config{MaxBodyBytes: 1000},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				begun <- true
				w.(http.Flusher).Flush()
				_, err := io.ReadAll(r.Body)
				errs <- err
			}),
		})
		const head = "POST / HTTP/1.1\r\nHost: a\r\n"
		chunk := fmt.Sprintf("%x\r\n%s\r\n", 900, strings.Repeat("x", 900))
		p := dial(t, address).send(head + "Transfer-Encoding: chunked\r\n\r\n")
		soon(t, begun)
		p.send(chunk + chunk)
		var large *http.MaxBytesError
		require.ErrorAs(t, soon(t, errs), &large)
		dial(t, address).send(head + "Content-Length: 900\r\n\r\nxxx").closeWrite()
		soon(t, begun)
		require.ErrorIs(t, soon(t, errs), io.ErrUnexpectedEOF)
	})
}

func TestFullDuplex(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			if control.EnableFullDuplex() != nil {
				return
			}
			for lines := bufio.NewScanner(r.Body); lines.Scan(); {
				fmt.Fprintln(w, lines.Text())
				if control.Flush() != nil {
					return
				}
			}
		})
		p := dial(t, address)
		for range 2 { // the connection persists
			p.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
			var echoed *bufio.Reader
			for i := range 50 {
				line := fmt.Sprintln("line", i)
				p.send(fmt.Sprintf("%x\r\n%s\r\n", len(line), line))
				if echoed == nil {
					response, err := http.ReadResponse(p.reader, nil)
					require.NoError(t, err)
					echoed = bufio.NewReader(response.Body)
				}
				got, err := echoed.ReadString('\n')
				require.NoError(t, err)
				require.Equal(t, line, got)
			}
			p.send("0\r\n\r\n")
			rest, err := io.ReadAll(echoed)
			require.NoError(t, err)
			require.Empty(t, rest)
		}
	})
}

func TestBrokenAndLargeBodiesEndTheirConnection(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		errs := make(chan error, 1)
		srv := &kourier.Server{
			Config: kourier.Config{MaxBodyBytes: 100_000},
			Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				errs <- err
			}),
		}
		address := e.serving(t, srv)
		ask := func(text string, leave func(p *peer)) error {
			p := dial(t, address).send(text)
			if leave != nil {
				leave(p)
			}
			if rest := p.rest(); strings.HasPrefix(rest, "HTTP/1.1 4") {
				return errors.New(rest) // the core has seen it before the handler
			}
			return soon(t, errs)
		}
		const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		require.Error(t, ask(chunked+"4\r\nfour\r\nno size\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", nil))
		var large *http.MaxBytesError
		require.ErrorAs(t, ask(chunked+fmt.Sprintf("%x\r\n%s\r\n", 90_000, strings.Repeat("x", 90_000))+
			fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 20_000, strings.Repeat("x", 20_000)), nil), &large)
		require.EqualValues(t, 100_000, large.Limit)
		require.ErrorIs(t, ask(chunked+"4\r\nfo", (*peer).closeWrite), io.ErrUnexpectedEOF)
		require.ErrorIs(t, ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfo", (*peer).closeWrite), io.ErrUnexpectedEOF)
	})
}

// ------------------------------------------------------------------- writing

func TestAnswersOfHandlersOnTheWire(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		handlers := map[string]http.HandlerFunc{
			"/unknown": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599) },
			"/late": func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusOK)
				w.Header().Set("X-Late", "lost")
			},
			"/long": func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.Copy(w, strings.NewReader(strings.Repeat("x", 2049)))
			},
			"/short": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 2048)) },
			"/trailer": func(w http.ResponseWriter, _ *http.Request) {
				w.(http.Flusher).Flush()
				w.Header().Set(http.TrailerPrefix+"T", "v")
			},
			"/bad": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "many")
				_, _ = io.WriteString(w, "x")
			},
			"/none":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
			"/empty": func(http.ResponseWriter, *http.Request) {},
		}
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) { handlers[r.URL.Path](w, r) })
		p := dial(t, address)
		ask := func(path string) answer { return p.ask("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n") }
		require.Equal(t, "599 status code 599", ask("/unknown").Status)
		require.Empty(t, ask("/late").Header.Get("X-Late"))
		require.EqualValues(t, 2048, ask("/short").ContentLength)
		long := ask("/long")
		require.Equal(t, []string{"chunked"}, long.TransferEncoding)
		require.Len(t, long.body, 2049)
		require.Equal(t, "v", ask("/trailer").Trailer.Get("T"))
		require.Equal(t, "x", ask("/bad").body)
		require.NotContains(t, ask("/none").Header, "Content-Length")
		empty := ask("/empty")
		require.EqualValues(t, 0, empty.ContentLength)
		require.Empty(t, empty.Header.Get("Server"))
		require.Empty(t, empty.Header.Get("Content-Type"))
	})
}

func TestAPanicEndsItsConnectionInTheWordsOfNetHTTP(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		book := &logBook{}
		srv := &kourier.Server{
			ErrorLog: log.New(book, "", 0),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/abort":
					panic(http.ErrAbortHandler)
				case "/panic":
					panic("the reason")
				case "/late":
					_, _ = w.Write(make([]byte, 10_000))
					w.(http.Flusher).Flush()
					panic("too late")
				case "/twice":
					w.WriteHeader(200)
					w.WriteHeader(500)
				}
			}),
		}
		address := e.serving(t, srv)
		get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" }
		witness := dial(t, address)
		for _, path := range []string{"/panic", "/abort"} {
			dial(t, address).send(get(path)).mustBreak()
			p := dial(t, address).send(get("/good") + get(path) + get("/never"))
			require.Equal(t, 200, p.answer().StatusCode, "the answer before it arrives")
			p.mustBreak()
		}
		_, err := readAnswer(dial(t, address).send(get("/late")).reader, "GET")
		require.Error(t, err, "the client sees that it has not got all")
		require.Equal(t, 200, witness.ask(get("/twice")).StatusCode)
		eventually(t, func() bool { return strings.Count(book.String(), "http: panic serving ") == 3 }, "all are logged")
		text := book.String()
		remote := "127.0.0.1:"
		if e.network == "unix" {
			remote = ""
		}
		require.Contains(t, text, "http: panic serving "+remote)
		require.Contains(t, text, ": the reason\ngoroutine ")
		require.Contains(t, text, ": too late\ngoroutine ")
		require.NotContains(t, text, "abort Handler")
		require.Contains(t, text, "http: superfluous response.WriteHeader call from github.com/kourier-go/kourier_test.")
	})
}

// ----------------------------------------------------------------- pipelining

func TestPipelinedRequestsOfAllKindsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		for _, count := range []int{300, 2000} {
			srv := &kourier.Server{
				Fast: func(req *kourier.Request, res *kourier.Response) {
					if !bytes.HasPrefix(req.Path(), []byte("/fast/")) {
						res.Pass()
						return
					}
					res.Send("text/plain", req.Path())
				},
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return
					}
					fmt.Fprintf(w, "%s %d", r.URL.Path, len(body))
					if strings.HasSuffix(r.URL.Path, "7") {
						w.(http.Flusher).Flush()
					}
				}),
			}
			require.NoError(t, srv.Static("/static", kourier.StaticResponse{Body: []byte("static")}))
			address := e.serving(t, srv)
			var text strings.Builder
			var want []string
			body := strings.Repeat("x", 1000)
			for i := range count {
				path := fmt.Sprintf("/%d", i)
				switch i % 11 {
				case 0, 1, 5:
					path = "/fast" + path
					text.WriteString(strings.Replace(helloRequest, "/", path, 1))
					want = append(want, path)
				case 2, 7:
					text.WriteString(strings.Replace(helloRequest, "/", "/static", 1))
					want = append(want, "static")
				case 3:
					text.WriteString(post(path, body))
					want = append(want, path+" 1000")
				case 4, 9:
					text.WriteString(postChunked(path, body))
					want = append(want, path+" 1000")
				case 10:
					large := strings.Repeat("x", 70_000+i)
					text.WriteString(postChunked(path, large))
					want = append(want, fmt.Sprint(path, " ", len(large)))
				default:
					text.WriteString(strings.Replace(helloRequest, "/", path, 1))
					want = append(want, path+" 0")
				}
			}
			p := dial(t, address)
			pipeline(t, p, text.String()+"GET / HTTP/1.1\r\nno colon\r\n\r\n", count, func(i int, a answer) {
				require.Equal(t, 200, a.StatusCode)
				require.Equal(t, want[i], a.body)
			})
			require.Equal(t, 400, p.answer().StatusCode, "the malformed one comes last")
			p.mustBreak()
		}
	})
}

func TestASlowAnswerHoldsBackLaterOnesAndNoEarlierOne(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		gate := newGate()
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				gate.pass()
			}
			sayPath(w, r)
		})
		get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" }
		p := dial(t, address).send(get("/first") + get("/slow") + get("/last"))
		require.Equal(t, "/first", p.answer().body, "before the slow one is done")
		soon(t, gate.reached)
		close(gate.open)
		require.Equal(t, "/slow", p.answer().body)
		require.Equal(t, "/last", p.answer().body)
	})
}

// --------------------------------------------------------------------- files

func TestFilesArriveIntact(t *testing.T) {
	t.Parallel()
	content := patternBody(8*mebibyte + 123)
	name := filepath.Join(t.TempDir(), "file.bin")
	require.NoError(t, os.WriteFile(name, content, 0o600))
	onEngines(t, func(t *testing.T, e engine) {
		srv := &kourier.Server{
			WriteTimeout: patience,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				file, err := os.Open(name)
				if err != nil {
					return
				}
				defer file.Close()
				switch r.URL.Path {
				case "/content":
					http.ServeContent(w, r, name, time.Time{}, file)
				case "/copy":
					_, _ = io.Copy(w, file)
				case "/sized":
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
					_, _ = w.Write(content[:10])
					_, _ = file.Seek(10, io.SeekStart)
					_, _ = io.Copy(w, file)
				}
			}),
		}
		address := e.serving(t, srv)
		p := dial(t, address)
		get := func(path string, fields ...string) answer {
			return p.ask("GET " + path + " HTTP/1.1\r\n" + strings.Join(append(fields, "Host: a"), "\r\n") + "\r\n\r\n")
		}
		for _, path := range []string{"/content", "/copy", "/sized"} {
			require.True(t, bytes.Equal(content, []byte(get(path).body)), path)
		}
		size := len(content)
		for _, r := range [][2]int{{0, 0}, {0, size - 1}, {1, 40_000}, {size - 1, size - 1}, {size / 2, size - 2}, {5, 32<<10 + 5}} {
			a := get("/content", fmt.Sprintf("Range: bytes=%d-%d", r[0], r[1]))
			require.Equal(t, 206, a.StatusCode)
			require.True(t, bytes.Equal(content[r[0]:r[1]+1], []byte(a.body)), "%v", r)
		}
		require.Equal(t, 416, get("/content", fmt.Sprintf("Range: bytes=%d-", size)).StatusCode)
		multi := get("/content", fmt.Sprintf("Range: bytes=0-99999,%d-", size-100_000))
		require.Equal(t, 206, multi.StatusCode)
		require.Contains(t, multi.body, string(content[:100_000]))
		require.Contains(t, multi.body, string(content[size-100_000:]))
		head := p.ask("HEAD /content HTTP/1.1\r\nHost: a\r\n\r\n")
		require.EqualValues(t, size, head.ContentLength)
		require.Empty(t, head.body)
	})
}
