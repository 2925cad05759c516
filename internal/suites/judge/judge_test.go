package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const text = `
# the reasons
both     skip internal p.TestLeftOut
both     fail bug      p.TestBroken   # for the reader
portable fail bug      p.TestPortable
native   fail bug      p.TestNative/h2
both     either tools  p.TestTools
`

func TestList(t *testing.T) {
	notAsJudged(t)
	parsed, err := parseList(text)
	require.NoError(t, err)
	require.Len(t, parsed, 5)
	native := parsed.of("native")
	require.Len(t, native, 4)
	require.NotContains(t, native, "p.TestPortable")

	own := native.below("p.")
	require.Equal(t, []string{"TestLeftOut"}, own.skipped())
	require.True(t, own.allows("TestBroken", failed))
	require.True(t, own.allows("TestBroken/part/of it", failed))
	require.False(t, own.allows("TestBroken", skipped))
	require.True(t, own.allows("TestNative/h2", failed))
	require.False(t, own.allows("TestNative/h1", failed))
	require.Empty(t, native.below("q."))

	for wrong, why := range map[string]string{
		"both skip TestReasonless":   "line 1: engine, outcome, reason and test are needed",
		"\nboth fails bug TestWrong": `line 2: "fails" is no outcome: fail, skip or either`,
		"all fail bug TestWrong":     `line 1: "all" is no engine: native, portable or both`,
	} {
		_, err := parseList(wrong)
		require.EqualError(t, err, why)
	}
}

func TestVerdict(t *testing.T) {
	notAsJudged(t)
	parsed, err := parseList(text)
	require.NoError(t, err)
	wanted := parsed.of("native")
	asListed := func() results {
		return results{
			"p.TestGood":      {outcome: passed, tries: 1},
			"p.TestLeftOut":   {outcome: skipped},
			"p.TestBroken":    {outcome: failed, tries: 1},
			"p.TestNative":    {outcome: failed, tries: 1},
			"p.TestNative/h1": {outcome: passed, tries: 1},
			"p.TestNative/h2": {outcome: failed, tries: 1},
			"p.TestTools":     {outcome: passed, tries: 1},
		}
	}
	v := reach(asListed(), wanted)
	require.True(t, v.good())
	require.Equal(t, "suite (native): 2 of 5 passed, 2 failed, 1 not run\n", v.text("suite", "native"))

	for _, o := range []outcome{failed, skipped} {
		r := asListed()
		r["p.TestTools"] = result{outcome: o}
		v := reach(r, wanted)
		require.True(t, v.good())
	}

	cases := []struct {
		name               string
		change             func(results)
		failures, surprise []string
	}{
		{"a new failure", func(r results) { r["p.TestGood"] = result{outcome: failed} }, []string{"p.TestGood"}, nil},
		{"skips itself", func(r results) { r["p.TestGood"] = result{outcome: skipped} }, []string{"p.TestGood"}, nil},
		{"another part fails", func(r results) { r["p.TestNative/h1"] = result{outcome: failed} },
			[]string{"p.TestNative", "p.TestNative/h1"}, nil},
		{"passes again", func(r results) { r["p.TestBroken"] = result{outcome: passed} }, nil, []string{"p.TestBroken"}},
		{"is gone", func(r results) { delete(r, "p.TestBroken") }, nil, []string{"p.TestBroken"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := asListed()
			c.change(r)
			v := reach(r, wanted)
			require.Equal(t, c.failures, v.failures)
			require.Equal(t, c.surprise, v.surprise)
			require.False(t, v.good())
		})
	}
}

func TestSeeThrough(t *testing.T) {
	notAsJudged(t)
	r := results{
		"TestA": {outcome: passed}, "TestA/h1": {outcome: skipped}, "TestA/h2": {outcome: passed}, "TestA/h2/x": {outcome: skipped},
		"TestB": {outcome: passed}, "TestB/h1": {outcome: skipped}, "TestB/h2": {outcome: passed},
	}
	r.seeThrough()
	require.Equal(t, skipped, r["TestA"].outcome)
	require.Equal(t, passed, r["TestB"].outcome)
}

func TestPattern(t *testing.T) {
	notAsJudged(t)
	require.Equal(t, `^TestA$|^TestB$/^h2$/^a\.b$`, patternOf([]string{"TestA", "TestB/h2/a.b"}))
}

// The tests below are judged: this program runs itself.

const marker = "JUDGED_IN"

func notAsJudged(t *testing.T) {
	if os.Getenv(marker) != "" {
		t.Skip("judged, this one is not")
	}
}

func asJudged(t *testing.T) string {
	folder := os.Getenv(marker)
	if folder == "" {
		t.Skip("run by TestRun")
	}
	return folder
}

func TestJudgedPasses(t *testing.T) { asJudged(t) }

// It is paused when those behind it end the process.
func TestJudgedWaits(t *testing.T) { asJudged(t); t.Parallel() }

func TestJudgedFails(t *testing.T) { asJudged(t); t.Error("the words of the failure") }
func TestJudgedHangs(t *testing.T) { asJudged(t); select {} }
func TestJudgedCrashes(t *testing.T) {
	asJudged(t)
	go func() { panic("the words of the crash") }()
	select {}
}

func TestJudgedPassesAtSecondTry(t *testing.T) {
	_, err := os.Stat(filepath.Join(asJudged(t), "tried"))
	if err != nil {
		require.NoError(t, os.Mkdir(filepath.Join(asJudged(t), "tried"), 0o700))
		t.Error("the first try")
	}
}

func TestJudgedParts(t *testing.T) {
	asJudged(t)
	t.Run("left out", func(t *testing.T) { t.Error("it was run") })
	t.Run("good", func(*testing.T) {})
}

func TestJudgedLast(t *testing.T) { asJudged(t) }

func TestRun(t *testing.T) {
	notAsJudged(t)
	if testing.Short() {
		t.Skip("waits for a test that hangs")
	}
	t.Setenv(marker, t.TempDir())
	program, err := os.Executable()
	require.NoError(t, err)
	r := runner{program: program, patience: 5 * time.Second, skip: []string{"TestList", "TestJudgedParts/left out"}}
	all, err := r.run()
	require.NoError(t, err)
	outcomes := map[string]outcome{}
	for test, result := range all {
		outcomes[test] = result.outcome
	}
	require.Equal(t, map[string]outcome{
		"TestList": skipped, "TestVerdict": skipped, "TestPattern": skipped, "TestSeeThrough": skipped, "TestRun": skipped,
		"TestJudgedPasses": passed, "TestJudgedWaits": passed, "TestJudgedFails": failed, "TestJudgedHangs": failed, "TestJudgedCrashes": failed,
		"TestJudgedPassesAtSecondTry": failed, "TestJudgedParts": passed, "TestJudgedParts/good": passed,
		"TestJudgedLast": passed,
	}, outcomes)
	require.Contains(t, all["TestJudgedFails"].output, "the words of the failure")
	require.Contains(t, all["TestJudgedCrashes"].output, "the words of the crash")

	require.NoError(t, r.again([]string{"TestJudgedFails", "TestJudgedPassesAtSecondTry"}, all))
	require.Equal(t, failed, all["TestJudgedFails"].outcome)
	require.Equal(t, passed, all["TestJudgedPassesAtSecondTry"].outcome)
	require.Equal(t, []string{"TestJudgedPassesAtSecondTry"}, reach(all, list{}).retried)
}
