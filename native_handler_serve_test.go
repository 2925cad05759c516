//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// ------------------------------------------------------------------ listeners

func TestServeReturnsWhileHandlersAreRunning(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		for name, end := range map[string]func(srv *kourier.Server) error{
			"Close":    (*kourier.Server).Close,
			"Shutdown": func(srv *kourier.Server) error { return srv.Shutdown(context.Background()) },
		} {
			gate := newGate()
			srv := &kourier.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { gate.pass() })}
			first, served := e.serve(t, srv)
			l, second := e.listen(t)
			servedToo := async(func() error { return e.serveListener(srv, l) })
			for _, address := range []string{first, second} {
				e.dial(t, address).send(helloRequest)
				soon(t, gate.reached)
			}
			ended := async(func() error { return end(srv) })
			require.Equal(t, kourier.ErrServerClosed, soon(t, served), name)
			require.Equal(t, kourier.ErrServerClosed, soon(t, servedToo), name)
			late, _ := e.listen(t)
			require.Equal(t, kourier.ErrServerClosed, e.serveListener(srv, late), name)
			_, err := late.Accept()
			require.ErrorIs(t, err, net.ErrClosed, name)
			close(gate.open)
			require.NoError(t, soon(t, ended), name)
		}
	})
}

// Many call Serve at a time, before the server has begun, and for each engine.
func TestServeMayBeCalledByManyAtOnce(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Handler: http.HandlerFunc(sayPath), ErrorLog: log.New(io.Discard, "", 0)}
	var addresses []string
	var served []<-chan error
	start := make(chan struct{})
	for i := range 16 {
		l, address := engine{network: []string{"tcp", "unix"}[i%2], foreign: i%4 > 1}.listen(t)
		addresses = append(addresses, address)
		served = append(served, async(func() error { <-start; return srv.Serve(l) }))
	}
	close(start)
	for _, address := range addresses {
		require.Equal(t, "/", dial(t, address).ask(helloRequest).body)
	}
	require.NoError(t, srv.Close())
	for _, s := range served {
		require.Equal(t, kourier.ErrServerClosed, soon(t, s))
	}
}

func TestHandlersSeeTheAddresses(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, e engine) {
		address := e.handle(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.RemoteAddr, " ", r.Context().Value(http.LocalAddrContextKey))
		})
		p := e.dial(t, address)
		remote := p.LocalAddr().String()
		if e.network == "unix" {
			remote = "@" // as package net calls what has no name
		}
		require.Equal(t, remote+" "+address, p.ask(helloRequest).body)
	}
	onTransports(t, test)
	onEach(t, test, engine{network: "unix", foreign: true}, engine{network: "tcp6", foreign: true})
}

// --------------------------------------------------------------------- panics

// Their handlers wait at a time, stand in one batch, or come from one connection.
func TestAPanicOfAHandlerTouchesNoOther(t *testing.T) {
	t.Parallel()
	onTransports(t, func(t *testing.T, e engine) {
		gate := newGate()
		address := e.serving(t, &kourier.Server{
			Config: kourier.Config{Workers: 1},
			Fast: func(req *kourier.Request, res *kourier.Response) {
				if !bytes.HasPrefix(req.Path(), []byte("/fast")) {
					res.Pass()
					return
				}
				if string(req.Path()) == "/fast/panic" {
					panic("the reason")
				}
				res.Send("text/plain", req.Path())
			},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/wait":
					gate.pass()
				case "/wait/panic":
					gate.pass()
					panic("the reason")
				case "/panic":
					panic("the reason")
				case "/panic/late":
					_, _ = w.Write(make([]byte, 10_000))
					panic("the reason")
				}
				sayPath(w, r)
			}),
		})
		paths := []string{"/fine", "/wait", "/panic", "/fast", "/wait/panic", "/panic/late", "/fast/panic"}
		const count = 70
		var peers []*peer
		waiting := 0
		for i := range count {
			path := paths[i%len(paths)]
			peers = append(peers, e.dial(t, address).send(get("/before")+get(path)+get("/behind")))
			if path == "/wait" || path == "/wait/panic" {
				waiting++
			}
		}
		for range waiting {
			soon(t, gate.reached)
		}
		close(gate.open)
		for i, p := range peers {
			require.Equal(t, "/before", p.answer().body)
			switch path := paths[i%len(paths)]; path {
			case "/fine", "/wait", "/fast":
				require.Equal(t, path, p.answer().body)
				require.Equal(t, "/behind", p.answer().body)
				require.Equal(t, "/later", p.ask(get("/later")).body)
			case "/fast/panic":
				require.Equal(t, 500, p.answer().StatusCode)
				_, _ = io.Copy(io.Discard, p)
			default:
				_, err := readAnswer(p.reader, "GET")
				require.Error(t, err, path)
			}
		}
	})
}

// A socket takes and gives megabytes at once, and who moves them has the only P.
func TestLargeBodiesLetOthersRun(t *testing.T) {
	const size, copied, sentFile = 4 << 20, 64 << 10, 256 << 10
	procs := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(procs) // also if a try ends the test
	file := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(file, make([]byte, size), 0o600))
	upload := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("a", size))
	for name, c := range map[string]struct {
		asked string
		step  int
		move  http.HandlerFunc
	}{
		"Write":    {helloRequest, copied, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) }},
		"copy":     {helloRequest, copied, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, endless{}, size) }},
		"sendfile": {helloRequest, sentFile, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }},
		"Read":     {upload, copied, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadFull(r.Body, make([]byte, size)) }},
	} {
		gates := make(chan *gate, 1)
		srv := &kourier.Server{Config: kourier.Config{Workers: 1}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			(<-gates).pass()
			c.move(w, r)
		})}
		address := engine{network: "tcp"}.serving(t, srv)
		runtime.GOMAXPROCS(1)
		most := uint64(size)
		for try := 0; try < 20 && most > uint64(3*c.step); try++ { // a scheduler that others disturb promises no turn
			g := newGate()
			gates <- g
			most = movedBetweenTurns(t, srv, dial(t, address), g, c.asked)
		}
		runtime.GOMAXPROCS(procs)
		require.LessOrEqual(t, most, uint64(3*c.step), name)
	}
}

// movedBetweenTurns returns the most bytes that srv has moved for p while this goroutine, always ready to run, did not.
func movedBetweenTurns(t *testing.T, srv *kourier.Server, p *peer, g *gate, asked string) (most uint64) {
	t.Helper()
	sent := async(func() error { _, err := io.WriteString(p, asked); return err })
	soon(t, g.reached)
	answered := async(func() error {
		response, err := http.ReadResponse(bufio.NewReader(p), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
		}
		return err
	})
	stats := srv.Stats()
	close(g.open)
	for {
		select {
		case err := <-answered:
			require.NoError(t, err)
			require.NoError(t, soon(t, sent))
			return most
		default:
			runtime.Gosched()
		}
		now := srv.Stats()
		most = max(most, now.BytesIn+now.BytesOut-stats.BytesIn-stats.BytesOut)
		stats = now
	}
}

// The kernel takes for a client that does not read what it may hold without having sent it, and a piece more.
func TestTheKernelHoldsLittleForWhoDoesNotRead(t *testing.T) {
	const size = 16 << 20
	const most = 256<<10 + 2*64<<10 + 64<<10 // the last for what the client's own socket takes
	for name, answer := range map[string]http.HandlerFunc{
		"Write": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) },
		"copy":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, endless{}, size) },
		"pieces": func(w http.ResponseWriter, _ *http.Request) {
			for piece := make([]byte, 20<<10); ; {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		},
	} {
		srv := &kourier.Server{Handler: answer}
		p := dialNarrow(t, engine{network: "tcp"}.serving(t, srv)).send(helloRequest)
		eventually(t, func() bool { return strings.Contains(serverStacks(), "waitWritable") }, name)
		require.Less(t, srv.Stats().BytesOut, uint64(most), name)
		p.vanish()
		eventually(t, func() bool { return hasNone(srv.Stats()) }, name)
	}
}
