//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier"
)

// ---------------------------------------------------------------------- sizes

// mustRefuse requires one refusal and the end of the connection.
func mustRefuse(t *testing.T, address, text string, status int) {
	t.Helper()
	p := dial(t, address)
	_, _ = io.WriteString(p.Conn, text) // the server may have had enough before the end
	a := p.answer()
	require.Equal(t, status, a.StatusCode)
	require.True(t, a.Close)
	require.NotEmpty(t, a.body)
	require.NotEmpty(t, a.Header.Get("Date"))
	p.mustEnd()
}

func TestABodyMayBeAsLargeAsTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 100_000
	srv := &kourier.Server{Fast: echo, Config: kourier.Config{MaxBodyBytes: limit}}
	address := serving(t, srv)
	body := strings.Repeat("x", limit)
	p := dial(t, address)
	require.Len(t, p.ask(post("/", body)).body, limit)
	require.Len(t, p.ask(postChunked("/", body)).body, limit)
	require.Zero(t, srv.Stats().Responses4xx)

	mustRefuse(t, address, post("/", body+"x"), 413)
	mustRefuse(t, address, postChunked("/", body+"x"), 413)
	mustRefuse(t, address, fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", limit+1), 413)
	mustRefuse(t, address, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\n", 413)
	require.EqualValues(t, 4, srv.Stats().ParseErrors["body_too_large"])
	require.EqualValues(t, 4, srv.Stats().Responses4xx)
	require.EqualValues(t, 2, srv.Stats().Requests)

	// Answers to what came before a refusal come before it.
	p = dial(t, address).send(post("/", "body") + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n" + helloRequest)
	require.Equal(t, "body", p.answer().body)
	require.Equal(t, 413, p.answer().StatusCode)
	p.mustEnd()
}

func TestBodiesOfFastHandlersAreBoundedByDefault(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 1<<20)
	address := serving(t, &kourier.Server{Fast: echo})
	require.Len(t, dial(t, address).ask(post("/", body)).body, len(body))
	mustRefuse(t, address, fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(body)+1), 413)

	unbounded := serving(t, &kourier.Server{Fast: echo, Config: kourier.Config{MaxBodyBytes: -1}})
	require.Len(t, dial(t, unbounded).ask(post("/", body+body)).body, 2*len(body))
	mustRefuse(t, unbounded, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", 413)
}

func TestABodyThatIsTooLargeIsRefusedBefore100Continue(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{MaxBodyBytes: 4}}
	address := serving(t, srv)
	const expecting = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
	mustRefuse(t, address, expecting+"Content-Length: 5\r\n\r\n", 413)
	p := dial(t, address).send(expecting + "Transfer-Encoding: chunked\r\n\r\n")
	require.Equal(t, 100, p.answer().StatusCode)
	require.Equal(t, 413, p.send("5\r\n").answer().StatusCode)
	p.mustEnd()
}

// A client that sends on after the refusal gets it all the same.
func TestARefusalArrivesAtAClientThatSendsOn(t *testing.T) {
	t.Parallel()
	address := serving(t, &kourier.Server{Config: kourier.Config{MaxBodyBytes: 1000}})
	p := dial(t, address)
	written := async(func() error {
		_, err := io.WriteString(p.Conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n"+strings.Repeat("x", 4_000_000))
		return err
	})
	require.Equal(t, 413, p.answer().StatusCode)
	p.mustEnd()
	require.NoError(t, soon(t, written))
}

func TestATargetMayBeAsLongAsTheLimit(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{MaxTargetBytes: 100}}
	address := serving(t, srv)
	get := func(size int) string {
		return "GET /" + strings.Repeat("x", size-1) + " HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	require.Equal(t, "hello", dial(t, address).ask(get(100)).body)
	mustRefuse(t, address, get(101), 414)
	mustRefuse(t, address, get(50_000), 414)
	mustRefuse(t, address, "GET /"+strings.Repeat("x", 100), 414) // there will be no more
	require.EqualValues(t, 3, srv.Stats().ParseErrors["target_too_long"])

	defaults := serving(t, &kourier.Server{})
	require.Equal(t, "hello", dial(t, defaults).ask(get(8<<10)).body)
	mustRefuse(t, defaults, get(8<<10+1), 414)
}

func TestAHeadMayBeAsLargeAsTheLimits(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{MaxHeaderBytes: 1000, MaxHeaderValueCount: 10}
	address := serving(t, srv)
	sized := func(size int) string {
		const frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"
		return strings.Replace(frame, "X: ", "X: "+strings.Repeat("x", size-len(frame)), 1)
	}
	counted := func(count int) string {
		return "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", count-1) + "\r\n"
	}
	require.Equal(t, "hello", dial(t, address).ask(sized(1000)).body)
	require.Equal(t, "hello", dial(t, address).ask(counted(10)).body)
	mustRefuse(t, address, sized(1001), 431)
	mustRefuse(t, address, sized(100_000), 431)
	mustRefuse(t, address, sized(2000)[:1000], 431)
	mustRefuse(t, address, counted(11), 431)
	stats := srv.Stats()
	require.EqualValues(t, 3, stats.ParseErrors["head_too_large"])
	require.EqualValues(t, 1, stats.ParseErrors["too_many_fields"])

	// One bytewise, so that the head is looked at many times.
	p := dial(t, address)
	for _, b := range []byte(sized(1000)) {
		p.send(string(b))
	}
	require.Equal(t, "hello", p.answer().body)

	defaults := serving(t, &kourier.Server{})
	require.Equal(t, "hello", dial(t, defaults).ask(sized(32<<10)).body)
	mustRefuse(t, defaults, sized(32<<10+1), 431)
	require.Equal(t, "hello", dial(t, defaults).ask(counted(128)).body)
	mustRefuse(t, defaults, counted(129), 431)
}

// ------------------------------------------------------------------- timeouts

func TestTimeouts(t *testing.T) {
	t.Parallel()
	const short = 150 * time.Millisecond
	for _, c := range []struct {
		name    string
		srv     *kourier.Server
		text    string
		answers int // before the timeout
		reason  kourier.Reason
	}{
		{"the first byte", &kourier.Server{ReadHeaderTimeout: short}, "G", 0, "head_timeout"},
		{"half a head", &kourier.Server{ReadHeaderTimeout: short}, "GET / HTTP/1.1\r\nHost", 0, "head_timeout"},
		{"half a second head", &kourier.Server{ReadHeaderTimeout: short}, helloRequest + "GET / HTTP/1.1\r\nHost", 1, "head_timeout"},
		{"half a head in a whole time", &kourier.Server{ReadTimeout: short, ReadHeaderTimeout: -1}, "GET", 0, "head_timeout"},
		{"half a body", &kourier.Server{ReadTimeout: short}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", 0, "body_timeout"},
		{"no body", &kourier.Server{ReadTimeout: short}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", 0, "body_timeout"},
		{"half a chunk", &kourier.Server{ReadTimeout: short}, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", 0, "body_timeout"},
		{"nothing", &kourier.Server{IdleTimeout: short}, "", 0, "idle_timeout"},
		{"nothing more", &kourier.Server{IdleTimeout: short}, helloRequest + helloRequest, 2, "idle_timeout"},
		{"an empty line", &kourier.Server{IdleTimeout: -1, ReadHeaderTimeout: short}, "\r\n", 0, "head_timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := c.srv
			srv.Config.Workers = 1
			p := dial(t, serving(t, srv))
			begun := time.Now()
			p.send(c.text)
			for range c.answers {
				require.Equal(t, "hello", p.answer().body)
			}
			if c.reason != "idle_timeout" {
				a := p.answer()
				require.Equal(t, 408, a.StatusCode)
				require.True(t, a.Close)
			}
			p.mustEnd() // an idle connection is closed silently
			require.GreaterOrEqual(t, time.Since(begun), short)
			require.Less(t, time.Since(begun), short+3*time.Second)
			stats := srv.Stats()
			require.Equal(t, map[kourier.Reason]uint64{c.reason: 1}, stats.Timeouts)
			if c.reason != "idle_timeout" {
				require.EqualValues(t, 1, stats.Responses4xx)
			}
		})
	}
}

// Each limit is for its own time: none of these is reached.
func TestTimeoutsDoNotStrikeTheBusy(t *testing.T) {
	t.Parallel()
	const short = 600 * time.Millisecond
	srv := &kourier.Server{
		Fast:        echo,
		ReadTimeout: short, ReadHeaderTimeout: short, WriteTimeout: short, IdleTimeout: short,
		Config: kourier.Config{Workers: 1},
	}
	p := dial(t, serving(t, srv))
	ticker := time.NewTicker(short / 20)
	defer ticker.Stop()
	requests := uint64(0)
	for begun := time.Now(); time.Since(begun) < 2*short; requests++ {
		<-ticker.C
		p.send("POST / HTTP/1.1\r\nHost: a\r\nConte")
		<-ticker.C
		p.send("nt-Length: 4\r\n\r\nfo")
		<-ticker.C
		require.Equal(t, "four", p.send("ur").answer().body)
	}
	require.Equal(t, requests, srv.Stats().Requests)
	require.Empty(t, srv.Stats().Timeouts)
}

// While an answer waits for its client, the server does not read; the time for
// the next request, whose beginning has come already, must not run.
func TestARequestBehindASlowAnswerHasItsTime(t *testing.T) {
	t.Parallel()
	const short = 2 * time.Second // the client reads megabytes in it, also under -race
	body := patternBody(8 * mebibyte)
	srv := &kourier.Server{
		ReadHeaderTimeout: short,
		Config:            kourier.Config{Workers: 1},
		Fast: func(req *kourier.Request, res *kourier.Response) {
			if string(req.Path()) == "/long" {
				res.Send("x/y", body)
				return
			}
			sayHello(req, res)
		},
	}
	p := dialNarrow(t, serving(t, srv))
	p.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\nGET / HT")
	eventually(t, func() bool { return srv.Stats().NativeBytes > 3*mebibyte }, "the answer waits")
	<-time.After(short + short/2)
	require.Len(t, p.answer().body, len(body))
	require.Equal(t, "hello", p.send("TP/1.1\r\nHost: a\r\n\r\n").answer().body)
}

func TestASlowBodyIsRefusedBelowTheLeastRate(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{Workers: 1, MinBodyRate: 1000}}
	address := serving(t, srv)
	begun := time.Now()
	p := dial(t, address).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhalf")
	a := p.answer()
	require.Equal(t, 408, a.StatusCode)
	require.Contains(t, a.body, "too slowly")
	p.mustEnd()
	require.Greater(t, time.Since(begun), 4500*time.Millisecond, "there is grace")
	require.EqualValues(t, 1, srv.Stats().Timeouts["body_too_slow"])
}

// --------------------------------------------------------------------- MaxConns

func TestTheOldestIdleConnectionMakesRoom(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{Workers: 1, MaxConns: 3}}
	address := serving(t, srv)
	busy, oldest, younger := dial(t, address), dial(t, address), dial(t, address)
	require.Equal(t, "hello", busy.ask(helloRequest).body)
	require.Equal(t, "hello", oldest.ask(helloRequest).body)
	for begun := time.Now(); time.Since(begun) < 100*time.Millisecond; { // more than the clock of the server is coarse
		require.Equal(t, "hello", younger.ask(helloRequest).body)
	}
	busy.send("GET / HT")
	eventually(t, func() bool { return srv.Stats().ConnsActive == 1 }, "half a head has come")

	fresh := dial(t, address)
	require.Equal(t, "hello", fresh.ask(helloRequest).body)
	oldest.mustEnd()
	require.Equal(t, "hello", younger.ask(helloRequest).body)
	require.EqualValues(t, 1, srv.Stats().Shed)

	younger.send("GET / HT")
	fresh.send("GET / HT")
	eventually(t, func() bool { return srv.Stats().ConnsActive == 3 }, "none is idle")
	dial(t, address).mustBreak()
	stats := srv.Stats()
	require.EqualValues(t, 1, stats.Shed)
	require.EqualValues(t, 1, stats.Refused)
	require.EqualValues(t, 5, stats.Accepted, "the refused one among them")
	for _, p := range []*peer{busy, younger, fresh} {
		require.Equal(t, "hello", p.send("TP/1.1\r\nHost: a\r\n\r\n").answer().body)
	}
}

func TestAFullServerMayRefuse(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{Workers: 2, MaxConns: 4, OnFull: kourier.Refuse}}
	address := serving(t, srv)
	var peers []*peer
	for range 4 {
		p := dial(t, address)
		require.Equal(t, "hello", p.ask(helloRequest).body)
		peers = append(peers, p)
	}
	for range 3 {
		dial(t, address).mustBreak()
	}
	require.EqualValues(t, 3, srv.Stats().Refused)
	require.Zero(t, srv.Stats().Shed)
	for _, p := range peers {
		require.Equal(t, "hello", p.ask(helloRequest).body)
	}
	require.NoError(t, peers[0].Close())
	eventually(t, func() bool { s := srv.Stats(); return s.ConnsActive+s.ConnsIdle == 3 }, "one has gone")
	require.Equal(t, "hello", dial(t, address).ask(helloRequest).body)
}

func TestAFullServerMayPause(t *testing.T) {
	t.Parallel()
	srv := &kourier.Server{Config: kourier.Config{Workers: 1, MaxConns: 2, OnFull: kourier.PauseAccept}}
	address := serving(t, srv)
	first, second := dial(t, address), dial(t, address)
	require.Equal(t, "hello", first.ask(helloRequest).body)
	require.Equal(t, "hello", second.ask(helloRequest).body)
	third := dial(t, address).send(helloRequest)
	require.NoError(t, third.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, err := third.reader.Peek(1)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, third.SetReadDeadline(time.Now().Add(patience)))
	require.Equal(t, "hello", first.ask(helloRequest).body)
	require.EqualValues(t, 2, srv.Stats().Accepted)
	require.NoError(t, second.Close())
	require.Equal(t, "hello", third.answer().body)
	require.Zero(t, srv.Stats().Refused+srv.Stats().Shed)
}

// ---------------------------------------------------------------- descriptors

// descriptorReport is what the server of TestSurvivesTheEndOfDescriptors says of itself.
type descriptorReport struct {
	Accepted, AcceptRetries, Refused, Shed uint64
	CPU                                    time.Duration // of the process
}

func TestSurvivesTheEndOfDescriptors(t *testing.T) {
	t.Parallel()
	if isChild() {
		serveWithFewDescriptors(t)
		return
	}
	for name, policy := range map[string]kourier.FullPolicy{
		"CloseOldestIdle": kourier.CloseOldestIdle, "Refuse": kourier.Refuse, "PauseAccept": kourier.PauseAccept,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := startChildServer(t, fmt.Sprint(policy))
			asker := dial(t, address)
			ask := func() (report descriptorReport) {
				require.NoError(t, json.Unmarshal([]byte(asker.ask(helloRequest).body), &report))
				return report
			}
			before := ask()
			require.Zero(t, before.AcceptRetries)
			var peers []*peer
			for range 200 {
				peers = append(peers, dial(t, address).send(helloRequest))
			}
			if policy == kourier.CloseOldestIdle {
				require.Contains(t, peers[199].answer().body, "CPU", "idle ones make room")
				report := descriptorReport{}
				require.NoError(t, json.Unmarshal([]byte(peers[199].ask(helloRequest).body), &report))
				require.Positive(t, report.Shed)
				require.Positive(t, report.AcceptRetries)
				return
			}
			eventually(t, func() bool { return ask().AcceptRetries > 0 }, "it has run out of descriptors")
			held := int(ask().Accepted) - 2
			require.Greater(t, held, 10)
			require.Less(t, held, 100)
			for _, p := range peers[:held] {
				require.Contains(t, p.answer().body, "CPU")
				require.Contains(t, p.ask(helloRequest).body, "CPU", "those that are there are served")
			}

			first := ask()
			<-time.After(time.Second) // the time over which the use of the processor is measured
			second := ask()
			require.Less(t, second.CPU-first.CPU, 200*time.Millisecond, "it does not spin")
			require.Less(t, second.AcceptRetries-first.AcceptRetries, uint64(100))
			require.Equal(t, first.Accepted, second.Accepted)

			for served := 0; served < 200; {
				for _, p := range peers[served : served+min(held, 200-served)] {
					if served >= held {
						require.Contains(t, p.answer().body, "CPU", "those that waited come in turn")
					}
					require.NoError(t, p.Close())
					served++
				}
			}
			report := ask()
			require.EqualValues(t, 202, report.Accepted, "with the one that the child made itself")
			require.Zero(t, report.Refused+report.Shed)
		})
	}
}

func startChildServer(t *testing.T, policy string) (address string) {
	t.Helper()
	name := strings.Split(t.Name(), "/")[0]
	command := childOf(t, name, "KOURIER_POLICY="+policy)
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	stdin, err := command.StdinPipe() // its end ends the child
	require.NoError(t, err)
	require.NoError(t, command.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if text, found := strings.CutPrefix(lines.Text(), "listening on "); found {
			address = text
			break
		}
	}
	require.NotEmpty(t, address)
	t.Cleanup(func() {
		require.NoError(t, stdin.Close())
		output, err := io.ReadAll(stdout)
		require.NoError(t, err)
		require.NoError(t, command.Wait(), "%s", output)
	})
	return address
}

func serveWithFewDescriptors(t *testing.T) {
	var policy kourier.FullPolicy
	_, err := fmt.Sscan(os.Getenv("KOURIER_POLICY"), &policy)
	require.NoError(t, err)
	srv := &kourier.Server{Config: kourier.Config{Workers: 1, MaxConns: 1000, OnFull: policy}}
	srv.Fast = func(_ *kourier.Request, res *kourier.Response) {
		stats := srv.Stats()
		report := descriptorReport{
			Accepted: stats.Accepted, AcceptRetries: stats.AcceptRetries, Refused: stats.Refused, Shed: stats.Shed,
		}
		var usage syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
			report.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		}
		text, _ := json.Marshal(report) // of plain numbers: there is no error
		res.Send("application/json", text)
	}
	address := serving(t, srv)
	// One connection and its end make the runtime open what it needs.
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	eventually(t, func() bool { s := srv.Stats(); return s.Accepted == 1 && s.ConnsIdle == 0 }, "it has gone")
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	few := uint64(len(entries) + 40)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: few, Max: few}))
	fmt.Println("listening on", address)
	_, err = io.ReadAll(os.Stdin)
	require.NoError(t, err)
	require.NoError(t, srv.Close())
}
