//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
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
