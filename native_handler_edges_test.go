//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"context"
	"io"
	"net"
	"net/http"
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
