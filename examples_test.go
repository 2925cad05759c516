//go:build linux && cgo && !kourier_portable

package kourier_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An example is a running program from examples/.
type example struct {
	t       *testing.T
	command *exec.Cmd
	stdout  *bufio.Reader
	stderr  *logBook
	address string // that its first line ends in
	ended   <-chan error
}

// examples is the folder that they are built in.
type examples string

func TestExamples(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	output, err := exec.Command("go", "build", "-o", folder+"/", "./examples/...").CombinedOutput()
	require.NoError(t, err, "%s", output)
	for name, test := range map[string]func(examples, *testing.T){
		"HelloSaysHello":                    examples.helloSaysHello,
		"HelloAnswersWhatIsInFlight":        examples.helloAnswersWhatIsInFlight,
		"HelloObeysItsTimeouts":             examples.helloObeysItsTimeouts,
		"HelloStartsItsWorkers":             examples.helloStartsItsWorkers,
		"HelloListensOnItsAddress":          examples.helloListensOnItsAddress,
		"EchoAnswersWithTheBody":            examples.echoAnswersWithTheBody,
		"AllEndInOrderOnASignal":            examples.allEndInOrderOnASignal,
		"AllNameAPortInUse":                 examples.allNameAPortInUse,
		"MistakesInFlagsEndThemWithAReason": examples.mistakesInFlagsEndThemWithAReason,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(examples(folder), t)
		})
	}
}

func (folder examples) program(name string) string { return filepath.Join(string(folder), name) }

// run starts an example and waits for its first line.
func (folder examples) run(t *testing.T, name string, arguments ...string) *example {
	t.Helper()
	e := &example{t: t, command: exec.Command(folder.program(name), arguments...), stderr: new(logBook)}
	e.command.Stderr = e.stderr
	stdout, write, err := os.Pipe()
	require.NoError(t, err)
	e.command.Stdout = write
	require.NoError(t, e.command.Start())
	require.NoError(t, write.Close())
	e.ended = async(e.command.Wait)
	t.Cleanup(func() {
		_ = e.command.Process.Kill() // it has ended already unless the test has failed
		_ = stdout.Close()
	})
	e.stdout = bufio.NewReader(stdout)
	line, err := e.stdout.ReadString('\n')
	require.NoError(t, err, "%s", e.stderr)
	words := strings.Fields(line)
	e.address = words[len(words)-1]
	_, port, err := net.SplitHostPort(e.address)
	require.NoError(t, err)
	require.NotEqual(t, "0", port)
	return e
}

// mustEndInOrder sends a signal and requires that the program ends well.
func (e *example) mustEndInOrder(signal syscall.Signal) {
	e.t.Helper()
	require.NoError(e.t, e.command.Process.Signal(signal))
	require.NoError(e.t, soon(e.t, e.ended), "%s", e.stderr)
	rest, err := io.ReadAll(e.stdout)
	require.NoError(e.t, err)
	require.Empty(e.t, string(rest), "one line is all that it prints")
	require.Empty(e.t, e.stderr.String())
}

// inBothModes runs test with a Fast handler and with an http.Handler.
func inBothModes(t *testing.T, test func(t *testing.T, mode string)) {
	for _, mode := range []string{"fast", "handler"} {
		t.Run(mode, func(t *testing.T) { test(t, mode) })
	}
}

func (folder examples) helloSaysHello(t *testing.T) { inBothModes(t, folder.helloSaysHelloIn) }

func (folder examples) helloSaysHelloIn(t *testing.T, mode string) {
	e := folder.run(t, "hello", "-a", "127.0.0.1", "-p", "0", "--worker-count", "1", "--mode", mode)
	p := dial(t, e.address)
	for _, path := range []string{"/hello", "/", "/hello?query"} {
		a := p.ask("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		require.Equal(t, 200, a.StatusCode)
		require.Equal(t, "Hello World!", a.body)
		require.EqualValues(t, 12, a.ContentLength)
		require.Equal(t, []string{"text/plain"}, a.Header["Content-Type"])
		require.False(t, a.Close)
	}
	require.EqualValues(t, 12, p.ask("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n").ContentLength)
	for _, path := range []string{"/hello/", "/hellos", "/other"} {
		require.Equal(t, 404, p.ask("GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n").StatusCode)
	}
	e.mustEndInOrder(syscall.SIGTERM)
	p.mustEnd()
}

func (folder examples) echoAnswersWithTheBody(t *testing.T) {
	inBothModes(t, folder.echoAnswersWithTheBodyIn)
}

func (folder examples) echoAnswersWithTheBodyIn(t *testing.T, mode string) {
	e := folder.run(t, "echo", "-a", "127.0.0.1", "-p", "0", "--mode", mode)
	p := dial(t, e.address)
	body := strings.Repeat("what you say ", 10_000)
	require.Equal(t, body, p.ask(post("/any/path", body)).body)
	require.Equal(t, body, p.ask(postChunked("/", body)).body)
	for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"} {
		a := p.ask(method + " /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfour")
		require.Equal(t, 200, a.StatusCode, method)
		require.Equal(t, "four", a.body, method)
	}
	a := p.ask("HEAD /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfour")
	require.Empty(t, a.body)
	require.EqualValues(t, 4, a.ContentLength)
	require.Equal(t, 200, p.ask("TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n").StatusCode)
	require.Equal(t, 200, p.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").StatusCode)
	require.True(t, strings.HasPrefix(p.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").rest(), "HTTP/1.1 200 OK\r\n"))
	e.mustEndInOrder(syscall.SIGINT)
}

func (folder examples) allEndInOrderOnASignal(t *testing.T) {
	for _, name := range []string{"hello", "echo"} {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			t.Run(fmt.Sprint(name, " ", signal), func(t *testing.T) {
				t.Parallel()
				e := folder.run(t, name, "-a", "127.0.0.1", "-p", "0")
				silent, idle := dial(t, e.address), dial(t, e.address)
				require.Equal(t, 200, idle.ask(helloRequest).StatusCode)
				begun := time.Now()
				e.mustEndInOrder(signal)
				require.Less(t, time.Since(begun), 5*time.Second)
				silent.mustEnd()
				idle.mustEnd()
			})
		}
	}
}

func (folder examples) helloAnswersWhatIsInFlight(t *testing.T) {
	e := folder.run(t, "hello", "-a", "127.0.0.1", "-p", "0", "--worker-count", "1")
	p, idle := dial(t, e.address), dial(t, e.address)
	require.Equal(t, 200, idle.ask(helloRequest).StatusCode)
	p.send("GET /hello HT")
	require.Equal(t, 200, idle.ask(helloRequest).StatusCode, "the worker has turned since")
	require.NoError(t, e.command.Process.Signal(syscall.SIGTERM))
	idle.mustEnd()
	a := p.send("TP/1.1\r\nHost: a\r\n\r\n").answer()
	require.Equal(t, "Hello World!", a.body)
	require.True(t, a.Close)
	require.NoError(t, soon(t, e.ended))
}

func (folder examples) helloObeysItsTimeouts(t *testing.T) {
	e := folder.run(t, "hello", "-a", "127.0.0.1", "-p", "0", "--request-timeout", "1", "--idle-timeout", "1")
	begun := time.Now()
	idle, half := dial(t, e.address), dial(t, e.address).send("GET / HT")
	require.Equal(t, 408, half.answer().StatusCode)
	idle.mustEnd()
	require.GreaterOrEqual(t, time.Since(begun), time.Second)
	require.Less(t, time.Since(begun), 4*time.Second)
	e.mustEndInOrder(syscall.SIGTERM)
}

func (folder examples) helloStartsItsWorkers(t *testing.T) {
	threads := func(count string) int {
		e := folder.run(t, "hello", "-a", "127.0.0.1", "-p", "0", "--worker-count", count)
		require.Equal(t, 200, dial(t, e.address).ask(helloRequest).StatusCode)
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", e.command.Process.Pid))
		require.NoError(t, err)
		e.mustEndInOrder(syscall.SIGTERM)
		return len(tasks)
	}
	require.InDelta(t, 16, threads("17")-threads("1"), 4) // Go's own threads vary
}

func (folder examples) helloListensOnItsAddress(t *testing.T) {
	e := folder.run(t, "hello", "-a", "127.0.0.3", "-p", "0")
	require.True(t, strings.HasPrefix(e.address, "127.0.0.3:"))
	require.Equal(t, 200, dial(t, e.address).ask(helloRequest).StatusCode)
	e.mustEndInOrder(syscall.SIGTERM)

	e = folder.run(t, "hello", "-a", "", "-p", "0")
	_, port, err := net.SplitHostPort(e.address)
	require.NoError(t, err)
	require.Equal(t, 200, dial(t, "127.0.0.1:"+port).ask(helloRequest).StatusCode)
	e.mustEndInOrder(syscall.SIGTERM)
}

func (folder examples) allNameAPortInUse(t *testing.T) {
	e := folder.run(t, "hello", "-a", "127.0.0.1", "-p", "0")
	_, port, err := net.SplitHostPort(e.address)
	require.NoError(t, err)
	for _, name := range []string{"hello", "echo"} {
		output, err := exec.Command(folder.program(name), "-a", "127.0.0.1", "-p", port).CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(output), e.address)
		require.Contains(t, string(output), "address already in use")
	}
	e.mustEndInOrder(syscall.SIGTERM)
}

func (folder examples) mistakesInFlagsEndThemWithAReason(t *testing.T) {
	for _, arguments := range [][]string{{"-p", "65536"}, {"-p", "x"}, {"--worker-count", "-1"}, {"--worker-count", "1025"}, {"--mode", "slow"}, {"--unknown"}} {
		command := exec.Command(folder.program("hello"), append([]string{"-a", "127.0.0.1", "-p", "0"}, arguments...)...)
		output := new(logBook)
		command.Stdout, command.Stderr = output, output
		require.NoError(t, command.Start())
		require.Error(t, soon(t, async(command.Wait)), "%v", arguments)
		require.NotContains(t, output.String(), "goroutine")
		require.NotEmpty(t, output.String())
	}
}
