package main

import (
	"fmt"
	"strings"
)

// A line of the list says what becomes of a test: "engine outcome reason test",
// where engine is native, portable or both, outcome is fail, skip (not run) or
// either (pass, fail or skip itself, as the machine lets it), and reason is a word
// that the list explains. What follows a # is for the reader.
type line struct {
	engine  string
	outcome outcome
	reason  string
	test    string
}

type lines []line

func parseList(text string) (lines, error) {
	var parsed lines
	number := 0
	for row := range strings.Lines(text) {
		number++
		row, _, _ = strings.Cut(row, "#")
		fields := strings.Fields(row)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 4 {
			return nil, fmt.Errorf("line %d: engine, outcome, reason and test are needed", number)
		}
		l := line{engine: fields[0], reason: fields[2], test: fields[3]}
		switch fields[1] {
		case "fail":
			l.outcome = failed
		case "skip":
			l.outcome = skipped
		case "either":
			l.outcome = either
		default:
			return nil, fmt.Errorf("line %d: %q is no outcome: fail, skip or either", number, fields[1])
		}
		switch l.engine {
		case "native", "portable", "both":
		default:
			return nil, fmt.Errorf("line %d: %q is no engine: native, portable or both", number, l.engine)
		}
		parsed = append(parsed, l)
	}
	return parsed, nil
}

// A list holds the lines for one engine by their test.
type list map[string]line

func (l lines) of(engine string) list {
	chosen := list{}
	for _, line := range l {
		if line.engine == engine || line.engine == "both" {
			chosen[line.test] = line
		}
	}
	return chosen
}

// below returns the lines whose tests have this prefix, without it.
func (l list) below(prefix string) list {
	chosen := list{}
	for test, line := range l {
		if name, ok := strings.CutPrefix(test, prefix); ok {
			chosen[name] = line
		}
	}
	return chosen
}

// skipped returns the tests that are not to be run.
func (l list) skipped() []string {
	var tests []string
	for test, line := range l {
		if line.outcome == skipped {
			tests = append(tests, test)
		}
	}
	return tests
}

// allows reports whether the list has the outcome for the test, or for one that
// it is a part of.
func (l list) allows(test string, o outcome) bool {
	for {
		if line, ok := l[test]; ok {
			return line.outcome == o || line.outcome == either
		}
		cut := strings.LastIndexByte(test, '/')
		if cut < 0 {
			return false
		}
		test = test[:cut]
	}
}

// explains reports whether a test failed because parts of it did, which the list
// allows.
func (l list) explains(test string, all results) bool {
	explained := false
	for part, result := range all {
		if result.outcome != failed || !strings.HasPrefix(part, test+"/") {
			continue
		}
		if !l.allows(part, failed) && !l.explains(part, all) {
			return false
		}
		explained = true
	}
	return explained
}
