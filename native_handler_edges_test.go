//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

func TestTrailersInAHeaderThatWasKeptAreSent(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		_, _ = io.WriteString(w, strings.Repeat("x", 5000))
		header.Set(http.TrailerPrefix+"X-Sum", "42")
	})}
	answer := dial(t, serving(t, srv)).ask(helloRequest)
	require.Equal(t, "42", answer.Trailer.Get("X-Sum"))
}

func TestBaseContextMayUseTheServer(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Handler: http.NotFoundHandler()}
	srv.BaseContext = func(net.Listener) context.Context {
		srv.RegisterOnShutdown(func() {})
		require.Len(t, srv.Addrs(), 1)
		return context.Background()
	}
	require.Equal(t, 404, dial(t, serving(t, srv)).ask(helloRequest).StatusCode)
}

func TestCloseLeavesWhatWasHijackedAlone(t *testing.T) {
	t.Parallel()
	for range 20 {
		srv := &kourier.Server{Config: kourier.Config{Workers: 1}}
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = srv.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				_ = conn.Close()
			}
		})
		require.Equal(t, "ok", dial(t, serving(t, srv)).ask(helloRequest).body)
	}
}

// Nobody reads the body of a request that Fast answers without it.
func TestFastSaysThatAConnectionWithAnUnreadBodyCloses(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Handler: http.NotFoundHandler(), Fast: func(req *kourier.Request, res *kourier.Response) {
		if _, complete := req.Body(); !complete {
			res.Send("text/plain", []byte("no"))
		}
	}}
	p := dial(t, serving(t, srv)).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 1000))
	answer := p.answer()
	require.Equal(t, "no", answer.body)
	require.True(t, answer.Close)
	p.mustEnd()
}

// What Fast has answered between two requests for the Handler does not wait for the second.
func TestAnAnswerOfFastDoesNotWaitForTheHandlerBehindIt(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	srv := &kourier.Server{
		Fast: func(req *kourier.Request, res *kourier.Response) {
			if string(req.Path()) != "/fast" {
				res.Pass()
				return
			}
			res.Send("text/plain", []byte("/fast"))
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				<-seen
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(r.URL.Path)))
			sayPath(w, r)
			w.(http.Flusher).Flush() // so that Fast's answer is the only one that waits
		}),
	}
	p := dial(t, serving(t, srv))
	p.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /fast HTTP/1.1\r\nHost: a\r\n\r\nGET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
	require.Equal(t, "/first", p.answer().body)
	require.Equal(t, "/fast", p.answer().body)
	close(seen)
	require.Equal(t, "/wait", p.answer().body)
}
