//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// --------------------------------------------------------------------- hijack

const upgradeRequest = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

// upgrade takes the connection over and echoes what comes.
func upgrade(w http.ResponseWriter, _ *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_ = buffered.Flush()
	_, _ = io.Copy(conn, buffered)
}

func TestHijackedConnectionsAreTheHandlers(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		kinds := make(chan string, 1)
		srv := &kourier.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _, again := w.(http.Hijacker).Hijack()
			_, late := w.Write([]byte("late"))
			text := make([]byte, 11)
			_, readErr := io.ReadFull(buffered, text)
			kinds <- fmt.Sprintf("%T %v %v %s %v %v %v", conn, errors.Is(again, http.ErrHijacked), errors.Is(late, http.ErrHijacked), text, readErr,
				r.Context().Err(), r.Context().Value(http.LocalAddrContextKey) != nil)
			_, _ = io.Copy(conn, buffered)
			_ = conn.Close()
		})}
		address := e.serving(t, srv)
		p := dial(t, address).send(helloRequest + "hello ").send("world" + "echoed")
		kind := map[string]string{"tcp": "*net.TCPConn", "unix": "*net.UnixConn"}[e.network]
		require.Equal(t, kind+" true true hello world <nil> <nil> true", soon(t, kinds))
		echoed := make([]byte, 6)
		_, err := io.ReadFull(p, echoed)
		require.NoError(t, err)
		require.Equal(t, "echoed", string(echoed))
		eventually(t, func() bool { return hasNone(srv.Stats()) || srv.Stats().HandlersRunning == 1 }, "it is not the server's")
		require.NoError(t, soon(t, async(func() error { return srv.Shutdown(context.Background()) })), "it is not waited for")
		_, err = io.WriteString(p, "more..")
		require.NoError(t, err)
		_, err = io.ReadFull(p, echoed)
		require.NoError(t, err)
		require.Equal(t, "more..", string(echoed))
		require.NoError(t, p.Close())
	})
}

// The place of a hijacked connection is another's at once, and that one misses nothing.
func TestManyConnectionsAreHijackedBesideOthers(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		srv := &kourier.Server{
			Config: kourier.Config{Workers: 1},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Upgrade") != "" {
					upgrade(w, r)
					return
				}
				body, _ := io.ReadAll(r.Body)
				_, _ = w.Write(body)
			}),
		}
		address := e.serving(t, srv)
		var clients sync.WaitGroup
		for i := range 8 {
			clients.Go(func() {
				for range 125 {
					conn, err := net.Dial(e.network, address)
					if err != nil {
						t.Error(err)
						return
					}
					_ = conn.SetDeadline(time.Now().Add(patience))
					reader := bufio.NewReader(conn)
					if i%2 == 0 {
						_, _ = io.WriteString(conn, upgradeRequest+"early ")
						response, err := http.ReadResponse(reader, nil)
						text := make([]byte, 10)
						if err == nil {
							_, _ = io.WriteString(conn, "late")
							_, err = io.ReadFull(reader, text)
						}
						if err != nil || response.StatusCode != 101 || string(text) != "early late" {
							t.Errorf("%q, %v", text, err)
						}
					} else { // the body is waited for
						_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nearly ")
						_, _ = io.WriteString(conn, "late")
						if a, err := readAnswer(reader, "POST"); err != nil || a.body != "early late" {
							t.Errorf("%q, %v", a.body, err)
						}
					}
					_ = conn.Close()
				}
			})
		}
		clients.Wait()
		eventually(t, func() bool { return hasNone(srv.Stats()) }, "all have gone")
	})
}

// Also behind a request that ends the connection, where nobody else would look at it.
func TestHijackersGetWhatFollowsTheLastRequest(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		address := e.handle(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			line, err := buffered.ReadString('\n')
			_, _ = fmt.Fprint(conn, line, err)
		})
		for _, head := range []string{
			"GET / HTTP/1.0\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"CONNECT a:1 HTTP/1.0\r\n\r\n",
			"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
		} {
			require.Equal(t, "ping\n<nil>", dial(t, address).send(head+"ping\n").rest(), head)
		}
	})
}

// A goroutine that waits for the body does not keep the connection from being hijacked.
func TestHijackEndsARead(t *testing.T) {
	t.Parallel()
	onNative(t, func(t *testing.T, e engine) {
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			begun := make(chan struct{})
			ended := async(func() error {
				_, err := r.Body.Read(make([]byte, 1))
				close(begun)
				if err == nil {
					_, err = r.Body.Read(make([]byte, 1))
				}
				return err
			})
			<-begun
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			fmt.Fprint(conn, errors.Is(<-ended, os.ErrDeadlineExceeded))
			_ = conn.Close()
		})
		p := dial(t, address).send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
		text, err := io.ReadAll(p)
		require.NoError(t, err)
		require.Contains(t, []string{"true", "false"}, string(text)) // false: Hijack came before the second read
	})
}

// ----------------------------------------------------------------------- HTTP/2

func TestHTTP2WithoutTLS(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		if e.network == "unix" {
			t.Skip("the same code")
		}
		var protocols http.Protocols
		protocols.SetHTTP1(true)
		protocols.SetUnencryptedHTTP2(true)
		srv := &kourier.Server{Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %d", r.Proto, len(body))
		})}
		address := e.serving(t, srv)
		var only http.Protocols
		only.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &only}
		t.Cleanup(transport.CloseIdleConnections)
		client := &http.Client{Transport: transport, Timeout: patience}
		var asks sync.WaitGroup
		for range 20 {
			asks.Go(func() {
				response, err := client.Post("http://"+address+"/", "x/y", bytes.NewReader(make([]byte, 200_000)))
				if err != nil {
					t.Error(err)
					return
				}
				text, _ := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if string(text) != "HTTP/2.0 200000" {
					t.Errorf("%q", text)
				}
			})
		}
		asks.Wait()
		require.Equal(t, "HTTP/1.1 0", dial(t, address).ask(helloRequest).body)
		require.NoError(t, soon(t, async(func() error { return srv.Shutdown(context.Background()) })))
	})
}

func TestAHandlerMayHijackThePrefaceOfHTTP2(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != "PRI" {
				return
			}
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			rest := make([]byte, 6)
			_, _ = io.ReadFull(buffered, rest)
			fmt.Fprintf(conn, "%s %s %q", r.RequestURI, r.Proto, rest)
		})
		const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
		for cut := range len(preface) {
			p := dial(t, address)
			if cut > 0 {
				p.send(preface[:cut])
			}
			require.Equal(t, `* HTTP/2.0 "SM\r\n\r\n"`, p.send(preface[cut:]).rest(), "%d", cut)
		}
	})
}

// ------------------------------------------------------------------- ConnState

// A stateBook records what ConnState is told.
type stateBook struct {
	mu     sync.Mutex
	order  []net.Conn
	states map[net.Conn]string
	last   int // index of the connection that follow has opened last
}

func (b *stateBook) tell(c net.Conn, state http.ConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.states == nil {
		b.states = map[net.Conn]string{}
	}
	if b.states[c] == "" {
		b.order = append(b.order, c)
	}
	b.states[c] += state.String() + " "
}

// of returns the states of the connection that came at index.
func (b *stateBook) of(index int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if index >= len(b.order) {
		return ""
	}
	return strings.TrimSpace(b.states[b.order[index]])
}

// follow returns what opens a connection, which becomes new, and what waits until the last one has had these states.
func (b *stateBook) follow(t *testing.T, address string) (next func() *peer, become func(states string)) {
	b.last = -1
	become = func(states string) {
		t.Helper()
		eventually(t, func() bool { return b.of(b.last) == states }, "%s", states)
	}
	next = func() *peer {
		b.last++
		p := dial(t, address)
		become("new")
		return p
	}
	return next, become
}

func TestConnStateTellsEveryStateOnce(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		book := &stateBook{}
		gate := newGate()
		srv := &kourier.Server{ConnState: book.tell, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/hijack":
				upgrade(w, r)
			case "/panic":
				panic(http.ErrAbortHandler)
			case "/wait":
				gate.pass()
			}
		})}
		address := e.serving(t, srv)
		get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" }
		next, become := book.follow(t, address)
		p := next()
		p.ask(helloRequest)
		become("new active idle")
		p.ask(helloRequest)
		become("new active idle active idle")
		require.NoError(t, p.Close())
		become("new active idle active idle closed")
		require.NoError(t, next().Close())
		become("new closed")
		next().ask(closeRequest)
		become("new active closed")
		next().send(get("/panic")).mustBreak()
		become("new active closed")
		p = next().send(get("/hijack"))
		become("new active hijacked")
		require.NoError(t, p.Close())

		// What the user has of a connection closes it, in every state.
		p = next()
		p.ask(helloRequest)
		become("new active idle")
		book.mu.Lock()
		idle := book.order[book.last]
		book.mu.Unlock()
		require.NoError(t, idle.Close())
		become("new active idle closed")
		p.mustEnd()

		p = next()
		p.ask(helloRequest)
		become("new active idle")
		waiting := book.last
		next().send(get("/wait"))
		soon(t, gate.reached)
		become("new active")
		require.NoError(t, srv.Close())
		close(gate.open)
		become("new active closed")
		eventually(t, func() bool { return book.of(waiting) == "new active idle closed" }, "Close tells of the idle: %s", book.of(waiting))
		book.mu.Lock()
		defer book.mu.Unlock()
		for _, c := range book.order {
			_ = c.Close() // of a server that is no more
		}
	})
}

// Requests that no Handler sees make a connection active as well.
func TestConnStateTellsOfWhatNoHandlerAnswers(t *testing.T) {
	t.Parallel()
	const fast = "GET /fast HTTP/1.1\r\nHost: a\r\n\r\n"
	onEngines(t, func(t *testing.T, e engine) {
		for _, handler := range []http.Handler{nil, http.NotFoundHandler()} {
			book := &stateBook{}
			srv := &kourier.Server{
				ConnState: book.tell,
				Handler:   handler,
				Fast: func(req *kourier.Request, res *kourier.Response) {
					if string(req.Path()) == "/fast" {
						res.Send("text/plain", nil)
					} else {
						res.Pass()
					}
				},
				ReadHeaderTimeout: 100 * time.Millisecond,
			}
			require.NoError(t, srv.Static("/static", kourier.StaticResponse{}))
			address := e.serving(t, srv)
			next, become := book.follow(t, address)
			p := next()
			p.ask(fast)
			become("new active idle")
			p.ask("GET /static HTTP/1.1\r\nHost: a\r\n\r\n")
			become("new active idle active idle")
			p.ask(helloRequest)
			become("new active idle active idle active idle")
			p.ask(fast)
			become("new active idle active idle active idle active idle")
			require.NoError(t, p.Close())
			become("new active idle active idle active idle active idle closed")

			for _, text := range []string{
				"malformed\r\n\r\n",
				"GET /static HTTP/1.0\r\n\r\n",
				"GET /fast HTTP/1.0\r\n\r\n",
				"GET /half",
			} {
				p = next().send(text)
				p.rest()
				require.NoError(t, p.Close())
				become("new active closed")
			}
		}
	})
}

// ------------------------------------------------------------------ the end

func TestShutdownWaitsForHandlers(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		gate := newGate()
		told := make(chan struct{}, 16)
		srv := &kourier.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				return
			}
			gate.pass()
			body, err := io.ReadAll(r.Body)
			fmt.Fprint(w, len(body), err)
		})}
		srv.RegisterOnShutdown(func() { told <- struct{}{} })
		address := e.serving(t, srv)
		idle := dial(t, address)
		idle.ask("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n")
		plain := dial(t, address).send(helloRequest)
		open := dial(t, address).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf ")
		soon(t, gate.reached)
		soon(t, gate.reached)
		ended := async(func() error { return srv.Shutdown(context.Background()) })
		soon(t, told)
		idle.mustEnd()
		eventually(t, func() bool {
			conn, err := net.Dial(e.network, address)
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		}, "nobody listens")
		canceled, cancel := context.WithCancel(context.Background())
		cancel()
		require.ErrorIs(t, srv.Shutdown(canceled), context.Canceled)
		select {
		case err := <-ended:
			t.Fatalf("Shutdown has not waited: %v", err)
		default:
		}
		close(gate.open)
		a := plain.answer()
		require.Equal(t, "0 <nil>", a.body)
		require.True(t, a.Close)
		require.Equal(t, "10 <nil>", open.send("whole").answer().body)
		require.NoError(t, soon(t, ended))
	})
}

func TestANeverUsedConnectionDoesNotHoldShutdownUp(t *testing.T) {
	t.Parallel()
	onNative(t, func(t *testing.T, e engine) { // net/http waits for five seconds
		srv := &kourier.Server{Handler: http.HandlerFunc(sayPath)}
		never := dial(t, e.serving(t, srv))
		eventually(t, func() bool { return srv.Stats().ConnsIdle == 1 }, "it has come")
		require.NoError(t, soon(t, async(func() error { return srv.Shutdown(context.Background()) })))
		never.mustEnd()
	})
}

func TestCloseWakesHandlers(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		reached, left := make(chan struct{}, 8), make(chan string, 8)
		srv := &kourier.Server{
			Config: kourier.Config{MinBodyRate: -1, MinDrainRate: -1},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached <- struct{}{}
				var err error
				switch r.URL.Path {
				case "/read":
					_, err = io.ReadAll(r.Body)
				case "/write":
					for piece := make([]byte, 1<<20); err == nil; {
						_, err = w.Write(piece)
					}
				case "/context":
					<-r.Context().Done()
					err = r.Context().Err()
				}
				if err != nil {
					left <- r.URL.Path
				}
			}),
		}
		address := e.serving(t, srv)
		dial(t, address).send("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
		dial(t, address).send("GET /write HTTP/1.1\r\nHost: a\r\n\r\n")
		dial(t, address).send("GET /context HTTP/1.1\r\nHost: a\r\n\r\n")
		for range 3 {
			soon(t, reached)
		}
		require.NoError(t, soon(t, async(srv.Close)))
		paths := []string{soon(t, left), soon(t, left), soon(t, left)}
		require.ElementsMatch(t, []string{"/read", "/write", "/context"}, paths)
		eventually(t, func() bool { return srv.Stats().ConnsActive == 0 }, "they have gone")
	})
}

func TestAHandlerMayEndItsServerItself(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		for name, end := range map[string]func(srv *kourier.Server) error{
			"Close": (*kourier.Server).Close,
			"Shutdown": func(srv *kourier.Server) error {
				canceled, cancel := context.WithCancel(context.Background())
				cancel()
				_ = srv.Shutdown(canceled)
				go func() { _ = srv.Shutdown(context.Background()) }()
				return nil
			},
		} {
			ended := make(chan error, 1)
			srv := &kourier.Server{}
			srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "bye")
				ended <- end(srv)
			})
			p := dial(t, e.serving(t, srv)).send(helloRequest)
			require.NoError(t, soon(t, ended), name)
			if name == "Shutdown" {
				require.Equal(t, "bye", p.answer().body)
			}
			_, _ = io.Copy(io.Discard, p)
		}
	})
}

func TestWithoutKeepAlivesIdleConnectionsClose(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		srv := &kourier.Server{Handler: http.HandlerFunc(sayPath)}
		address := e.serving(t, srv)
		p := dial(t, address)
		require.False(t, p.ask(helloRequest).Close)
		eventually(t, func() bool { return srv.Stats().ConnsIdle == 1 }, "it is idle")
		srv.SetKeepAlivesEnabled(false)
		p.mustEnd()
		p = dial(t, address)
		require.True(t, p.ask(helloRequest).Close)
		p.mustEnd()
		srv.SetKeepAlivesEnabled(true)
		require.False(t, dial(t, address).ask(helloRequest).Close)
	})
}

// ------------------------------------------------------------------ deadlines

func TestTimeoutsOfHandlers(t *testing.T) {
	t.Parallel()
	const short = 150 * time.Millisecond
	const half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"
	onEngines(t, func(t *testing.T, e engine) {
		read := func(w http.ResponseWriter, r *http.Request) error {
			_, err := io.ReadAll(r.Body)
			return err
		}
		write := func(w http.ResponseWriter, r *http.Request) error {
			for piece := make([]byte, 1<<20); ; {
				if _, err := w.Write(piece); err != nil {
					return err
				}
			}
		}
		for name, c := range map[string]struct {
			srv    *kourier.Server
			handle func(w http.ResponseWriter, r *http.Request) error
		}{
			"ReadTimeout":  {&kourier.Server{ReadTimeout: short}, read},
			"WriteTimeout": {&kourier.Server{WriteTimeout: short}, write},
			"SetReadDeadline": {&kourier.Server{}, func(w http.ResponseWriter, r *http.Request) error {
				return errors.Join(http.NewResponseController(w).SetReadDeadline(time.Now().Add(short)), read(w, r))
			}},
			"SetWriteDeadline": {&kourier.Server{}, func(w http.ResponseWriter, r *http.Request) error {
				return errors.Join(http.NewResponseController(w).SetWriteDeadline(time.Now().Add(short)), write(w, r))
			}},
			"a past SetReadDeadline": {&kourier.Server{}, func(w http.ResponseWriter, r *http.Request) error {
				return errors.Join(http.NewResponseController(w).SetReadDeadline(time.Now()), read(w, r))
			}},
			"a past SetWriteDeadline": {&kourier.Server{}, func(w http.ResponseWriter, r *http.Request) error {
				return errors.Join(http.NewResponseController(w).SetWriteDeadline(time.Now()), write(w, r))
			}},
			"a past SetWriteDeadline, to a file": {&kourier.Server{}, func(w http.ResponseWriter, r *http.Request) error {
				file, err := os.Open(os.Args[0])
				if err != nil {
					return err
				}
				defer file.Close()
				w.Header().Set("Content-Length", "1000000")
				w.(http.Flusher).Flush()
				err = http.NewResponseController(w).SetWriteDeadline(time.Now())
				_, copyErr := io.CopyN(w, file, 1_000_000)
				return errors.Join(err, copyErr)
			}},
			"SetReadDeadline while it waits": {&kourier.Server{}, func(w http.ResponseWriter, r *http.Request) error {
				ended := async(func() error { return read(w, r) })
				return errors.Join(http.NewResponseController(w).SetReadDeadline(time.Now()), <-ended)
			}},
		} {
			if e.foreign && name == "SetReadDeadline while it waits" {
				continue // net/http's server holds the lock of the body meanwhile
			}
			failed := make(chan error, 1)
			c.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { failed <- c.handle(w, r) })
			text := half
			if strings.Contains(name, "Write") {
				text = helloRequest
			}
			p := dial(t, e.serving(t, c.srv)).send(text)
			err := soon(t, failed)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded, name)
			var timeout net.Error
			require.ErrorAs(t, err, &timeout, name)
			require.True(t, timeout.Timeout(), name)
			if !e.foreign {
				_, _ = io.Copy(io.Discard, p) // the connection ends
			}
		}
		require.Equal(t, "hello", dial(t, e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			_ = control.SetReadDeadline(time.Now().Add(-time.Second))
			_ = control.SetReadDeadline(time.Now().Add(patience))
			_ = control.SetWriteDeadline(time.Time{})
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		})).ask(post("/", "hello")).body)
	})
}

func TestAnIdleConnectionOfAHandlerClosesSilently(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e engine) {
		address := e.serving(t, &kourier.Server{IdleTimeout: 100 * time.Millisecond, ReadHeaderTimeout: 200 * time.Millisecond, Handler: http.HandlerFunc(sayPath)})
		p := dial(t, address)
		require.Equal(t, "/", p.ask(helloRequest).body)
		p.mustEnd()
		p = dial(t, address)
		require.Equal(t, "/", p.ask(helloRequest).body)
		rest := p.send("GET / HT").rest()
		if !e.foreign {
			require.True(t, strings.HasPrefix(rest, "HTTP/1.1 408 "), rest)
		}
	})
}

// A client that reads nothing, and one that sends nothing, have five seconds.
func TestTheLeastRatesEndHandlersThatWait(t *testing.T) {
	t.Parallel()
	onNative(t, func(t *testing.T, e engine) {
		failed := make(chan error, 2)
		address := e.serving(t, &kourier.Server{
			Config: kourier.Config{MinDrainRate: 1 << 30, MinBodyRate: 1 << 30},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := r.Body.Read(make([]byte, 100))
				for err == nil {
					_, err = r.Body.Read(make([]byte, 100))
				}
				for piece := make([]byte, 1<<20); errors.Is(err, io.EOF); {
					if _, writeErr := w.Write(piece); writeErr != nil {
						err = writeErr
					}
				}
				failed <- err
			}),
		})
		start := time.Now()
		dial(t, address).send(post("/", "x"))
		dial(t, address).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
		for range 2 {
			require.ErrorIs(t, soon(t, failed), os.ErrDeadlineExceeded)
		}
		require.Greater(t, time.Since(start), 4*time.Second)
	})
}

// -------------------------------------------------------------------- limits

func TestConnectionsWithHandlersMakeNoRoom(t *testing.T) {
	t.Parallel()
	onNative(t, func(t *testing.T, e engine) {
		gate := newGate()
		var opened atomic.Bool
		srv := &kourier.Server{
			Config: kourier.Config{Workers: 1, MaxConns: 4},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !opened.Load() && r.URL.Path == "/wait" {
					gate.pass()
				}
				sayPath(w, r)
			}),
		}
		address := e.serving(t, srv)
		var held []*peer
		for range 3 {
			held = append(held, dial(t, address).send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"))
			soon(t, gate.reached)
		}
		idle := dial(t, address)
		require.Equal(t, "/", idle.ask(helloRequest).body)
		eventually(t, func() bool { return srv.Stats().ConnsIdle == 1 }, "it is idle")
		fresh := dial(t, address)
		require.Equal(t, "/", fresh.ask(helloRequest).body)
		idle.mustEnd()
		fresh.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
		soon(t, gate.reached)
		dial(t, address).mustBreak() // nobody makes room
		opened.Store(true)
		close(gate.open)
		for _, p := range append(held, fresh) {
			require.Equal(t, "/wait", p.answer().body)
			require.Equal(t, "/", p.ask(helloRequest).body)
		}
		require.EqualValues(t, 1, srv.Stats().Shed)
	})
}

// A client may be gone when ConnState hears of it.
func TestANewConnectionHasAnAddressAlthoughItIsClosed(t *testing.T) {
	t.Parallel()
	const count = 200
	remotes := make(chan net.Addr, count)
	address := engine{network: "tcp"}.serving(t, &kourier.Server{
		Config:  kourier.Config{Workers: 1},
		Handler: http.NotFoundHandler(),
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateNew {
				remotes <- c.RemoteAddr()
			}
		},
	})
	locals := map[string]bool{}
	for range count {
		p := dial(t, address)
		locals[p.LocalAddr().String()] = true
		require.NoError(t, p.Close())
	}
	for range count {
		remote := soon(t, remotes).String()
		require.True(t, locals[remote], remote)
	}
}

// As a failed assertion in ConnState does.
func TestAConnectionSurvivesAConnStateThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{
		Handler: http.HandlerFunc(sayPath),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateIdle {
				runtime.Goexit()
			}
		},
	}
	p := dial(t, engine{network: "tcp"}.serving(t, srv))
	for range 3 {
		require.Equal(t, http.StatusOK, p.ask(helloRequest).StatusCode)
	}
	require.NoError(t, soon(t, async(func() error { return srv.Shutdown(context.Background()) })))
}
