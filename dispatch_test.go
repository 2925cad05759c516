package kourier

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/internal/abi"
)

func sayPath(req *Request, res *Response) { res.Send("text/plain", req.Path()) }

func TestWithoutAHandlerEverythingIs404(t *testing.T) {
	a, core := one(t, get("/x"), nil)
	require.Equal(t, 404, a.StatusCode)
	require.Equal(t, "404 page not found\n", a.text)
	require.Equal(t, "text/plain; charset=utf-8", a.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
	require.False(t, a.Close)
	require.Equal(t, uint8(abi.AnswerDone), core.raws[0].AnswerFlags)
	require.Equal(t, uint16(404), core.raws[0].AnswerCode)
}

func TestPassDropsWhatWasPrepared(t *testing.T) {
	a, _ := one(t, get("/x"), func(_ *Request, res *Response) {
		_, err := res.Status(201).Set("X-A", "b").WriteString("text")
		require.NoError(t, err)
		res.Pass()
		_, err = res.WriteString("more")
		require.ErrorIs(t, err, ErrRequestDone)
	})
	require.Equal(t, 404, a.StatusCode)
	require.Empty(t, a.Header.Get("X-A"))
	require.Equal(t, "404 page not found\n", a.text)
}

func TestAHandlerThatWritesNothingAnswers200(t *testing.T) {
	a, _ := one(t, get("/"), func(*Request, *Response) {})
	require.Equal(t, 200, a.StatusCode)
	require.Zero(t, a.ContentLength)
	require.NotContains(t, a.Header, "Content-Type")
	require.Equal(t, "Sun, 06 Nov 1994 08:49:37 GMT", a.Header.Get("Date"))
}

func TestAnswersKeepTheOrderOfTheirConnection(t *testing.T) {
	core := newFakeCore(t)
	var arrivals []arrival
	for i := range 300 {
		arrivals = append(arrivals, arrival{uint64(i % 3), get(numbered(i))})
	}
	sent := core.answer(sayPath, arrivals...)
	for connection := range 3 {
		var methods []string
		for range 100 {
			methods = append(methods, "GET")
		}
		for i, a := range readAnswers(t, sent[uint64(connection)], methods...) {
			require.Equal(t, numbered(i*3+connection), a.text)
		}
	}
	require.Zero(t, core.writes)
}

func TestRequestsThatTheCoreHasAnsweredAreSkipped(t *testing.T) {
	core := newFakeCore(t)
	core.load(64<<10, arrival{1, get("/0")}, arrival{1, get("/1")}, arrival{2, get("/2")})
	core.raws[0].AnswerFlags = abi.AnswerDone
	sent := core.run(core.dispatcher(sayPath))
	require.Equal(t, "/1", readAnswers(t, sent[1], "GET")[0].text)
	require.Equal(t, "/2", readAnswers(t, sent[2], "GET")[0].text)
}

func TestNothingFollowsAnAnswerThatCloses(t *testing.T) {
	core := newFakeCore(t)
	sent := core.answer(func(req *Request, res *Response) {
		if string(req.Path()) == "/close" {
			res.Close()
		}
		sayPath(req, res)
	}, arrival{1, get("/a")}, arrival{1, get("/close")}, arrival{1, get("/b")}, arrival{2, get("/c")})
	answers := readAnswers(t, sent[1], "GET", "GET")
	require.False(t, answers[0].Close)
	require.True(t, answers[1].Close)
	require.Equal(t, "/c", readAnswers(t, sent[2], "GET")[0].text)
	require.Equal(t, uint8(abi.AnswerDone|abi.AnswerClose), core.raws[1].AnswerFlags)
	require.Zero(t, core.raws[2].AnswerFlags)
}

func TestNothingFollowsOnAConnectionThatIsBlocked(t *testing.T) {
	core := newFakeCore(t)
	core.status = func(uint32) int32 { return abi.ErrBlocked }
	called := 0
	sent := core.answer(func(req *Request, res *Response) {
		called++
		if string(req.Path()) == "/big" {
			res.Send("text/plain", sized(100_000))
			return
		}
		sayPath(req, res)
	}, arrival{1, get("/big")}, arrival{1, get("/a")}, arrival{2, get("/b")})
	require.Equal(t, string(sized(100_000)), readAnswers(t, sent[1], "GET")[0].text)
	require.Equal(t, "/b", readAnswers(t, sent[2], "GET")[0].text)
	require.Equal(t, 2, called)
	require.Equal(t, uint8(abi.AnswerDone), core.raws[0].AnswerFlags)
	require.Zero(t, core.raws[1].AnswerFlags)
}

func TestALostConnectionIsAbandoned(t *testing.T) {
	for _, status := range []int32{abi.ErrClosed, abi.ErrMemory} {
		core := newFakeCore(t)
		core.status = func(uint32) int32 { return status }
		core.answer(func(_ *Request, res *Response) {
			_, err := res.Write(sized(100_000))
			require.ErrorContains(t, err, "use of closed network connection")
			_, err = res.Write(sized(100_000))
			require.Error(t, err)
		}, arrival{1, get("/")}, arrival{1, get("/")})
		require.Equal(t, 1, core.writes)
		require.Equal(t, uint8(abi.AnswerDone|abi.AnswerAbort), core.raws[0].AnswerFlags)
		require.Zero(t, core.raws[1].AnswerFlags)
		require.Zero(t, core.batch.OutSize)
	}
}

func TestAPanicIsAnswered500AndTouchesNothingElse(t *testing.T) {
	prepare := map[string]func(res *Response){
		"nothing written": func(*Response) {},
		"fields set":      func(res *Response) { res.Status(201).Set("X-A", "b") },
		"bytes collected": func(res *Response) { _, _ = res.WriteString("half an answ") },
		"answer sent":     func(res *Response) { res.Send("text/plain", []byte("whole")) },
		"passed":          func(res *Response) { res.Pass() },
	}
	for name, before := range prepare {
		t.Run(name, func(t *testing.T) {
			core := newFakeCore(t)
			sent := core.answer(func(req *Request, res *Response) {
				if string(req.Path()) == "/panic" {
					before(res)
					panic("out of flour")
				}
				sayPath(req, res)
			}, arrival{1, get("/a")}, arrival{1, get("/panic")}, arrival{1, get("/b")}, arrival{2, get("/c")}, arrival{3, get("/panic")})
			answers := readAnswers(t, sent[1], "GET", "GET")
			require.Equal(t, "/a", answers[0].text)
			require.Equal(t, 500, answers[1].StatusCode)
			require.Equal(t, "Internal Server Error\n", answers[1].text)
			require.Empty(t, answers[1].Header.Get("X-A"))
			require.True(t, answers[1].Close)
			require.Equal(t, "/c", readAnswers(t, sent[2], "GET")[0].text)
			require.Equal(t, 500, readAnswers(t, sent[3], "GET")[0].StatusCode)

			require.Equal(t, []any{"out of flour", "out of flour"}, core.logged)
			require.Contains(t, string(core.stacks[0]), "TestAPanicIsAnswered500")
			require.Equal(t, uint8(abi.AnswerDone|abi.AnswerClose), core.raws[1].AnswerFlags)
			require.Equal(t, uint16(500), core.raws[1].AnswerCode)
			require.Zero(t, core.raws[2].AnswerFlags)
		})
	}
}

func TestAPanicAmidAnAnswerAborts(t *testing.T) {
	core := newFakeCore(t)
	sent := core.answer(func(_ *Request, res *Response) {
		_, _ = res.Write(sized(100_000))
		panic("out of flour")
	}, arrival{1, get("/")}, arrival{1, get("/")})
	require.Equal(t, uint8(abi.AnswerDone|abi.AnswerAbort), core.raws[0].AnswerFlags)
	require.Equal(t, uint16(200), core.raws[0].AnswerCode)
	require.Zero(t, core.raws[1].AnswerFlags)
	require.Error(t, readAnswers(t, sent[1], "GET")[0].err, "the answer must not look complete")
	require.Len(t, core.logged, 1)
}

func TestAPanicAfterAnAnswerHasLeftClosesBehindIt(t *testing.T) {
	core := newFakeCore(t)
	sent := core.answer(func(_ *Request, res *Response) {
		res.Send("text/plain", sized(100_000))
		panic("out of flour")
	}, arrival{1, get("/")})
	require.Equal(t, uint8(abi.AnswerDone|abi.AnswerClose), core.raws[0].AnswerFlags)
	require.Len(t, readAnswers(t, sent[1], "GET")[0].text, 100_000)
}

func TestErrAbortHandlerAbortsInSilence(t *testing.T) {
	core := newFakeCore(t)
	sent := core.answer(func(req *Request, res *Response) {
		if string(req.Path()) == "/abort" {
			_, _ = res.WriteString("half")
			panic(http.ErrAbortHandler)
		}
		sayPath(req, res)
	}, arrival{1, get("/a")}, arrival{1, get("/abort")}, arrival{2, get("/b")})
	require.Empty(t, core.logged)
	require.Equal(t, "/a", readAnswers(t, sent[1], "GET")[0].text)
	require.Equal(t, "/b", readAnswers(t, sent[2], "GET")[0].text)
	require.Equal(t, uint8(abi.AnswerDone|abi.AnswerAbort), core.raws[1].AnswerFlags)
}

func TestALogThatPanicsStaysInside(t *testing.T) {
	core := newFakeCore(t)
	core.load(64<<10, arrival{1, get("/")})
	d := newDispatcher(func(*Request, *Response) { panic("first") }, nil, 1, core.write, nil,
		func(any, []byte, *Request) { panic("second") })
	sent := core.run(d)
	require.Equal(t, 500, readAnswers(t, sent[1], "GET")[0].StatusCode)
}

// However little room Out has, the clients see the same.
func TestOutMayBeFullAtAnyPoint(t *testing.T) {
	handlers := map[string]FastHandler{
		"send":  sayPath,
		"big":   func(_ *Request, res *Response) { res.Send("text/plain", sized(2000)) },
		"write": func(_ *Request, res *Response) { _, _ = res.Write(sized(100_000)) },
		"pass":  func(_ *Request, res *Response) { res.Pass() },
		"set":   func(_ *Request, res *Response) { res.Set("X-Long", string(sized(1500))) },
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			var arrivals []arrival
			for i := range 12 {
				arrivals = append(arrivals, arrival{uint64(i / 4), get(numbered(i))})
			}
			roomy := newFakeCore(t)
			want := roomy.answer(handler, arrivals...)
			step := 1
			if poisoning {
				step = 13 // the race detector is slow
			}
			for size := 0; size < 1200; size += step {
				core := newFakeCore(t)
				core.load(size, arrivals...)
				require.Equal(t, want, core.run(core.dispatcher(handler)), "with %d bytes of room", size)
			}
		})
	}
}

func TestWhatIsKeptAfterTheHandlerIsHarmless(t *testing.T) {
	var keptRequest *Request
	var keptResponse *Response
	one(t, request("GET", "/a?b", "HTTP/1.1", "X-A: b"), func(req *Request, res *Response) {
		keptRequest, keptResponse = req, res
		res.Send("", nil)
		res.Send("text/plain", []byte("again"))
		res.Pass()
		res.Canned(notFound)
	})
	require.Equal(t, "/", string(keptRequest.Path()))
	require.Empty(t, keptRequest.Method())
	require.Empty(t, keptRequest.Target())
	require.Nil(t, keptRequest.Header("X-A"))
	require.False(t, keptRequest.RemoteAddr().IsValid())
	for range keptRequest.Headers() {
		t.Fatal("a field of a request that is over")
	}
	require.NotNil(t, keptRequest.Copy())

	_, err := keptResponse.Status(201).Set("X-A", "b").WriteString("text")
	require.ErrorIs(t, err, ErrRequestDone)
	keptResponse.Send("text/plain", []byte("text"))
	keptResponse.Canned(notFound)
	keptResponse.Close()
	keptResponse.Pass()
	require.Equal(t, abi.Request{}, noRequest)
}

func TestWorkersRunAtTheSameTime(t *testing.T) {
	const workers = 4
	d := newDispatcher(sayPath, nil, workers, nil, nil, nil)
	var group sync.WaitGroup
	for number := range workers {
		group.Go(func() {
			for range 200 {
				raws := []abi.Request{parseArrival(t, arrival{1, get(numbered(number))})}
				b := abi.MakeBatch(raws, make([]byte, 1024), testDate)
				b.Worker = uint32(number)
				d.OnBatch(b)
				if !strings.HasSuffix(string(abiOut(b)), numbered(number)) {
					t.Error("another worker's answer")
				}
			}
		})
	}
	group.Wait()
}

func TestADateChangesWithItsBatch(t *testing.T) {
	core := newFakeCore(t)
	d := core.dispatcher(sayPath)
	for _, date := range []string{"Date: one\r\n", "Date: two\r\n"} {
		core.load(1024, arrival{1, get("/")})
		core.batch = abi.MakeBatch(core.raws, make([]byte, 1024), date)
		core.run(d)
	}
	require.Contains(t, core.sent[1].String(), "Date: one\r\n")
	require.Contains(t, core.sent[1].String(), "Date: two\r\n")
}

func TestAnInvalidStatusIsReportedAndAnswered500(t *testing.T) {
	for _, code := range []int{-1, 0, 99, 100, 101, 199, 1000} {
		a, core := one(t, get("/"), func(_ *Request, res *Response) { res.Status(code).Send("text/plain", []byte("x")) })
		require.Equal(t, 500, a.StatusCode)
		require.Len(t, core.logged, 1)
		err, isError := core.logged[0].(error)
		require.True(t, isError)
		require.ErrorContains(t, err, "is not a final status code")
		require.Empty(t, core.stacks[0])
		require.NotErrorIs(t, err, errors.ErrUnsupported)
	}
}

// A benchCore runs batches of 256 hello requests and forgets the answers.
type benchCore struct {
	d     *dispatcher
	batch *abi.Batch
	raws  []abi.Request
}

func newBenchCore(t testing.TB, text string, fast FastHandler) *benchCore {
	c := &benchCore{}
	for i := range 256 {
		c.raws = append(c.raws, parseArrival(t, arrival{uint64(i / 16), text}))
	}
	c.batch = abi.MakeBatch(c.raws, make([]byte, 128<<10), testDate)
	write := func(b *abi.Batch, _ uint32, _ []byte) int32 { b.OutSize = 0; return abi.OK }
	c.d = newDispatcher(fast, nil, 1, write, nil, nil)
	return c
}

func (c *benchCore) turn() {
	for i := range c.raws {
		c.raws[i].AnswerFlags = 0
	}
	c.batch.OutSize = 0
	c.d.OnBatch(c.batch)
}

var helloBody = []byte("Hello World!")

func sayHello(_ *Request, res *Response) { res.Send("text/plain", helloBody) }

var helloCanned = mustCan(200, http.Header{"Content-Type": {"text/plain"}}, "Hello World!")

// pathCases are handlers that must not allocate, and whose time matters.
func pathCases() map[string]FastHandler {
	var mux FastMux
	mux.Handle("GET /", sayHello)
	mux.Handle("GET /hello", sayHello)
	mux.Handle("POST /orders", sayHello)
	return map[string]FastHandler{
		"Nothing": func(*Request, *Response) {},
		"Hello":   sayHello,
		"Literal": func(_ *Request, res *Response) { res.Send("text/plain", []byte("Hello World!")) },
		"Write":   func(_ *Request, res *Response) { _, _ = res.Write([]byte("Hello World!")) },
		"Typed": func(_ *Request, res *Response) {
			_, _ = res.Set("Content-Type", "text/plain").WriteString("Hello World!")
		},
		"Canned": func(_ *Request, res *Response) { res.Canned(helloCanned) },
		"Mux":    mux.ServeFast,
		"Set":    func(_ *Request, res *Response) { res.Set("Cache-Control", "no-store").Send("text/plain", helloBody) },
		"Big":    func(_ *Request, res *Response) { res.Send("text/plain", bigBody) },
		"Pass":   func(_ *Request, res *Response) { res.Pass() },
		"Headers": func(req *Request, res *Response) {
			n := 0
			for name := range req.Headers() {
				n += len(name)
			}
			res.Send(req.Method(), req.Header("host"))
		},
	}
}

var bigBody = sized(32 << 10)

func TestRequestsAllocateNothing(t *testing.T) {
	if poisoning {
		t.Skip("instrumented builds allocate")
	}
	for name, handler := range pathCases() {
		t.Run(name, func(t *testing.T) {
			c := newBenchCore(t, get("/hello"), handler)
			require.Zero(t, testing.AllocsPerRun(20, c.turn))
		})
	}
}

func BenchmarkDispatch(b *testing.B) {
	cases := pathCases()
	for _, name := range []string{"Hello", "Nothing", "Literal", "Write", "Typed", "Canned", "Mux", "Set", "Big", "Pass", "Headers"} {
		b.Run(name, func(b *testing.B) {
			c := newBenchCore(b, get("/hello"), cases[name])
			b.ReportAllocs()
			turns := 0
			for b.Loop() {
				c.turn()
				turns++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(turns*len(c.raws)), "ns/request")
		})
	}
}
