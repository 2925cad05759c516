package kourier

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/internal/abi"
)

func TestHandlersAnswerOverALink(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "Hello "+r.URL.Path)
	})
	answers := readAnswers(t, s.exchange(get("/a")+get("/b")), "GET", "GET")
	for i, path := range []string{"/a", "/b"} {
		require.Equal(t, 200, answers[i].StatusCode)
		require.Equal(t, "Hello "+path, answers[i].text)
		require.EqualValues(t, 8, answers[i].ContentLength)
		require.Equal(t, "text/plain; charset=utf-8", answers[i].Header.Get("Content-Type"))
		require.NotEmpty(t, answers[i].Header.Get("Date"))
	}
}

func TestAnswersToABunchGoOutTogether(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	require.Len(t, readAnswers(t, s.exchange(strings.Repeat(get("/"), 5)), "GET", "GET", "GET", "GET", "GET"), 5)
	require.LessOrEqual(t, s.link().writes, 2)
}

// c.6 116, and the other way round: a finished answer does not wait for the next handler.
func TestAFinishedAnswerDoesNotWaitForASlowHandler(t *testing.T) {
	seen := make(chan struct{})
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-seen
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})
	conn := s.dial()
	_, err := io.WriteString(conn, get("/quick")+get("/slow"))
	require.NoError(t, err)
	reader := bufio.NewReader(conn)
	for _, path := range []string{"/quick", "/slow"} {
		response, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, path, string(body))
		if path == "/quick" {
			close(seen)
		}
	}
}

func TestPanicsOfHandlers(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		logged  string
		sent    string
	}{
		"value":  {func(http.ResponseWriter, *http.Request) { panic("boom") }, "http: panic serving 127.0.0.1:", ""},
		"abort":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", ""},
		"nil":    {func(http.ResponseWriter, *http.Request) { panic(nil) }, "panic called with nil argument", ""},
		"goexit": {func(http.ResponseWriter, *http.Request) { runtime.Goexit() }, "", ""},
		"written": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(sized(100))
			panic(http.ErrAbortHandler)
		}, "", ""},
		"sent": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "part")
			w.(http.Flusher).Flush()
			_, _ = w.Write(sized(5000))
			panic(http.ErrAbortHandler)
		}, "", "4\r\npart\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newHandlerServer(t, test.handler)
			client, server := tcpPair(t)
			l := &streamLink{conn: server, released: make(chan uint32, 1)}
			h, _ := makeHanded(t, l, get("/"))
			s.engine.start(h)
			require.EqualValues(t, abi.ReleaseAbort, <-l.released)
			require.NoError(t, server.Close())
			sent, err := io.ReadAll(client)
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(string(sent), test.sent), "%q", sent)
			require.Equal(t, test.sent == "", len(sent) == 0)
			if test.logged == "" {
				require.Empty(t, s.logs())
			} else {
				require.Contains(t, s.logs(), test.logged)
				require.Contains(t, s.logs(), "goroutine ")
			}
		})
	}
}

// tcpPair returns the two ends of a connection.
func tcpPair(t testing.TB) (client, server net.Conn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	client, err = net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	server, err = listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

func TestAPanicLeavesTheAnswersBeforeItAlone(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			_, _ = io.WriteString(w, "never seen")
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "fine")
	})
	answers := readAnswers(t, s.exchange(get("/")+get("/panic")+get("/")), "GET")
	require.Equal(t, "fine", answers[0].text)
}

func TestGeneralOptions(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	star := request("OPTIONS", "*", "HTTP/1.1")
	require.Equal(t, "0", readAnswers(t, s.exchange(star), "OPTIONS")[0].Header.Get("Content-Length"))
	s.engine.noGeneralOptions = true
	require.Equal(t, http.StatusTeapot, readAnswers(t, s.exchange(star), "OPTIONS")[0].StatusCode)
}

// c.5 102: a body of more than 4 KiB is refused.
func TestGeneralOptionsWithABody(t *testing.T) {
	s := newHandlerServer(t, nil)
	for _, size := range []int{100, 4096, 5000} {
		text := request("OPTIONS", "*", "HTTP/1.1", fmt.Sprint("Content-Length: ", size)) + string(sized(size))
		answer := readAnswers(t, s.exchange(text), "OPTIONS")[0]
		require.Equal(t, 200, answer.StatusCode)
		require.Equal(t, size > 4096, answer.Close)
	}
}

// c.1 24
func TestFilesOfFormsAreRemoved(t *testing.T) {
	var name string
	s := newHandlerServer(t, func(_ http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.ParseMultipartForm(0))
		file, err := r.MultipartForm.File["f"][0].Open()
		require.NoError(t, err)
		defer file.Close()
		name = file.(*os.File).Name()
		require.FileExists(t, name)
	})
	body := "--b\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\n" + string(sized(11<<20)) + "\r\n--b--\r\n"
	conn, reader := s.send("")
	go func() {
		_, _ = io.WriteString(conn, post("Content-Type: multipart/form-data; boundary=b", fmt.Sprint("Content-Length: ", len(body)))+body)
	}()
	require.Equal(t, 200, s.answer(reader).StatusCode)
	s.waitForRelease(1)
	require.NotEmpty(t, name)
	require.NoFileExists(t, name)
}

// c.5 104
func TestTimeoutHandler(t *testing.T) {
	release := make(chan struct{})
	var slow http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			<-release
		}
		_, _ = io.WriteString(w, "in time")
	})
	slow = http.TimeoutHandler(slow, 50*time.Millisecond, "late")
	s := newHandlerServer(t, slow.ServeHTTP)
	sent := s.exchange(get("/slow"))
	close(release)
	answer := readAnswers(t, sent, "GET")[0]
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	require.Equal(t, "late", answer.text)
}

// c.1 27: the head of an HTTP/2 preface is for handlers that hijack it.
func TestHandlersSeeThePreface(t *testing.T) {
	for _, hijack := range []bool{false, true} {
		e := benchmarkEngine(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, "PRI", r.Method)
			require.Equal(t, "*", r.URL.Path)
			require.Equal(t, "HTTP/2.0", r.Proto)
			require.True(t, r.ProtoAtLeast(2, 0))
			require.True(t, r.Body == http.NoBody)
			if hijack {
				conn, buffered, err := w.(http.Hijacker).Hijack()
				require.NoError(t, err)
				rest, err := buffered.Peek(6)
				require.NoError(t, err)
				require.Equal(t, "SM\r\n\r\n", string(rest))
				conn.Close()
			}
		})
		_, server := tcpPair(t)
		l := &streamLink{conn: server, input: bufio.NewReader(strings.NewReader("SM\r\n\r\n")), released: make(chan uint32, 1)}
		_, _ = l.input.Peek(6)
		h, _ := makeHanded(t, l, "PRI * HTTP/2.0\r\n\r\n")
		h.requests[0].Flags |= abi.RequestPreface
		e.serve(h)
		if !hijack {
			require.EqualValues(t, abi.ReleaseClose, <-l.released)
		}
	}
}

func TestWithoutAHandlerTheDefaultServeMuxAnswers(t *testing.T) {
	s := newHandlerServer(t, nil)
	s.engine.handler = nil
	require.Equal(t, http.StatusNotFound, readAnswers(t, s.exchange(get("/nothing/here")), "GET")[0].StatusCode)
}

func TestShutdownAndKeepAlivesSayClose(t *testing.T) {
	for name, set := range map[string]func(*handlerServer){
		"shutdown": func(s *handlerServer) { s.shutting = true },
		"disabled": func(s *handlerServer) { s.noKeep = true },
	} {
		t.Run(name, func(t *testing.T) {
			s := newHandlerServer(t, func(http.ResponseWriter, *http.Request) {})
			set(s)
			answer := readAnswers(t, s.exchange(get("/")+get("/")), "GET")[0]
			require.True(t, answer.Close)
			require.Equal(t, []uint32{abi.ReleaseClose}, s.releases)
		})
	}
}

func TestFollowersAreShownToFastFirst(t *testing.T) {
	s := newHandlerServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "handler "+r.URL.Path)
	})
	s.engine.fast = func(req *Request, res *Response) {
		switch string(req.Path()) {
		case "/fast":
			res.Send("text/plain", append([]byte("fast from "), req.RemoteAddr().Addr().String()...))
		case "/large":
			_, _ = res.Write(sized(200 << 10))
		case "/panic":
			panic("fast")
		case "/abort":
			panic(http.ErrAbortHandler)
		default:
			res.Pass()
		}
	}
	s.engine.fastLog = func(value any, _ []byte, _ *Request) { s.log(value.(string)) }
	sent := s.exchange(get("/fast") + get("/fast") + get("/slow") + get("/large") + get("/fast") + get("/panic") + get("/"))
	answers := readAnswers(t, sent, "GET", "GET", "GET", "GET", "GET", "GET")
	require.Equal(t, "handler /fast", answers[0].text, "Fast has passed the first one before")
	require.Equal(t, "fast from 127.0.0.1", answers[1].text)
	require.Equal(t, "handler /slow", answers[2].text)
	require.Equal(t, string(sized(200<<10)), answers[3].text)
	require.Equal(t, "fast from 127.0.0.1", answers[4].text)
	require.Equal(t, 500, answers[5].StatusCode)
	require.Equal(t, "fast", s.logs())
	require.EqualValues(t, 1, s.engine.counters.responses[5].Load())
	require.EqualValues(t, 5, s.engine.counters.responses[2].Load())

	_, server := tcpPair(t)
	l := &streamLink{conn: server, released: make(chan uint32, 1)}
	h, _ := makeHanded(t, l, get("/")+get("/abort")+get("/"))
	s.engine.serve(h)
	require.EqualValues(t, abi.ReleaseAbort, <-l.released)
}

// start does what a worker does with a batch in which it hands over one connection or more.
func (e *handlerEngine) start(batch ...*handed) {
	p := &e.pools[0]
	for _, h := range batch {
		p.start(e, h)
	}
	for p.hurry(e, false) {
		runtime.Gosched()
	}
}

// makeBatch returns connections with one request each. When one is released, released tells it.
func makeBatch(t *testing.T, count int) (batch []*handed, released chan uint32) {
	released = make(chan uint32, count)
	for range count {
		h, _ := makeHanded(t, &memoryLink{released: released}, get("/"))
		batch = append(batch, h)
	}
	return batch, released
}

func TestOneGoroutineServesWhatDoesNotBlock(t *testing.T) {
	t.Parallel()
	begin := make(chan struct{})
	s := newHandlerServer(t, func(http.ResponseWriter, *http.Request) { <-begin })
	batch, released := makeBatch(t, 50)
	p := &s.engine.pools[0]
	for _, h := range batch {
		p.start(s.engine, h)
	}
	close(begin)
	for range batch {
		<-released
	}
	require.Equal(t, 1, p.woken)
	require.False(t, p.hurry(s.engine, false))
	require.Equal(t, 1, p.width)
}

func TestHandlersThatBlockGetAGoroutineEach(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	s := newHandlerServer(t, func(http.ResponseWriter, *http.Request) {
		running.Done()
		running.Wait() // for all of the batch
	})
	running.Add(50)
	batch, released := makeBatch(t, 50)
	s.engine.start(batch...)
	for range batch {
		<-released
	}
	running.Add(50)
	batch, released = makeBatch(t, 50)
	for _, h := range batch { // hurry need not find out again
		s.engine.pools[0].start(s.engine, h)
	}
	for range batch {
		<-released
	}
}

func TestTheLastHurryLeavesAGoroutineToEach(t *testing.T) {
	t.Parallel()
	var running sync.WaitGroup
	s := newHandlerServer(t, func(http.ResponseWriter, *http.Request) {
		running.Done()
		running.Wait()
	})
	running.Add(50)
	batch, released := makeBatch(t, 50)
	p := &s.engine.pools[0]
	for _, h := range batch {
		p.start(s.engine, h)
	}
	p.hurry(s.engine, true)
	for range batch {
		<-released
	}
}

func TestAQueueThatNeverEmptiesStaysSmall(t *testing.T) {
	t.Parallel()
	e := benchmarkEngine(nil)
	p := &e.pools[0]
	p.woken, p.width = 1, 1 // nobody is woken
	batch, _ := makeBatch(t, 1)
	p.start(e, batch[0])
	for range 100_000 {
		p.start(e, batch[0])
		h, _ := p.next(nil, false)
		require.NotNil(t, h)
	}
	require.Less(t, cap(p.queue), 4*queueMoveMin)
	require.Equal(t, 1, len(p.queue)-p.begun)
}

// An agedLink is one whose request has begun to come before.
type agedLink struct {
	streamLink
	deadline time.Time
}

func (l *agedLink) age() time.Duration          { return 40 * time.Minute }
func (l *agedLink) setReadDeadline(t time.Time) { l.deadline = t }

// The time of ReadTimeout begins with the first byte of the head.
func TestReadTimeoutCountsTheTimeOfTheHead(t *testing.T) {
	t.Parallel()
	s := newHandlerServer(t, func(http.ResponseWriter, *http.Request) {})
	s.engine.readTimeout = time.Hour
	_, server := tcpPair(t)
	l := &agedLink{streamLink: streamLink{conn: server, released: make(chan uint32, 1)}}
	h, _ := makeHanded(t, l, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nConnection: close\r\n\r\n")
	h.requests[0].Flags |= abi.RequestBodyOpen
	s.engine.serve(h)
	require.WithinDuration(t, time.Now().Add(20*time.Minute), l.deadline, time.Minute)
}

func TestAGoroutineThatAHandlerEndsLeavesTheRestToOthers(t *testing.T) {
	t.Parallel()
	s := newHandlerServer(t, func(http.ResponseWriter, *http.Request) { runtime.Goexit() })
	batch, released := makeBatch(t, 20)
	s.engine.start(batch...)
	for range batch {
		require.EqualValues(t, abi.ReleaseAbort, <-released)
	}
}

func TestGoroutinesAreKeptAndEnd(t *testing.T) {
	ran := make(chan struct{})
	s := newHandlerServer(t, func(http.ResponseWriter, *http.Request) { ran <- struct{}{} })
	pool := &s.engine.pools[0]
	pool.idleMax = 6
	idle := func() int {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return len(pool.idle)
	}
	start := func(count int) {
		pool.width = count // as if the batch before had taken as many
		batch, released := makeBatch(t, count)
		for _, h := range batch {
			pool.start(s.engine, h)
		}
		for range count {
			<-ran
			defer func() { <-released }()
		}
		require.False(t, pool.hurry(s.engine, false))
	}
	start(6)
	require.Eventually(t, func() bool { return idle() == 6 }, 5*time.Second, time.Millisecond)
	pool.sweep()
	start(5)
	require.Eventually(t, func() bool { return idle() == 6 }, 5*time.Second, time.Millisecond)
	pool.sweep()
	require.Equal(t, 5, idle(), "one was not needed")
	pool.sweep()
	require.Zero(t, idle())
	require.Nil(t, pool.sweeper)
	start(1)
	require.Eventually(t, func() bool { return idle() == 1 }, 5*time.Second, time.Millisecond)
	pool.close()
	require.Zero(t, idle())
}

// Whoever has many woken before any could look at the queue gets no more than are needed.
func TestNoMoreGoroutinesComeThanThereIsToServe(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // they do not run before this one waits
	end := make(chan struct{})
	s := newHandlerServer(t, func(http.ResponseWriter, *http.Request) { <-end })
	pool := &s.engine.pools[0]
	batch, released := makeBatch(t, 20)
	before := runtime.NumGoroutine()
	for _, h := range batch {
		pool.start(s.engine, h)
	}
	for range 10 {
		pool.hurry(s.engine, true)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before+len(batch))
	close(end)
	for range batch {
		require.EqualValues(t, abi.ReleaseKeep, <-released)
	}
	coming := func() int {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return pool.coming
	}
	require.Eventually(t, func() bool { return coming() == 0 }, 5*time.Second, time.Millisecond)
}

// A memoryLink is a link whose peer takes everything.
type memoryLink struct {
	released chan uint32
	sent     int
}

var memoryRemote = netip.MustParseAddrPort("192.0.2.1:54321")

func (l *memoryLink) tryReadBody([]byte) (int, error) { return 0, io.EOF }
func (l *memoryLink) awaitBody() error                { return nil }
func (l *memoryLink) readTrailer() (string, error)    { return "", nil }

func (l *memoryLink) age() time.Duration { return 0 }
func (l *memoryLink) write(head, body []byte) (int, error) {
	l.sent += len(head) + len(body)
	return len(head) + len(body), nil
}
func (l *memoryLink) room() int                               { return math.MaxInt }
func (l *memoryLink) awaitRoom() int                          { return math.MaxInt }
func (l *memoryLink) sendFile(*os.File, int64) (int64, error) { return 0, errNoSendFile }
func (l *memoryLink) setReadDeadline(time.Time)               {}
func (l *memoryLink) setWriteDeadline(time.Time)              {}
func (l *memoryLink) remote() netip.AddrPort                  { return memoryRemote }
func (l *memoryLink) localAddr() net.Addr                     { return nil }
func (l *memoryLink) remoteAddr() net.Addr                    { return nil }
func (l *memoryLink) onGone(func())                           {}
func (l *memoryLink) hijack() (net.Conn, []byte, error)       { return nil, nil, net.ErrClosed }
func (l *memoryLink) release(how uint32) {
	if l.released != nil {
		l.released <- how
	}
}

func benchmarkEngine(handler http.HandlerFunc) *handlerEngine {
	return &handlerEngine{
		handler:    handler,
		server:     &http.Server{},
		closing:    func() bool { return false },
		keepAlives: func() bool { return true },
		drainMax:   256 << 10,
		dates:      newDateCache(),
		pools:      []goroutinePool{{idleMax: 256}},
	}
}

// again returns what makes h as it is now.
func again(h *handed) func() {
	fresh, requests := *h, slices.Clone(h.requests)
	return func() {
		*h = fresh
		copy(h.requests, requests)
	}
}

func benchmarkServe(b *testing.B, e *handlerEngine, h *handed) {
	begin := again(h)
	b.ReportAllocs()
	for b.Loop() {
		begin()
		e.serve(h)
	}
}

func BenchmarkHandlerHello(b *testing.B) {
	body := []byte("Hello World!")
	e := benchmarkEngine(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(body); err != nil {
			b.Error(err)
		}
	})
	h, _ := makeHanded(b, &memoryLink{}, "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
	benchmarkServe(b, e, h)
}

// The head of a browser, and an answer with two fields.
func BenchmarkHandlerBrowser(b *testing.B) {
	body := []byte("Hello World!")
	e := benchmarkEngine(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Cache-Control", "no-store")

		_, _ = w.Write(body)
	})
	h, _ := makeHanded(b, &memoryLink{}, request("GET", "/index.html?a=b", "HTTP/1.1", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
		"Accept: text/html,application/xhtml+xml", "Accept-Language: en-US,en;q=0.5", "accept-encoding: gzip, deflate, br",
		"Connection: keep-alive", "Cookie: session=0123456789abcdef", "Upgrade-Insecure-Requests: 1"))
	benchmarkServe(b, e, h)
}

// As many requests at once as a client can have in a batch, through a router.
func BenchmarkHandlerPipelined(b *testing.B) {
	const count = 256
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		if _, err := io.WriteString(w, "Hello World!"); err != nil {
			b.Error(err)
		}
	})
	mux.HandleFunc("POST /upload", func(http.ResponseWriter, *http.Request) {})
	e := benchmarkEngine(mux.ServeHTTP)
	h, _ := makeHanded(b, &memoryLink{}, strings.Repeat("GET /hello HTTP/1.1\r\nHost: 127.0.0.1:3275\r\n\r\n", count))
	benchmarkServe(b, e, h)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/request")
}

func BenchmarkHandlerStart(b *testing.B) {
	released := make(chan uint32, 1)
	e := benchmarkEngine(func(http.ResponseWriter, *http.Request) {})
	h, _ := makeHanded(b, &memoryLink{released: released}, "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
	begin := again(h)
	b.ReportAllocs()
	for b.Loop() {
		begin()
		e.start(h)
		<-released
	}
	e.pools[0].close()
}
