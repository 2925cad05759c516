package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startWait = 10 * time.Second // that a server may take until it answers
	stopWait  = 10 * time.Second // that one may take to end when it is told to
)

// ofRuntimes are the beginnings of environment variables that change how servers run, whatever the shell was told of
// other programs.
var ofRuntimes = []string{"GOMAXPROCS=", "GOGC=", "GOMEMLIMIT=", "GODEBUG=", "TOKIO_", "MALLOC_"}

// startOn starts a command on some of the cores only, where it and all its threads remain.
func startOn(command *exec.Cmd, cores []int) error {
	command.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return slices.ContainsFunc(ofRuntimes, func(beginning string) bool { return strings.HasPrefix(variable, beginning) })
	})
	// A process inherits the cores of the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	for _, core := range cores {
		set.Set(core)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("cores %v: %w", cores, err)
	}
	return errors.Join(command.Start(), unix.SchedSetaffinity(0, &before))
}

// running is a server that runs.
type running struct {
	command *exec.Cmd
	port    int
	folder  string
	output  bytes.Buffer  // what it has printed; to be read once it has ended
	ended   chan struct{} // is closed when it has

	slowdown time.Duration // how many times startWait and stopWait it may take
}

// startServer starts s on cores and waits until it answers. connections and size are the load's.
func startServer(ctx context.Context, s server, bin string, cores []int, connections, size, slowdown int) (*running, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "kourier-bench-")
	if err != nil {
		return nil, err
	}
	r := &running{port: port, folder: folder, ended: make(chan struct{}), slowdown: time.Duration(slowdown)}
	arguments, err := s.arguments(start{folder, port, len(cores), connections, size, slowdown})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	program := s.program
	if !filepath.IsAbs(program) {
		program = filepath.Join(bin, program)
	}
	r.command = exec.CommandContext(ctx, program, arguments...)
	r.command.Cancel = func() error { return r.command.Process.Signal(syscall.SIGTERM) }
	r.command.WaitDelay = r.slowdown * stopWait
	r.command.Stdout, r.command.Stderr = &r.output, &r.output
	if err := startOn(r.command, cores); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	go func() {
		_ = r.command.Wait() // its status after a signal says nothing
		close(r.ended)
	}()
	if err := r.awaitHello(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.name, err), r.stop())
	}
	return r, nil
}

// freePort returns a port that nothing listens on. It stays free as long as nobody else asks for one.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// awaitHello waits until the server answers as it should.
func (r *running) awaitHello(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.slowdown*startWait)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url := fmt.Sprintf("http://127.0.0.1:%d/hello", r.port)
	for {
		body, err := get(ctx, &client, url)
		var refused *net.OpError
		switch {
		case err == nil && body == "Hello World!":
			return nil
		case err == nil:
			return fmt.Errorf("GET /hello was answered %q", body)
		case !errors.As(err, &refused):
			return err
		}
		select {
		case <-r.ended:
			return err
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	return string(body), errors.Join(err, response.Body.Close())
}

// pid is the process that was started; it may have begun others.
func (r *running) pid() int { return r.command.Process.Pid }

// stop ends the server and removes its folder. It is an error, with what the server has printed, if it had ended before.
func (r *running) stop() error {
	var err error
	select {
	case <-r.ended:
		err = fmt.Errorf("the server has ended by itself: %s", r.output.Bytes())
	default:
		err = r.command.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-r.ended:
	case <-time.After(r.slowdown * stopWait):
		err = errors.Join(err, errors.New("the server did not end on SIGTERM"), r.command.Process.Kill())
		<-r.ended
	}
	return errors.Join(err, os.RemoveAll(r.folder))
}
