package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

type outcome uint8

const (
	unknown outcome = iota // the process ended before the test did
	passed
	failed
	skipped
	either // of the list alone: it depends on the machine
)

type result struct {
	outcome outcome
	output  string
	tries   int
}

// results are those of tests and their parts, by name.
type results map[string]result

// A runner runs the tests of one program.
type runner struct {
	program  string
	skip     []string // tests that are not run
	patience time.Duration
}

// run returns the outcome of every test.
func (r *runner) run() (results, error) {
	output, err := r.command("-test.list", "^Test").Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.program, err)
	}
	all := results{}
	todo := strings.Fields(string(output))
	for _, test := range todo {
		if slices.Contains(r.skip, test) {
			all[test] = result{outcome: skipped}
		}
	}
	for len(todo) > 0 {
		todo = slices.DeleteFunc(todo, func(test string) bool { return all[test].outcome != unknown })
		if len(todo) == 0 {
			break
		}
		found, err := r.pass(todo)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s ends without a result, of %s and others", r.program, todo[0])
		}
		maps.Copy(all, found)
	}
	return all, nil
}

// again gives tests that failed a second try, each alone.
func (r *runner) again(tests []string, all results) error {
	for _, test := range tests {
		topmost, _, _ := strings.Cut(test, "/")
		if all[topmost].tries > 1 || all[topmost].outcome == skipped {
			continue
		}
		found, err := r.pass([]string{topmost})
		if err != nil {
			return err
		}
		for part, second := range found {
			second.tries++
			all[part] = second
		}
	}
	return nil
}

// pass runs tests in one process, as far as that comes. Of those in flight when
// it ends the failure is reported, and of those it did not come to, or which were
// paused until others are done, nothing.
func (r *runner) pass(tests []string) (results, error) {
	arguments := []string{"-test.v=test2json", "-test.run", "^(" + strings.Join(tests, "|") + ")$"}
	if len(r.skip) > 0 {
		arguments = append(arguments, "-test.skip", patternOf(r.skip))
	}
	command := r.command(arguments...)
	pipe, feed := io.Pipe()
	command.Stdout, command.Stderr = feed, feed
	convert := exec.Command("go", "tool", "test2json")
	convert.Stdin = pipe
	events, err := convert.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := convert.Start(); err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = command.Wait() // the events say it all
		_ = feed.Close()
	}()
	watchdog := time.AfterFunc(r.patience, func() { _ = command.Process.Signal(syscall.SIGQUIT) })
	found, err := collect(events, func() { watchdog.Reset(r.patience) })
	watchdog.Stop()
	if err != nil {
		return nil, err
	}
	return found, convert.Wait()
}

func (r *runner) command(arguments ...string) *exec.Cmd {
	program, _ := filepath.Abs(r.program) // the tests read files of their folder
	command := exec.Command(program, arguments...)
	command.Dir = filepath.Dir(program)
	return command
}

// patternOf returns what -test.skip wants for tests and parts of tests.
func patternOf(tests []string) string {
	var patterns []string
	for _, test := range tests {
		parts := strings.Split(test, "/")
		for i, part := range parts {
			parts[i] = "^" + regexp.QuoteMeta(part) + "$"
		}
		patterns = append(patterns, strings.Join(parts, "/"))
	}
	return strings.Join(patterns, "|")
}

// collect reads the events of test2json until they end. It calls seen for each.
func collect(events io.Reader, seen func()) (results, error) {
	outputs := map[string]*strings.Builder{}
	found := results{}
	paused := map[string]bool{}
	rows := bufio.NewScanner(events)
	rows.Buffer(nil, 1<<24)
	for rows.Scan() {
		seen()
		var event struct{ Action, Test, Output string }
		if err := json.Unmarshal(rows.Bytes(), &event); err != nil {
			return nil, err
		}
		if event.Test == "" {
			continue
		}
		output := outputs[event.Test]
		if output == nil {
			output = &strings.Builder{}
			outputs[event.Test] = output
		}
		switch event.Action {
		case "pause":
			paused[event.Test] = true
		case "cont":
			delete(paused, event.Test)
		case "output":
			output.WriteString(event.Output)
		case "pass":
			found[event.Test] = result{passed, output.String(), 1}
		case "fail":
			found[event.Test] = result{failed, output.String(), 1}
		case "skip":
			found[event.Test] = result{skipped, output.String(), 1}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for test, output := range outputs {
		if found[test].outcome == unknown && !paused[test] {
			found[test] = result{failed, output.String(), 1}
		}
	}
	found.seeThrough()
	return found, nil
}

// seeThrough makes a test skipped of which all parts are, for which Go has passed.
func (r results) seeThrough() {
	deepestFirst := slices.SortedFunc(maps.Keys(r), func(a, b string) int {
		return strings.Count(b, "/") - strings.Count(a, "/")
	})
	type tally struct{ parts, skipped int }
	tallies := map[string]tally{}
	for _, test := range deepestFirst {
		whole := r[test]
		if t := tallies[test]; whole.outcome == passed && t.parts > 0 && t.parts == t.skipped {
			whole.outcome = skipped
			r[test] = whole
		}
		if cut := strings.LastIndexByte(test, '/'); cut >= 0 {
			t := tallies[test[:cut]]
			t.parts++
			if whole.outcome == skipped {
				t.skipped++
			}
			tallies[test[:cut]] = t
		}
	}
}
