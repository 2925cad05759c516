// Judge runs compiled tests and holds their outcome against a list of the tests
// that may fail or are not run.
//
//	judge -engine native -expected nethttp_expected.txt -suite nethttp nethttp.test...
//
// A test that is not on the list must pass, and one that passes must be taken off
// it. A crash or a test that hangs costs that test only: the rest is run in a
// process of its own. A test that fails is given a second try, alone.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	engine := flag.String("engine", "native", "native or portable: whose lines of the list count")
	expected := flag.String("expected", "", "the list's `file`")
	suite := flag.String("suite", "", "the suite's name, for the summary")
	patience := flag.Duration("patience", 20*time.Second, "how long a test may say nothing")
	flag.Parse()
	if err := judge(os.Stdout, *suite, *engine, *expected, *patience, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func judge(w io.Writer, suite, engine, expected string, patience time.Duration, programs []string) error {
	text, err := os.ReadFile(expected)
	if err != nil {
		return err
	}
	lines, err := parseList(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", expected, err)
	}
	wanted := lines.of(engine)
	all := results{}
	for _, program := range programs {
		name := strings.TrimSuffix(filepath.Base(program), ".test") + "."
		own := wanted.below(name)
		r := runner{program: program, patience: patience, skip: own.skipped()}
		found, err := r.run()
		if err != nil {
			return err
		}
		if err := r.again(reach(found, own).failures, found); err != nil {
			return err
		}
		for test, result := range found {
			all[name+test] = result
		}
	}
	v := reach(all, wanted)
	if _, err := io.WriteString(w, v.text(suite, engine)); err != nil {
		return err
	}
	if !v.good() {
		return errors.New("the outcome is not the one expected")
	}
	return nil
}

// A verdict is what is to be said of a run.
type verdict struct {
	total, passed, failed, skipped int

	failures []string // failed, and not on the list
	surprise []string // on the list without need
	retried  []string // passed at the second try
	output   map[string]string
}

// reach compares the results with the list.
func reach(all results, wanted list) verdict {
	v := verdict{output: map[string]string{}}
	for test, result := range all {
		topmost := !strings.Contains(test, "/")
		if topmost {
			v.count(result)
		}
		allowed := wanted.allows(test, result.outcome) || result.outcome == failed && wanted.explains(test, all)
		switch {
		case result.outcome == passed && result.tries > 1:
			v.retried = append(v.retried, test)
		case result.outcome == failed && !allowed, result.outcome == skipped && topmost && !allowed:
			v.failures = append(v.failures, test)
			v.output[test] = result.output
		}
	}
	for test, line := range wanted {
		result, known := all[test]
		parent, _, sub := strings.Cut(test, "/")
		switch {
		case !known && sub && line.outcome == skipped && all[parent].outcome != unknown:
			// left out below a test that is there
		case !known, line.outcome == failed && result.outcome == passed:
			v.surprise = append(v.surprise, test)
		}
	}
	slices.Sort(v.failures)
	slices.Sort(v.surprise)
	slices.Sort(v.retried)
	return v
}

func (v *verdict) count(r result) {
	v.total++
	switch r.outcome {
	case passed:
		v.passed++
	case skipped:
		v.skipped++
	default:
		v.failed++
	}
}

func (v *verdict) good() bool { return len(v.failures) == 0 && len(v.surprise) == 0 }

func (v *verdict) text(suite, engine string) string {
	const outputMax = 4000 // bytes a test
	var text strings.Builder
	for _, test := range v.failures {
		output := v.output[test]
		fmt.Fprintf(&text, "%s, which is not on the list, says:\n%s\n\n", test, output[:min(len(output), outputMax)])
	}
	for _, test := range v.failures {
		fmt.Fprintln(&text, "failed or not run, and not on the list:", test)
	}
	for _, test := range v.surprise {
		fmt.Fprintln(&text, "passes or is gone, take it off the list:", test)
	}
	for _, test := range v.retried {
		fmt.Fprintln(&text, "passed at the second try:", test)
	}
	fmt.Fprintf(&text, "%s (%s): %d of %d passed, %d failed, %d not run\n",
		suite, engine, v.passed, v.total, v.failed, v.skipped)
	return text.String()
}
