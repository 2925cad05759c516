package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// onEachEngine runs a test against a program of its own on each engine.
func onEachEngine(t *testing.T, test func(*client)) {
	for _, engine := range []string{engineKourier, engineNetHTTP} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(start(t, program{engine: engine, grace: patience}))
		})
	}
}

// A client talks to a program that runs within the test.
type client struct {
	t       *testing.T
	http    http.Client
	address string
	log     logBook
	stop    context.CancelFunc // what a signal does
	ended   chan struct{}      // closed when run has returned
	err     error              // what it has returned
}

const testUploadSizeMax = 64 << 10

// start fills in what a test leaves out.
func start(t *testing.T, p program) *client {
	c := &client{t: t, log: make(logBook, 1000), ended: make(chan struct{})}
	transport := &http.Transport{}
	c.http = http.Client{Transport: transport, Timeout: patience}
	listening := make(chan string, 1)
	p.address = "127.0.0.1:0"
	p.uploadSizeMax = testUploadSizeMax
	p.listening = func(a net.Addr) { listening <- a.String() }
	p.log = slog.New(slog.NewJSONHandler(c.log, nil))
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	go func() {
		defer close(c.ended)
		c.err = p.run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		transport.CloseIdleConnections()
		soon(t, c.ended)
	})
	select {
	case c.address = <-listening:
	case <-c.ended:
		require.FailNow(t, "it has not started", "%v", c.err)
	}
	return c
}

// mustEnd returns what the program ends with.
func (c *client) mustEnd() error {
	c.t.Helper()
	soon(c.t, c.ended)
	return c.err
}

func soon[T any](t *testing.T, values <-chan T) T {
	t.Helper()
	select {
	case v := <-values:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing happens")
		panic("unreachable")
	}
}

// An answer is a response with its body.
type answer struct {
	*http.Response
	body string
}

// ask sends a request; header is in pairs.
func (c *client) ask(method, path, body string, header ...string) answer {
	c.t.Helper()
	r, err := http.NewRequest(method, "http://"+c.address+path, strings.NewReader(body))
	require.NoError(c.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := c.http.Do(r)
	require.NoError(c.t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	return answer{response, string(content)}
}

// json decodes the answer's body.
func (a answer) json(t *testing.T, value any) {
	t.Helper()
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	require.NoError(t, json.Unmarshal([]byte(a.body), value), a.body)
}

// A rawConn is a connection that a test writes to by hand.
type rawConn struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (c *client) dial() *rawConn {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.address)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { conn.Close() })
	require.NoError(c.t, conn.SetDeadline(time.Now().Add(patience)))
	return &rawConn{Conn: conn, t: c.t, r: bufio.NewReader(conn)}
}

func (c *rawConn) send(text string) {
	c.t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(c.t, err)
}

func (c *rawConn) receive() *http.Response {
	c.t.Helper()
	response, err := http.ReadResponse(c.r, nil)
	require.NoError(c.t, err)
	return response
}

// A logBook receives the lines of a log.
type logBook chan []byte

func (b logBook) Write(line []byte) (int, error) {
	b <- bytes.Clone(line)
	return len(line), nil
}

// await returns the next line with a message about a path.
func (b logBook) await(t *testing.T, message, path string) map[string]any {
	t.Helper()
	for {
		var line map[string]any
		require.NoError(t, json.Unmarshal(soon(t, b), &line))
		if line["msg"] == message && line["path"] == path {
			return line
		}
	}
}

func TestStaticFilesAreServed(t *testing.T) {
	onEachEngine(t, func(c *client) {
		page := c.ask("GET", "/", "")
		require.Equal(c.t, 200, page.StatusCode)
		require.Equal(c.t, "text/html; charset=utf-8", page.Header.Get("Content-Type"))
		require.Contains(c.t, page.body, "<title>nethttp</title>")
		require.Equal(c.t, "text/javascript; charset=utf-8", c.ask("GET", "/index.js", "").Header.Get("Content-Type"))
		require.Equal(c.t, 206, c.ask("GET", "/index.js", "", "Range", "bytes=0-9").StatusCode)
		require.Equal(c.t, 404, c.ask("GET", "/other", "").StatusCode)
		require.Equal(c.t, 404, c.ask("GET", "/%2e%2e/main.go", "").StatusCode)
		refused := c.ask("PUT", "/notes", "")
		require.Equal(c.t, 405, refused.StatusCode)
		require.Equal(c.t, "GET, HEAD, POST", refused.Header.Get("Allow"))
	})
}

func TestOtherOriginsMayNotChangeAnything(t *testing.T) {
	onEachEngine(t, func(c *client) {
		require.Equal(c.t, 403, c.ask("DELETE", "/notes/1", "", "Origin", "http://other.example").StatusCode)
		require.Equal(c.t, 404, c.ask("DELETE", "/notes/1", "", "Origin", "http://"+c.address).StatusCode)
	})
}
