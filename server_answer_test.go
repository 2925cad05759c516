//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// A logBook is a log that tests can read while it is written.
type logBook struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}

// --------------------------------------------------------------------- framing

// TestFramingOnTheWire compares whole answers, but for their Date.
func TestFramingOnTheWire(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 70_000) // more than Write collects
	var mux kourier.FastMux
	mux.Handle("/send", func(_ *kourier.Request, res *kourier.Response) { res.Send("text/plain", []byte("four")) })
	mux.Handle("/write", func(_ *kourier.Request, res *kourier.Response) {
		_, _ = res.WriteString("fo")
		_, _ = res.WriteString("ur")
	})
	mux.Handle("/none", func(*kourier.Request, *kourier.Response) {})
	mux.Handle("/long", func(_ *kourier.Request, res *kourier.Response) {
		_, _ = res.Set("Content-Type", "x/y").WriteString(long)
	})
	mux.Handle("/known", func(_ *kourier.Request, res *kourier.Response) {
		_, _ = res.Set("Content-Type", "x/y").Set("Content-Length", strconv.Itoa(len(long))).WriteString(long)
	})
	mux.Handle("/204", func(_ *kourier.Request, res *kourier.Response) { res.Status(204).Send("text/plain", []byte("four")) })
	mux.Handle("/205", func(_ *kourier.Request, res *kourier.Response) { res.Status(205).Send("", []byte("four")) })
	mux.Handle("/304", func(_ *kourier.Request, res *kourier.Response) {
		res.Status(304).Set("ETag", `"a"`).Send("text/plain", []byte("four"))
	})
	mux.Handle("/close", func(_ *kourier.Request, res *kourier.Response) {
		res.Close()
		res.Send("text/plain", []byte("four"))
	})
	canned, err := kourier.Canned(201, http.Header{"Content-Type": {"a/b"}}, []byte("four"))
	require.NoError(t, err)
	mux.Handle("/canned", func(_ *kourier.Request, res *kourier.Response) { res.Canned(canned) })

	address := serving(t, &kourier.Server{Fast: mux.ServeFast})
	const plain = "Content-Type: text/plain\r\n"
	for _, c := range []struct{ request, head, body string }{
		{"GET /send HTTP/1.1", "200 OK\r\nDATE" + plain + "Content-Length: 4", "four"},
		{"HEAD /send HTTP/1.1", "200 OK\r\nDATE" + plain + "Content-Length: 4", ""},
		{"GET /send HTTP/1.0", "200 OK\r\nDATE" + plain + "Connection: close\r\nContent-Length: 4", "four"},
		{"GET /send HTTP/1.0\r\nConnection: keep-alive", "200 OK\r\nDATE" + plain + "Connection: keep-alive\r\nContent-Length: 4", "four"},
		{"GET /send HTTP/1.0\r\nConnection: keep-alive, close", "200 OK\r\nDATE" + plain + "Connection: close\r\nContent-Length: 4", "four"},
		{"GET /send HTTP/1.1\r\nConnection: close", "200 OK\r\nDATE" + plain + "Connection: close\r\nContent-Length: 4", "four"},
		{"GET /send HTTP/1.1\r\nConnection: foo, Close", "200 OK\r\nDATE" + plain + "Connection: close\r\nContent-Length: 4", "four"},
		{"GET /close HTTP/1.1", "200 OK\r\nDATE" + plain + "Connection: close\r\nContent-Length: 4", "four"},
		{"GET /close HTTP/1.0\r\nConnection: keep-alive", "200 OK\r\nDATE" + plain + "Connection: close\r\nContent-Length: 4", "four"},
		{"GET /write HTTP/1.1", "200 OK\r\nDATEContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4", "four"},
		{"HEAD /write HTTP/1.1", "200 OK\r\nDATEContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4", ""},
		{"GET /none HTTP/1.1", "200 OK\r\nDATEContent-Length: 0", ""},
		{"GET /204 HTTP/1.1", "204 No Content\r\nDATE" + strings.TrimSuffix(plain, "\r\n"), ""},
		{"GET /205 HTTP/1.1", "205 Reset Content\r\nDATEContent-Length: 0", ""},
		{"GET /304 HTTP/1.1", "304 Not Modified\r\nDATEETag: \"a\"", ""},
		{"GET /long HTTP/1.1", "200 OK\r\nDATEContent-Type: x/y\r\nTransfer-Encoding: chunked", long},
		{"HEAD /long HTTP/1.1", "200 OK\r\nDATEContent-Type: x/y\r\nTransfer-Encoding: chunked", ""},
		{"GET /long HTTP/1.0", "200 OK\r\nDATEContent-Type: x/y\r\nConnection: close", long},
		{"GET /long HTTP/1.0\r\nConnection: keep-alive", "200 OK\r\nDATEContent-Type: x/y\r\nConnection: close", long},
		{"GET /known HTTP/1.1", "200 OK\r\nDATEContent-Type: x/y\r\nContent-Length: 70000", long},
		{"HEAD /known HTTP/1.1", "200 OK\r\nDATEContent-Type: x/y\r\nContent-Length: 70000", ""},
		{"GET /canned HTTP/1.1", "201 Created\r\nContent-Type: a/b\r\nContent-Length: 4\r\n", "four"},
		{"HEAD /canned HTTP/1.1", "201 Created\r\nContent-Type: a/b\r\nContent-Length: 4\r\n", ""},
		{"GET /unknown HTTP/1.1", "404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 19\r\n", "404 page not found\n"},
		{"CONNECT a:1 HTTP/1.1", "404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 19\r\n", "404 page not found\n"},
	} {
		t.Run(strings.ReplaceAll(c.request, "\r\n", ", "), func(t *testing.T) {
			p := dial(t, address)
			host := "\r\nHost: a\r\n\r\n"
			if strings.HasPrefix(c.request, "CONNECT") {
				host = "\r\nHost: a:1\r\n\r\n"
			}
			// The second request tells whether the connection persists.
			p.send(c.request + host + "GET /canned HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			text := p.rest()
			closes := strings.Contains(c.head, "Connection: close")
			if !closes {
				at := strings.LastIndex(text, "HTTP/1.1 201 Created\r\n")
				require.Positive(t, at, "a second answer in %.200q", text)
				text = text[:at]
			}
			head, body, found := strings.Cut(text, "\r\n\r\n")
			require.True(t, found)
			at := strings.Index(head, "Date: ")
			require.Positive(t, at)
			dated, err := time.Parse(http.TimeFormat, head[at+6:at+6+len(http.TimeFormat)])
			require.NoError(t, err)
			require.WithinDuration(t, time.Now(), dated, 10*time.Second)
			line := head[at:min(len(head), at+6+len(http.TimeFormat)+2)]
			if strings.HasSuffix(c.head, "\r\n") { // prepared: Date stands last
				require.Equal(t, "HTTP/1.1 "+c.head, strings.Replace(head, line, "", 1))
			} else {
				require.Equal(t, "HTTP/1.1 "+strings.Replace(c.head, "DATE", line, 1), head)
			}
			if strings.HasSuffix(c.head, "chunked") && body != "" {
				require.True(t, strings.HasSuffix(body, "\r\n0\r\n\r\n"))
				whole, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(body)))
				require.NoError(t, err)
				body = string(whole)
			}
			require.Equal(t, len(c.body), len(body))
			require.True(t, c.body == body)
		})
	}
}

func TestConnectIsAnsweredAndClosed(t *testing.T) {
	t.Parallel()
	address := serving(t, &kourier.Server{Fast: echo})
	p := dial(t, address).send("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
	text := p.rest()
	require.True(t, strings.HasPrefix(text, "HTTP/1.1 200 OK\r\n"), text)
	require.Contains(t, text, "Connection: close\r\n")
	require.NotContains(t, text, "Content-Length")
	require.NotContains(t, text, "Transfer-Encoding")
}

func TestContinueIsSaidWhenTheBodyIsWaitedFor(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Fast: echo, Config: kourier.Config{MaxBodyBytes: 8}}
	address := serving(t, srv)
	const expecting = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"

	p := dial(t, address).send(expecting + "Content-Length: 4\r\n\r\n")
	require.Equal(t, 100, p.answer().StatusCode)
	require.Equal(t, "four", p.send("four").answer().body)
	p.send(expecting + "Transfer-Encoding: chunked\r\n\r\n")
	require.Equal(t, 100, p.answer().StatusCode)
	require.Equal(t, "four", p.send("4\r\nfour\r\n0\r\n\r\n").answer().body)
	a := p.ask(expecting + "Content-Length: 4\r\n\r\nfour")
	require.Equal(t, 200, a.StatusCode, "the body has come already")
	a = p.ask("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n")
	require.Equal(t, 200, a.StatusCode, "there is no body")
	p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n" + expecting + "Content-Length: 4\r\n\r\n")
	require.Equal(t, 200, p.answer().StatusCode)
	require.Equal(t, 100, p.answer().StatusCode)
	require.Equal(t, "four", p.send("four").answer().body)

	p.send(expecting + "Content-Length: 9\r\n\r\n")
	a = p.answer()
	require.Equal(t, 413, a.StatusCode, "before anybody says 100")
	require.True(t, a.Close)
	p.mustEnd()

	p = dial(t, address)
	require.Equal(t, 417, p.ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 4\r\n\r\n").StatusCode)
	p.mustEnd()

	// A client of HTTP/1.0 knows no interim answers: RFC 9110 §10.1.1.
	p = dial(t, address).send("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	eventually(t, func() bool { return srv.Stats().ConnsActive == 1 }, "the head has come")
	require.Equal(t, "four", p.send("four").answer().body)
	stats := srv.Stats()
	require.EqualValues(t, 3, stats.Responses1xx)
	require.EqualValues(t, 1, stats.ParseErrors["bad_expect"])
	require.EqualValues(t, 1, stats.ParseErrors["body_too_large"])
}

// ------------------------------------------------------------------ net/http

func TestServesTheClientOfNetHTTP(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{
		Fast: func(req *kourier.Request, res *kourier.Response) {
			body, _ := req.Body()
			res.Set("X-Method", req.Method()).Set("X-Path", string(req.Path())).Set("X-Query", string(req.Query()))
			if req.Header("X-Stream") == nil {
				res.Send("application/octet-stream", body)
				return
			}
			for len(body) > 0 {
				n := min(len(body), 10_000)
				_, _ = res.Write(body[:n])
				body = body[n:]
			}
		},
		Config: kourier.Config{Workers: 2, MaxBodyBytes: 4 << 20},
	}
	address := serving(t, srv)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: patience}

	ask := func(random *rand.Rand) error {
		body := make([]byte, []int{0, 1, 100, 10_000, 70_000, 300_000}[random.IntN(6)])
		for i := range body {
			body[i] = byte(random.Uint32())
		}
		method := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"}[random.IntN(8)]
		var reader io.Reader = bytes.NewReader(body)
		if random.IntN(2) == 0 {
			reader = io.MultiReader(reader) // of unknown size: chunked
		}
		if method == "GET" || method == "HEAD" {
			reader, body = nil, nil
		}
		path := fmt.Sprintf("/%d%%20b", random.Uint32())
		request, err := http.NewRequest(method, "http://"+address+path+"?q=%21", reader)
		if err != nil {
			return err
		}
		if random.IntN(2) == 0 {
			request.Header.Set("X-Stream", "yes")
		}
		request.Close = random.IntN(20) == 0
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		got, err := io.ReadAll(response.Body)
		err = errors.Join(err, response.Body.Close())
		switch {
		case err != nil:
			return fmt.Errorf("%s %s: %w", method, path, err)
		case response.StatusCode != 200, response.Header.Get("X-Method") != method,
			response.Header.Get("X-Path") != path, response.Header.Get("X-Query") != "q=%21":
			return fmt.Errorf("%s %s: answered %v %v", method, path, response.Status, response.Header)
		case !bytes.Equal(body, got):
			return fmt.Errorf("%s %s: %d bytes came back as %d others", method, path, len(body), len(got))
		case response.Close != request.Close:
			return fmt.Errorf("%s %s: Connection: close is %v, asked for %v", method, path, response.Close, request.Close)
		}
		return nil
	}
	var clients sync.WaitGroup
	var wrong failureList
	for i := range 16 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 60 {
				if err := ask(random); err != nil {
					wrong.add("%v", err)
				}
			}
		})
	}
	clients.Wait()
	wrong.report(t)
	require.EqualValues(t, 16*60, srv.Stats().Requests)
}

// ---------------------------------------------------------------- pipelining

// pipeline sends a text on p while it reads answers, and hands each to look.
func pipeline(t *testing.T, p *peer, text string, count int, look func(i int, a answer)) {
	t.Helper()
	written := async(func() error { _, err := io.WriteString(p.Conn, text); return err })
	for i := range count {
		look(i, p.answer())
	}
	require.NoError(t, soon(t, written))
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Fast: func(req *kourier.Request, res *kourier.Response) {
		body, _ := req.Body()
		res.Set("X-Path", string(req.Path())).Send("", body)
	}}
	require.NoError(t, srv.Static("/static", kourier.StaticResponse{Header: http.Header{"X-Path": {"/static"}}}))
	address := serving(t, srv)
	random := rand.New(rand.NewPCG(1, 2))
	const count = 5000
	var text strings.Builder
	paths, bodies := make([]string, count), make([]string, count)
	for i := range count {
		paths[i] = "/" + strconv.Itoa(i)
		switch random.IntN(4) {
		case 0:
			bodies[i] = strings.Repeat(strconv.Itoa(i), random.IntN(100))
			text.WriteString(post(paths[i], bodies[i]))
		case 1:
			bodies[i] = strings.Repeat(strconv.Itoa(i), random.IntN(100))
			text.WriteString(postChunked(paths[i], bodies[i]))
		case 2:
			paths[i] = "/static"
			fallthrough
		default:
			text.WriteString("GET " + paths[i] + " HTTP/1.1\r\nHost: a\r\n\r\n")
		}
	}
	pipeline(t, dial(t, address), text.String(), count, func(i int, a answer) {
		require.Equal(t, paths[i], a.Header.Get("X-Path"))
		require.Equal(t, bodies[i], a.body)
	})
	require.EqualValues(t, count, srv.Stats().Requests)
	require.EqualValues(t, count, srv.Stats().Responses2xx)
}

// Answers larger than the receive window: requests wait and are asked again.
func TestPipelinedRequestsWithLargeAnswersAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(res *kourier.Response, body []byte){
		"Send":  func(res *kourier.Response, body []byte) { res.Send("text/plain", body) },
		"Write": func(res *kourier.Response, body []byte) { _, _ = res.Write(body) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fill := strings.Repeat("x", 200_000)
			srv := &kourier.Server{Config: kourier.Config{Workers: 1}, Fast: func(req *kourier.Request, res *kourier.Response) {
				body, _ := req.Body()
				write(res, append(body, fill...))
			}}
			p := dialNarrow(t, serving(t, srv))
			const count = 200
			var text strings.Builder
			for i := range count {
				body := strconv.Itoa(i) + " "
				if i%2 == 0 {
					text.WriteString(post("/", body))
				} else {
					text.WriteString(postChunked("/", body))
				}
			}
			pipeline(t, p, text.String(), count, func(i int, a answer) {
				number, rest, _ := strings.Cut(a.body, " ")
				require.Equal(t, strconv.Itoa(i), number)
				require.Equal(t, len(fill), len(rest))
			})
			require.EqualValues(t, count, srv.Stats().Requests)
			require.EqualValues(t, count, srv.Stats().Responses2xx)
		})
	}
}

func TestNothingIsAnsweredBehindAClose(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Fast: func(req *kourier.Request, res *kourier.Response) {
		if string(req.Path()) == "/close" {
			res.Close()
		}
		res.Send("text/plain", req.Path())
	}}
	address := serving(t, srv)
	for _, last := range []string{
		"GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /close HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		"GET /close HTTP/1.0\r\n\r\n",
	} {
		p := dial(t, address).send(helloRequest + last + strings.Repeat(helloRequest, 100))
		require.Equal(t, "/", p.answer().body)
		a := p.answer()
		require.Equal(t, "/close", a.body)
		require.True(t, a.Close)
		p.mustEnd()
	}
	require.EqualValues(t, 6, srv.Stats().Responses2xx)
}

// -------------------------------------------------------------------- panics

func TestAPanicIsAnswered500AndLogged(t *testing.T) {
	t.Parallel()
	handler := func(req *kourier.Request, res *kourier.Response) {
		switch string(req.Path()) {
		case "/early":
			panic("the reason")
		case "/prepared":
			_, _ = res.Status(201).Set("X-A", "b").WriteString("text")
			panic(errors.New("the reason"))
		case "/sent":
			res.Send("text/plain", []byte("text"))
			panic("the reason")
		case "/streamed":
			_, _ = res.Write(make([]byte, 100_000))
			panic("the reason")
		case "/index":
			_ = make([]byte, 4)[len(req.Path())]
		}
		sayHello(req, res)
	}
	book, structured := new(logBook), new(logBook)
	plain := serving(t, &kourier.Server{Fast: handler, ErrorLog: log.New(book, "", 0)})
	logged := serving(t, &kourier.Server{Fast: handler, Logger: slog.New(slog.NewTextHandler(structured, nil))})
	for _, address := range []string{plain, logged} {
		for _, path := range []string{"/early", "/prepared", "/sent", "/index"} {
			p := dial(t, address).send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" + helloRequest)
			a := p.answer()
			require.Equal(t, 500, a.StatusCode, path)
			require.Equal(t, "Internal Server Error\n", a.body)
			require.Empty(t, a.Header.Get("X-A"))
			require.True(t, a.Close)
			p.mustEnd()
		}
		p := dial(t, address).send("GET /streamed HTTP/1.1\r\nHost: a\r\n\r\n" + helloRequest)
		_, err := readAnswer(p.reader, "GET")
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "what was cut off must not look whole")
	}
	for _, text := range []string{book.String(), structured.String()} {
		require.Equal(t, 5, strings.Count(text, "panic serving"), text)
		require.Equal(t, 4, strings.Count(text, "the reason"), text)
		require.Equal(t, 1, strings.Count(text, "index out of range"))
		require.GreaterOrEqual(t, strings.Count(text, "server_answer_test.go"), 5, "the stack shows where")
		require.Contains(t, text, "127.0.0.1:")
	}
}

func TestAMisusedResponseIsLoggedWithItsRequest(t *testing.T) {
	t.Parallel()
	handler := func(req *kourier.Request, res *kourier.Response) {
		switch string(req.Path()) {
		case "/status":
			res.Status(99)
		case "/short":
			_, _ = res.Set("Content-Length", "10").WriteString("text")
		}
	}
	book, structured := new(logBook), new(logBook)
	plain := serving(t, &kourier.Server{Fast: handler, ErrorLog: log.New(book, "", 0)})
	logged := serving(t, &kourier.Server{Fast: handler, Logger: slog.New(slog.NewTextHandler(structured, nil))})
	for _, address := range []string{plain, logged} {
		for _, request := range []string{"PUT /status?q", "BREW /short"} {
			dial(t, address).send(request + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").rest()
		}
	}
	for _, words := range []string{
		"kourier: Response.Status: 99 is not a final status code, answering PUT /status of 127.0.0.1:",
		"kourier: a handler wrote 4 of the 10 bytes of its Content-Length, answering BREW /short of 127.0.0.1:",
	} {
		require.Contains(t, book.String(), words)
	}
	require.Contains(t, structured.String(), "method=PUT path=/status error=")
	require.Contains(t, structured.String(), "method=BREW path=/short error=")
}

func TestErrAbortHandlerEndsTheConnectionSilently(t *testing.T) {
	t.Parallel()
	book := new(logBook)
	srv := &kourier.Server{ErrorLog: log.New(book, "", 0), Fast: func(req *kourier.Request, res *kourier.Response) {
		if string(req.Path()) == "/abort" {
			_, _ = res.WriteString("text")
			panic(http.ErrAbortHandler)
		}
		sayHello(req, res)
	}}
	address := serving(t, srv)
	p := dial(t, address).send(helloRequest + "GET /abort HTTP/1.1\r\nHost: a\r\n\r\n" + helloRequest)
	require.Equal(t, "hello", p.answer().body)
	p.mustBreak()
	require.Equal(t, "hello", dial(t, address).ask(helloRequest).body)
	require.Empty(t, book.String())
	eventually(t, func() bool { s := srv.Stats(); return s.ConnsActive == 0 && s.ConnsIdle == 1 }, "it is gone")
}

// Requests of many connections stand in one batch; those of whom one panics
// must not feel it.
func TestAPanicTouchesNoOtherConnection(t *testing.T) {
	t.Parallel()
	g := newGate()
	srv := &kourier.Server{Config: kourier.Config{Workers: 1}, Fast: func(req *kourier.Request, res *kourier.Response) {
		switch string(req.Path()) {
		case "/wait":
			g.pass()
		case "/panic":
			panic("the reason")
		case "/stream":
			_, _ = res.Write(make([]byte, 100_000))
			panic("the reason")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		res.Send("text/plain", req.Path())
	}}
	address := serving(t, srv)
	var peers []*peer
	for range 100 {
		peers = append(peers, dial(t, address))
	}
	eventually(t, func() bool { return srv.Stats().ConnsIdle == 100 }, "all are accepted")
	waiting := dial(t, address).send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
	soon(t, g.reached)
	batches := srv.Stats().Batches
	paths := []string{"/fine", "/panic", "/fine", "/stream", "/fine", "/abort", "/fine"}
	for i, p := range peers {
		p.send("GET " + paths[i%len(paths)] + " HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	close(g.open)
	require.Equal(t, "/wait", waiting.answer().body)
	for i, p := range peers {
		switch paths[i%len(paths)] {
		case "/fine":
			require.Equal(t, "/fine", p.answer().body)
			require.Equal(t, "/second", p.answer().body)
			require.Equal(t, "/third", p.ask("GET /third HTTP/1.1\r\nHost: a\r\n\r\n").body)
		case "/panic":
			require.Equal(t, 500, p.answer().StatusCode)
			p.mustEnd()
		case "/stream":
			_, err := readAnswer(p.reader, "GET")
			require.Error(t, err)
		case "/abort":
			p.mustBreak()
		}
	}
	fine := uint64(58) // as many later requests, of which each may have had a batch of its own
	require.LessOrEqual(t, srv.Stats().Batches-batches, fine+10, "the first two of all came in a few batches")
}

// --------------------------------------------------------------- backpressure

// A pattern is a body that repeats nowhere near.
func patternBody(size int) []byte {
	body := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(body)
	return body
}

const mebibyte = 1 << 20

func TestLargeAnswersArriveIntact(t *testing.T) {
	t.Parallel()
	body := patternBody(64 * mebibyte)
	want := sha256.Sum256(body)
	var mux kourier.FastMux
	mux.Handle("/send", func(_ *kourier.Request, res *kourier.Response) { res.Send("x/y", body) })
	write := func(res *kourier.Response) {
		for rest := body; len(rest) > 0; {
			n := min(len(rest), 300_000)
			_, _ = res.Write(rest[:n])
			rest = rest[n:]
		}
	}
	mux.Handle("/chunked", func(_ *kourier.Request, res *kourier.Response) { write(res) })
	mux.Handle("/known", func(_ *kourier.Request, res *kourier.Response) {
		write(res.Set("Content-Length", strconv.Itoa(len(body))))
	})
	srv := &kourier.Server{Fast: mux.ServeFast, Config: kourier.Config{Workers: 1}}
	address := serving(t, srv)
	dial(t, address).ask("GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
	before := srv.Stats().NativeBytes
	for _, path := range []string{"/send", "/chunked", "/known"} {
		for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
			p := dial(t, address).send("GET " + path + " " + version + "\r\nHost: a\r\n\r\n")
			response, err := http.ReadResponse(p.reader, nil)
			require.NoError(t, err)
			hash := sha256.New()
			size, err := io.Copy(hash, response.Body)
			require.NoError(t, err)
			require.Equal(t, int64(len(body)), size, "%s %s", path, version)
			require.Equal(t, want[:], hash.Sum(nil), "%s %s", path, version)
			require.Equal(t, path == "/chunked" && version == "HTTP/1.1", response.TransferEncoding != nil)
			require.NoError(t, p.Close())
		}
	}
	eventually(t, func() bool { return srv.Stats().NativeBytes <= before+spareBytes }, "what was lent is given back")
}

// A client that does not read costs about one answer, and only itself.
func TestAReaderThatStopsIsBounded(t *testing.T) {
	t.Parallel()
	body := patternBody(mebibyte)
	srv := &kourier.Server{Config: kourier.Config{Workers: 1}, Fast: func(req *kourier.Request, res *kourier.Response) {
		switch string(req.Path()) {
		case "/send":
			res.Send("x/y", body)
		case "/write":
			_, _ = res.Write(body[:len(body)/2])
			_, _ = res.Write(body[len(body)/2:])
		default:
			sayHello(req, res)
		}
	}}
	address := serving(t, srv)
	other := dial(t, address)
	require.Equal(t, "hello", other.ask(helloRequest).body)
	for _, path := range []string{"/send", "/write"} {
		before := srv.Stats().NativeBytes
		p := dialNarrow(t, address)
		p.send(strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n", 100))
		sent := srv.Stats().BytesOut
		eventually(t, func() bool { // no more goes out
			last := sent
			require.Equal(t, "hello", other.ask(helloRequest).body, "others are served")
			sent = srv.Stats().BytesOut
			stats := srv.Stats()
			require.Less(t, stats.NativeBytes, before+3*mebibyte)
			return stats.ConnsActive == 1 && sent-last < 1000 && stats.NativeBytes > before
		}, "the server stops at the client that does not read")
		require.Less(t, srv.Stats().Requests, uint64(10_000))

		// It has lost nothing by its rest.
		for i := range 100 {
			require.True(t, p.answer().body == string(body), "answer %d", i)
			require.Less(t, srv.Stats().NativeBytes, before+3*mebibyte)
		}
		require.NoError(t, p.Close())
		eventually(t, func() bool { s := srv.Stats(); return s.ConnsActive == 0 && s.NativeBytes <= before+spareBytes }, "all is given back")
	}
}

// spareBytes is how much the core keeps for the next time: a slab, and a span of each size of block.
const spareBytes = 64<<10 + 4*128<<10

func TestOneLargeAnswerIsKeptOnce(t *testing.T) {
	t.Parallel()
	body := patternBody(64 * mebibyte)
	srv := &kourier.Server{Config: kourier.Config{Workers: 1}, Fast: func(req *kourier.Request, res *kourier.Response) {
		if string(req.Path()) == "/send" {
			res.Send("x/y", body)
			return
		}
		for rest := body; len(rest) > 0; {
			n := min(len(rest), mebibyte)
			_, _ = res.Write(rest[:n])
			rest = rest[n:]
		}
	}}
	address := serving(t, srv)
	require.Equal(t, 400, dial(t, address).ask("GET x HTTP/1.1\r\n\r\n").StatusCode)
	before := srv.Stats().NativeBytes
	for path, bound := range map[string]int64{"/send": 65 * mebibyte, "/write": 130 * mebibyte} {
		p := dialNarrow(t, address)
		p.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		eventually(t, func() bool { return srv.Stats().Requests > 0 && srv.Stats().NativeBytes > before+50*mebibyte }, "it is kept")
		require.Less(t, srv.Stats().NativeBytes, before+bound, path)
		p.vanish()
		eventually(t, func() bool { s := srv.Stats(); return s.ConnsActive == 0 && s.NativeBytes <= before+spareBytes }, "all is given back")
	}
}

func TestAPeerThatVanishesLeavesNothing(t *testing.T) {
	t.Parallel()
	body := patternBody(6 * mebibyte)
	srv := &kourier.Server{
		Config: kourier.Config{Workers: 1, MaxBodyBytes: 64 * mebibyte},
		Fast:   func(_ *kourier.Request, res *kourier.Response) { res.Send("x/y", body) },
	}
	address := serving(t, srv)
	started := srv.Stats().NativeBytes
	for name, text := range map[string]string{
		"nothing":        "",
		"half a head":    "GET / HT",
		"half a body":    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" + string(body[:100_000]),
		"half a chunk":   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n" + string(body[:100_000]),
		"half an answer": helloRequest,
		"pipelined":      strings.Repeat(helloRequest, 10) + "GET / HT",
	} {
		for end, leave := range map[string]func(p *peer){
			"RST": (*peer).vanish,
			"FIN": func(p *peer) { require.NoError(t, p.Close()) },
			"FIN of one half": func(p *peer) {
				require.NoError(t, p.Conn.(*net.TCPConn).CloseWrite())
				_, _ = io.Copy(io.Discard, p)
			},
		} {
			accepted := srv.Stats().Accepted
			p := dialNarrow(t, address)
			p.send(text)
			eventually(t, func() bool {
				s := srv.Stats()
				return s.Accepted == accepted+1 && (text == "" || s.ConnsActive == 1)
			}, "%s: it has come", name)
			leave(p)
			eventually(t, func() bool { s := srv.Stats(); return s.ConnsActive == 0 && s.ConnsIdle == 0 },
				"the connection of %s goes after %s", name, end)
			require.LessOrEqual(t, srv.Stats().NativeBytes, started+spareBytes, "%s, %s", name, end)
		}
	}
}

func TestASlowReaderIsClosedBelowTheLeastRate(t *testing.T) {
	t.Parallel()
	body := patternBody(16 * mebibyte)
	srv := &kourier.Server{
		Config: kourier.Config{Workers: 1, MinDrainRate: mebibyte},
		Fast:   func(_ *kourier.Request, res *kourier.Response) { res.Send("x/y", body) },
	}
	address := serving(t, srv)
	stopped, slow := dialNarrow(t, address).send(helloRequest), dialNarrow(t, address).send(helloRequest)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	begun, piece := time.Now(), make([]byte, 4096)
	closed := func() uint64 { return srv.Stats().Timeouts["drain_too_slow"] }
	for closed() < 2 {
		<-ticker.C
		_, err := slow.Read(piece) // 80 kB/s
		require.NoError(t, err)
		if closed() == 0 {
			require.Less(t, time.Since(begun), patience)
			continue
		}
		require.Greater(t, time.Since(begun), 4500*time.Millisecond, "there is grace")
	}
	_, err := readAnswer(stopped.reader, "GET")
	require.Error(t, err)
	_, err = readAnswer(slow.reader, "GET")
	require.Error(t, err)
	eventually(t, func() bool { return srv.Stats().ConnsActive == 0 }, "both are closed")
	require.Less(t, srv.Stats().NativeBytes, int64(4*mebibyte))
}

func TestWriteTimeoutClosesAReaderThatStops(t *testing.T) {
	t.Parallel()
	body := patternBody(16 * mebibyte)
	srv := &kourier.Server{
		WriteTimeout: 200 * time.Millisecond,
		Config:       kourier.Config{Workers: 1},
		Fast:         func(_ *kourier.Request, res *kourier.Response) { res.Send("x/y", body) },
	}
	p := dialNarrow(t, serving(t, srv)).send(helloRequest)
	eventually(t, func() bool { return srv.Stats().Timeouts["write_timeout"] == 1 }, "it is closed")
	_, err := readAnswer(p.reader, "GET")
	require.Error(t, err)
	eventually(t, func() bool { return srv.Stats().ConnsActive == 0 }, "it is gone")
}

// ------------------------------------------------------------- what is shown

func TestRemoteAddrOnTheWire(t *testing.T) {
	t.Parallel()
	sayWho := func(req *kourier.Request, res *kourier.Response) {
		res.Set("X-Copy", req.Copy().RemoteAddr).Send("text/plain", []byte(fmt.Sprint(req.RemoteAddr())))
	}
	for _, c := range []struct{ listens, reached string }{
		{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}, {"[::]:0", "127.0.0.1"}, {"[::]:0", "::1"},
	} {
		if strings.Contains(c.listens, "::") {
			hasIPv6(t)
		}
		_, port, err := net.SplitHostPort(servingOn(t, &kourier.Server{Fast: sayWho}, "tcp", c.listens))
		require.NoError(t, err)
		p := dial(t, net.JoinHostPort(c.reached, port))
		a := p.ask(helloRequest)
		require.Equal(t, p.LocalAddr().String(), a.body)
		require.Equal(t, p.LocalAddr().String(), a.Header.Get("X-Copy"))
	}
	a := dial(t, servingOn(t, &kourier.Server{Fast: sayWho}, "unix", filepath.Join(t.TempDir(), "socket"))).ask(helloRequest)
	require.Equal(t, netip.AddrPort{}.String(), a.body)
	require.Empty(t, a.Header.Get("X-Copy"))
}

func TestACopyOutlivesItsHandler(t *testing.T) {
	t.Parallel()
	copies := make(chan *http.Request, 100)
	address := serving(t, &kourier.Server{Fast: func(req *kourier.Request, res *kourier.Response) {
		copies <- req.Copy()
		sayHello(req, res)
	}})
	p := dial(t, address)
	for i := range 100 {
		text := strings.Repeat(strconv.Itoa(i), 100)
		write := post
		if i%2 == 1 {
			write = postChunked
		}
		require.Equal(t, "hello", p.ask(write("/a%20b?c="+text, text, "X-Text: "+text, "x-text: again")).body)
	}
	for i := range 100 {
		text := strings.Repeat(strconv.Itoa(i), 100)
		copied := soon(t, copies)
		body, err := io.ReadAll(copied.Body)
		require.NoError(t, err)
		require.Equal(t, text, string(body))
		require.Equal(t, "/a b", copied.URL.Path)
		require.Equal(t, "c="+text, copied.URL.RawQuery)
		require.Equal(t, []string{text, "again"}, copied.Header["X-Text"])
		require.Equal(t, "a", copied.Host)
		require.Equal(t, p.LocalAddr().String(), copied.RemoteAddr)
	}
}

func TestRoutesOnTheWire(t *testing.T) {
	t.Parallel()
	say := func(text string) kourier.FastHandler {
		return func(_ *kourier.Request, res *kourier.Response) { res.Send("text/plain", []byte(text)) }
	}
	var mux kourier.FastMux
	mux.Handle("GET /food", say("food"))
	mux.Handle("GET /food/", say("food below"))
	mux.Handle("POST /food", say("food posted"))
	mux.Handle("/a%20b", say("a b"))
	mux.Handle("BREW /pot", say("pot"))
	srv := &kourier.Server{Fast: mux.ServeFast}
	static := func(pattern, text string) {
		require.NoError(t, srv.Static(pattern, kourier.StaticResponse{
			Header: http.Header{"Content-Type": {"text/plain"}, "X-Static": {"yes"}}, Body: []byte(text),
		}))
	}
	static("GET /static", "static")
	static("GET /static/", "static below")
	static("/food/static", "food static")
	static("/c%2Fd", "c/d")
	address := serving(t, srv)
	p := dial(t, address)
	batches := srv.Stats().Batches
	inGo := uint64(0)
	for _, c := range []struct {
		request string
		status  int
		body    string
		static  bool
	}{
		{"GET /food", 200, "food", false},
		{"HEAD /food", 200, "food", false},
		{"POST /food", 200, "food posted", false},
		{"PUT /food", 404, "404 page not found\n", false},
		{"GET /foodtruck", 404, "404 page not found\n", false},
		{"GET /food/", 200, "food below", false},
		{"GET /food/x?y", 200, "food below", false},
		{"GET http://b/food", 200, "food", false},
		{"GET /a%20b", 200, "a b", false},
		{"GET /a%20c", 404, "404 page not found\n", false},
		{"BREW /pot", 200, "pot", false},
		{"DRINK /pot", 404, "404 page not found\n", false},
		{"GET /static", 200, "static", true},
		{"GET /static?query", 200, "static", true},
		{"GET http://b/static", 200, "static", true},
		{"HEAD /static", 200, "static", true},
		{"POST /static", 404, "404 page not found\n", false},
		{"GET /static/x/y", 200, "static below", true},
		{"GET /statics", 404, "404 page not found\n", false},
		{"GET /food/static", 200, "food static", true},
		{"DELETE /food/static", 200, "food static", true},
		{"BREW /food/static", 200, "food static", true},
		{"GET /c%2Fd", 200, "c/d", true},
		{"GET /c%2fd", 404, "404 page not found\n", false},
		{"GET /c/d", 404, "404 page not found\n", false},
	} {
		a := p.ask(c.request + " HTTP/1.1\r\nHost: a\r\n\r\n")
		require.Equal(t, c.status, a.StatusCode, c.request)
		require.Equal(t, c.static, a.Header.Get("X-Static") == "yes", c.request)
		require.EqualValues(t, len(c.body), a.ContentLength, c.request)
		require.NotEmpty(t, a.Header.Get("Date"))
		if strings.HasPrefix(c.request, "HEAD") {
			c.body = ""
		}
		require.Equal(t, c.body, a.body, c.request)
		if !c.static {
			inGo++
		}
	}
	require.Equal(t, inGo, srv.Stats().Batches-batches, "static answers do not enter Go")
	p = dial(t, address)
	require.True(t, p.ask("GET /static HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").Close)
	p.mustEnd()
	p = dial(t, address)
	require.True(t, p.ask("GET /static HTTP/1.0\r\n\r\n").Close)
	p.mustEnd()
	p = dial(t, address)
	require.Equal(t, "keep-alive", p.ask("GET /static HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").Header.Get("Connection"))
	require.Equal(t, 200, p.ask("GET /static HTTP/1.1\r\nHost: a\r\n\r\n").StatusCode)
}

// Many static answers of one turn exceed the core's room for its own answers.
func TestPipelinedStaticAnswersArriveWhole(t *testing.T) {
	t.Parallel()
	body := string(bytes.ToValidUTF8(patternBody(40_000), nil))
	srv := &kourier.Server{Config: kourier.Config{Workers: 1}}
	require.NoError(t, srv.Static("/", kourier.StaticResponse{Body: []byte(body), Header: http.Header{"Content-Type": nil}}))
	pipeline(t, dialNarrow(t, serving(t, srv)), strings.Repeat(helloRequest, 500), 500, func(i int, a answer) {
		require.True(t, a.body == body, "answer %d", i)
	})
}

func TestStatsAddUp(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{Workers: 2}, Fast: func(req *kourier.Request, res *kourier.Response) {
		code, err := strconv.Atoi(string(req.Path()[1:]))
		if err != nil {
			panic(err)
		}
		res.Status(code).Send("text/plain", []byte("text"))
	}}
	require.NoError(t, srv.Static("/static", kourier.StaticResponse{Status: 301}))
	require.Equal(t, "none", srv.Stats().Engine)
	address := serving(t, srv)
	require.Equal(t, "native", srv.Stats().Engine)
	require.Positive(t, srv.Stats().NativeBytes)

	var sent, received int
	exchange := func(text string, answers int) {
		t.Helper()
		p := dial(t, address)
		counted := &countingReader{p.Conn, 0}
		p.reader = bufio.NewReader(counted)
		p.send(text)
		sent += len(text)
		for range answers {
			p.answer()
		}
		require.NoError(t, p.Conn.(*net.TCPConn).CloseWrite())
		_, err := io.Copy(io.Discard, p.reader)
		require.NoError(t, err)
		received += counted.size
		require.NoError(t, p.Close())
	}
	get := func(code int) string { return fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", code) }
	exchange(get(200)+get(204)+get(302)+get(404)+get(503)+get(700), 6)
	exchange("GET /static HTTP/1.1\r\nHost: a\r\n\r\n", 1)
	exchange(post("/200", "body"), 1)
	exchange("GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 1) // panics
	exchange("GET / HTTP/1.1\r\n\r\n", 1)
	exchange("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 1)
	exchange("GET / HTTP/2.1\r\nHost: a\r\n\r\n", 1)
	exchange("GET / HTTP/1.1\r\nHost: a\r\na b: c\r\n\r\n", 1)
	exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 1)
	eventually(t, func() bool { s := srv.Stats(); return s.ConnsActive == 0 && s.ConnsIdle == 0 }, "all are gone")

	for range 2 { // once more after the end
		stats := srv.Stats()
		require.EqualValues(t, 9, stats.Accepted)
		require.Zero(t, stats.Refused+stats.Shed+stats.AcceptRetries+stats.OutOfMemory)
		require.EqualValues(t, 9, stats.Requests)
		require.Zero(t, stats.Responses1xx)
		require.EqualValues(t, 3, stats.Responses2xx)
		require.EqualValues(t, 2, stats.Responses3xx)
		require.EqualValues(t, 1+3, stats.Responses4xx)
		require.EqualValues(t, 2+2, stats.Responses5xx, "503, 500, 505 and 501")
		require.Equal(t, map[kourier.Reason]uint64{
			"bad_host": 2, "bad_version": 1, "bad_field": 1, "bad_transfer_encoding": 1,
		}, stats.ParseErrors)
		require.Empty(t, stats.Timeouts)
		require.EqualValues(t, sent, stats.BytesIn)
		require.EqualValues(t, received, stats.BytesOut)
		require.Positive(t, stats.Batches)
		require.LessOrEqual(t, stats.Batches, uint64(9))
		require.Len(t, stats.Workers, 2)
		var all kourier.WorkerStats // one of them may have had nothing to do
		for _, w := range stats.Workers {
			require.Zero(t, w.Conns)
			all.LoopIterations += w.LoopIterations
			all.Syscalls += w.Syscalls
			all.CPU += w.CPU
		}
		require.Positive(t, all.LoopIterations)
		require.Greater(t, all.Syscalls, all.LoopIterations)
		require.Positive(t, all.CPU)
		require.NoError(t, srv.Close())
	}
}

type countingReader struct {
	io.Reader
	size int
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.size += n
	return n, err
}
