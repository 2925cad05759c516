package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// serve serves a handler within the middleware.
func serve(t *testing.T, engine string, h http.HandlerFunc) *client {
	c := &client{t: t, log: make(logBook, 1000)}
	log := slog.New(slog.NewJSONHandler(c.log, nil))
	srv, err := newServer(engine, logRequests(log, recoverPanics(log, h)), log, 1)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, soon(t, served), http.ErrServerClosed)
	})
	return c
}

func TestPanicsAreAnsweredAndLogged(t *testing.T) {
	for _, engine := range []string{engineKourier, engineNetHTTP} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			c := serve(t, engine, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/early" {
					_, _ = io.WriteString(w, "it begins")
					require.NoError(t, http.NewResponseController(w).Flush())
				}
				if r.URL.Path == "/aborts" {
					panic(http.ErrAbortHandler)
				}
				panic("oh no")
			})
			const request = " HTTP/1.1\r\nHost: a\r\n\r\n"

			conn := c.dial()
			for range 2 { // on one connection
				conn.send("GET /early" + request)
				response := conn.receive()
				require.Equal(t, 500, response.StatusCode)
				body, err := io.ReadAll(response.Body)
				require.NoError(t, err)
				require.JSONEq(t, `{"error":"internal error"}`, string(body))
				require.Equal(t, "oh no", c.log.await(t, "panic", "/early")["value"])
				require.EqualValues(t, 500, c.log.await(t, "request", "/early")["status"])
			}

			for _, path := range []string{"/late", "/aborts"} {
				conn := c.dial()
				conn.send("GET " + path + request)
				response := conn.receive()
				require.Equal(t, 200, response.StatusCode)
				_, err := io.ReadAll(response.Body)
				require.Error(t, err, "half an answer must not look like a whole one")
				require.EqualValues(t, 200, c.log.await(t, "request", path)["status"])
			}
		})
	}
}

func TestTheLogTellsHowARequestWasAnswered(t *testing.T) {
	onEachEngine(t, func(c *client) {
		page := c.ask("GET", "/", "")
		line := c.log.await(c.t, "request", "/")
		require.Equal(c.t, "GET", line["method"])
		require.EqualValues(c.t, 200, line["status"])
		require.EqualValues(c.t, len(page.body), line["size"])
		require.NotEmpty(c.t, line["remote"])
		c.ask("POST", "/chat", "")
		require.EqualValues(c.t, 405, c.log.await(c.t, "request", "/chat")["status"])
	})
}
