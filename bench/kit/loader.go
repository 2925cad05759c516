package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"github.com/kourier-go/kourier/bench/internal/record"
)

// loaded is what the loader prints when it has ended; `load --help` and load/result.h say what it means.
type loaded struct {
	Mode             string         `json:"mode"`
	Connected        int            `json:"connected"`
	Seconds          float64        `json:"seconds"`
	Requests         int64          `json:"requests"`
	Drained          int64          `json:"drained"`
	Late             int64          `json:"late"`
	BytesSent        int64          `json:"bytes_sent"`
	BytesReceived    int64          `json:"bytes_received"`
	ServedPerQuarter [4]int         `json:"served_per_quarter"`
	Alive            int            `json:"alive"`
	Errors           record.Errors  `json:"errors"`
	Latency          record.Latency `json:"latency_us"`
	Attack           struct {
		Standing      int   `json:"standing"`
		StandingAtEnd int   `json:"standing_at_end"`
		Closed        int64 `json:"closed"`
		ConnectErrors int64 `json:"connect_errors"`
	} `json:"attack"`
	ConnectionBytes int `json:"connection_bytes"`
}

// loader is one that runs.
type loader struct {
	command *exec.Cmd
	steps   io.WriteCloser
	phases  chan string // each phase as it begins; closed when the loader has ended
	result  bytes.Buffer
	errors  strings.Builder // what it has said that is no phase; to be read once phases is closed
}

// startLoader starts the loader on cores. It waits for next before each phase but the first.
func startLoader(ctx context.Context, program string, cores []int, arguments []string) (*loader, error) {
	l := &loader{phases: make(chan string, 1)}
	l.command = exec.CommandContext(ctx, program, append([]string{"--steps"}, arguments...)...)
	l.command.Stdout = &l.result
	steps, err := l.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	l.steps = steps
	told, err := l.command.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(l.command, cores); err != nil {
		return nil, err
	}
	go func() {
		defer close(l.phases)
		lines := bufio.NewScanner(told)
		for lines.Scan() {
			switch line := lines.Text(); line {
			case "connected", "loading", "loaded":
				l.phases <- line
			default:
				fmt.Fprintln(&l.errors, line)
			}
		}
	}()
	return l, nil
}

// await waits for a phase to begin.
func (l *loader) await(phase string) error {
	if got := <-l.phases; got != phase {
		return fmt.Errorf("the loader is not %s", phase)
	}
	return nil
}

// next lets the loader go on.
func (l *loader) next() error {
	_, err := io.WriteString(l.steps, "\n")
	return err
}

// end lets the loader go on to its end, whatever phase it is in, and returns what it has counted.
func (l *loader) end() (loaded, error) {
	_ = l.steps.Close() // if it fails, the loader has ended
	for range l.phases {
	}
	var result loaded
	if err := l.command.Wait(); err != nil {
		return result, fmt.Errorf("%s: %w\n%s", strings.Join(l.command.Args, " "), err, l.errors.String())
	}
	err := json.Unmarshal(l.result.Bytes(), &result)
	return result, err
}

// What the loader waits for, in seconds.
const (
	connectSeconds   = 300
	answerSeconds    = 20
	loaderSecondsMax = 3600 // more it does not take
)

// loaderArguments are the flags for a step, on a server at port.
func loaderArguments(s step, port, slowdown int) []string {
	flag := func(name string, value int) string { return "--" + name + "=" + strconv.Itoa(value) }
	arguments := []string{
		"--mode=" + s.mode,
		flag("port", port),
		flag("connections", s.connections),
		flag("seconds", s.seconds),
		flag("size", s.size),
		flag("connecting", connectingMax),
		flag("connect-seconds", min(connectSeconds*slowdown, loaderSecondsMax)),
		flag("answer-seconds", min(answerSeconds*slowdown, loaderSecondsMax)),
	}
	if s.depth > 1 {
		arguments = append(arguments, flag("depth", s.depth))
	}
	if s.rate > 0 {
		arguments = append(arguments, flag("rate", s.rate))
	}
	if s.attacked() {
		arguments = append(arguments, flag("slow-heads", s.slowHeads), flag("slow-readers", s.slowReaders),
			flag("slow-interval-ms", s.slowIntervalMS))
	}
	return arguments
}
