package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// programs is where the tests build programs, once for all of them.
var programs string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "kourier-bench-test-")
	if err != nil {
		panic(err)
	}
	programs = folder
	status := m.Run()
	_ = os.RemoveAll(folder) // what cannot be removed stays in the folder for temporary files
	os.Exit(status)
}

var buildLoader = sync.OnceValue(func() error {
	source, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	return builder{context.Background(), source, programs}.loader()
})

func loaderProgram(t *testing.T) string {
	t.Helper()
	require.NoError(t, buildLoader())
	return filepath.Join(programs, "load")
}

const goodAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello World!"

// behaviour answers the n-th request of a connection, from 0, and returns whether the connection goes on.
type behaviour func(c net.Conn, n int) bool

func answering(text string) behaviour {
	return func(c net.Conn, n int) bool {
		if n > 0 {
			_, _ = c.Write([]byte(text)) // the loader may have gone
			return true
		}
		_, err := c.Write([]byte(goodAnswer))
		return err == nil
	}
}

// misbehavingServer answers requests without a body as behave does. Returns its port.
func misbehavingServer(t *testing.T, behave behaviour) int {
	t.Helper()
	return rawServer(t, func(c net.Conn) { serveRaw(c, behave) })
}

func rawServer(t *testing.T, serve func(net.Conn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // its goroutines end with the loader's connections
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func serveRaw(c net.Conn, behave behaviour) {
	defer func() { _ = c.Close() }() // the loader may have reset it
	reader := bufio.NewReader(c)
	for n := 0; ; {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		if line != "\r\n" {
			continue
		}
		if !behave(c, n) {
			return
		}
		n++
	}
}

// runLoader lets the loader run to its end.
func runLoader(t *testing.T, port int, arguments ...string) loaded {
	t.Helper()
	l, err := startLoader(t.Context(), loaderProgram(t), []int{0},
		append([]string{"--port=" + strconv.Itoa(port), "--seconds=1", "--answer-seconds=1"}, arguments...))
	require.NoError(t, err)
	result, err := l.end()
	require.NoError(t, err)
	return result
}

func TestLoaderCountsWhatAGoodServerAnswers(t *testing.T) {
	port := misbehavingServer(t, answering(goodAnswer))
	result := runLoader(t, port, "--mode=memory", "--connections=10", "--depth=3")
	require.Zero(t, result.Errors)
	require.Equal(t, 10, result.Connected)
	require.Equal(t, [4]int{10, 10, 10, 10}, result.ServedPerQuarter)
	require.Equal(t, 10, result.Alive)
	require.Greater(t, result.Requests, int64(30))
	require.GreaterOrEqual(t, result.BytesReceived, result.Requests*int64(len(goodAnswer)))
	require.Positive(t, result.Latency.P50)
	require.GreaterOrEqual(t, result.Latency.Max, result.Latency.P999)
	require.LessOrEqual(t, result.ConnectionBytes, 200)
}

func TestLoaderTellsFaultsApart(t *testing.T) {
	for _, c := range []struct {
		name   string
		behave behaviour
		want   record.Errors
	}{
		{"status", answering(strings.Replace(goodAnswer, "200", "503", 1)), record.Errors{Status: 4}},
		{"wrong body", answering(strings.Replace(goodAnswer, "World", "Wurst", 1)), record.Errors{Body: 4}},
		{"wrong size", answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHe"), record.Errors{Body: 4}},
		{"no size", answering("HTTP/1.1 200 OK\r\n\r\nHello World!"), record.Errors{Malformed: 4}},
		{"no HTTP", answering("hello\r\n"), record.Errors{Malformed: 4}},
		{"an answer too many", answering(goodAnswer + goodAnswer), record.Errors{Malformed: 4}},
		{"closes", func(c net.Conn, n int) bool { return n == 0 && answering("")(c, n) }, record.Errors{Closed: 4}},
		{"stalls", answering(""), record.Errors{Unanswered: 4}},
		{"stalls within an answer", answering(goodAnswer[:30]), record.Errors{Unanswered: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			result := runLoader(t, misbehavingServer(t, c.behave), "--mode=memory", "--connections=4")
			require.Equal(t, c.want, result.Errors)
			require.Zero(t, result.Alive)
		})
	}
}

func TestLoaderMeasuresFromWhenARequestWasDue(t *testing.T) {
	port := misbehavingServer(t, answering(goodAnswer))
	result := runLoader(t, port, "--mode=open", "--connections=1", "--rate=1000000")
	require.Zero(t, result.Errors)
	require.Positive(t, result.Late)
	require.Equal(t, int64(1_000_000), result.Requests+result.Drained+result.Late)
	// One connection cannot keep up, so half of all requests have waited for a good part of the second.
	require.Greater(t, result.Latency.P50, 100_000.0)
}

func TestLoaderCountsTheWaitOfRequestsThatAStallKeepsFromBeingSent(t *testing.T) {
	result := runLoader(t, misbehavingServer(t, answering("")), "--mode=open", "--connections=1", "--rate=1000")
	require.Equal(t, record.Errors{Unanswered: 1}, result.Errors)
	require.Equal(t, int64(999), result.Late)
	require.InDelta(t, 500_000, result.Latency.P50, 10_000) // they were due evenly over the second
}

func TestLoaderKeepsTheRate(t *testing.T) {
	port := misbehavingServer(t, answering(goodAnswer))
	result := runLoader(t, port, "--mode=open", "--connections=8", "--rate=100")
	require.Zero(t, result.Errors)
	require.Equal(t, int64(100), result.Requests+result.Drained+result.Late)
}

func TestLoaderReplacesAttackersThatAreClosed(t *testing.T) {
	port := rawServer(t, func(c net.Conn) { serveRaw(wholeRequests{c}, answering(goodAnswer)) })
	result := runLoader(t, port, "--mode=open", "--connections=4", "--rate=50", "--slow-heads=5", "--slow-interval-ms=20")
	require.Zero(t, result.Errors)
	require.Equal(t, 4, result.Alive)
	require.Greater(t, result.Attack.Closed, int64(5))
	require.Zero(t, result.Attack.ConnectErrors)
}

func TestLoaderTellsHowManyAttackersStand(t *testing.T) {
	port := misbehavingServer(t, answering(goodAnswer))
	result := runLoader(t, port, "--mode=open", "--connections=4", "--rate=50", "--slow-heads=5", "--slow-interval-ms=20")
	require.Equal(t, 5, result.Attack.Standing)
	require.Equal(t, 5, result.Attack.StandingAtEnd)
	require.Zero(t, result.Attack.Closed)
}

func TestConnectionsThatTheLoaderHasNotComeToAreErrors(t *testing.T) {
	var first atomic.Bool
	port := misbehavingServer(t, func(c net.Conn, n int) bool {
		return !first.CompareAndSwap(false, true) || answering("")(c, n)
	})
	result := runLoader(t, port, "--mode=memory", "--connections=5", "--connecting=1", "--connect-seconds=1")
	require.Equal(t, 1, result.Connected)
	require.Equal(t, record.Errors{Connect: 3, Unanswered: 2}, result.Errors)
}

// The loader does not ask 5,000 connections at once, and this server answers none of them before the load, of a second, is over.
func TestConnectionsThatWereNeverAskedAreErrors(t *testing.T) {
	const connections = 5000
	var begun atomic.Int64
	port := misbehavingServer(t, func(c net.Conn, n int) bool {
		if n > 0 {
			now := time.Now().UnixNano()
			begun.CompareAndSwap(0, now)
			if now-begun.Load() < int64(1500*time.Millisecond) {
				return true
			}
		}
		return answering(goodAnswer)(c, n)
	})
	result := runLoader(t, port, "--mode=memory", "--connections="+strconv.Itoa(connections))
	require.Equal(t, connections, result.Connected)
	require.Equal(t, record.Errors{Unanswered: connections}, result.Errors)
	require.Zero(t, result.Alive)
}

// wholeRequests is a connection that fails when a request comes in parts.
type wholeRequests struct{ net.Conn }

func (w wholeRequests) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err == nil && !strings.HasSuffix(string(p[:n]), "\r\n\r\n") {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestLoaderRefusesWhatItCannotDo(t *testing.T) {
	for _, c := range []struct{ argument, says string }{
		{"--mode=fast", "--mode=fast is none of"},
		{"--connections=0", "--connections=0 is not a number from 1 to 2000000"},
		{"--connections=2000001", "is not a number from 1 to 2000000"},
		{"--seconds=-1", "--seconds=-1 is not a number"},
		{"--seconds=1s", "--seconds=1s is not a number"},
		{"--address=192.0.2.1", "is not in 127.0.0.0/8"},
		{"extra", "extra is no option"},
		{"--connect-seconds=1", "no connection was made and answered"},
	} {
		command := exec.CommandContext(t.Context(), loaderProgram(t), "--port=1", c.argument)
		output, err := command.CombinedOutput()
		require.Error(t, err, c.argument)
		require.Contains(t, string(output), c.says)
	}
}

func TestPartsOfTheLoader(t *testing.T) {
	tests, err := filepath.Glob("../load/tests/*_test.cpp")
	require.NoError(t, err)
	require.NotEmpty(t, tests)
	for _, source := range tests {
		t.Run(filepath.Base(source), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			program := filepath.Join(t.TempDir(), "test")
			output, err := exec.CommandContext(ctx, "g++", "-std=c++20", "-g", "-O1", "-Wall", "-Wextra", "-Werror",
				"-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", program, source, "../load/answer.cpp",
			).CombinedOutput()
			require.NoError(t, err, "%s", output)
			output, err = exec.CommandContext(ctx, program).CombinedOutput()
			require.NoError(t, err, "%s", output)
		})
	}
}
