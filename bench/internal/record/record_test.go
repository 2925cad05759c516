package record

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	machine := Machine{Kind: KindMachine, Profile: "quick", Cores: 2, Limits: map[string]string{"somaxconn": "4096"}}
	runs := []Run{
		{Kind: KindRun, Server: "a", Load: "memory", Round: 1, Requests: 7, ServedPerQuarter: [4]int{1, 2, 3, 4}},
		{Kind: KindRun, Server: "b", Load: "attack", Attack: &Attack{SlowHeads: 3}, Errors: Errors{Body: 1}},
	}
	var file bytes.Buffer
	require.NoError(t, Write(&file, machine))
	for _, run := range runs {
		require.NoError(t, Write(&file, run))
	}
	gotMachine, gotRuns, err := Read(&file)
	require.NoError(t, err)
	require.Equal(t, machine, gotMachine)
	require.Equal(t, runs, gotRuns)
}

func TestLinesThatAreNoRecordsAreErrors(t *testing.T) {
	for _, text := range []string{"{", `{"kind":"other"}`, "\n"} {
		_, _, err := Read(bytes.NewBufferString(`{"kind":"run"}` + "\n" + text))
		require.ErrorContains(t, err, "line 2")
	}
}

func TestErrorsAddUp(t *testing.T) {
	require.Equal(t, int64(63), Errors{1, 2, 4, 8, 16, 32}.Total())
}

func TestCPUIsThatOfAllAnswers(t *testing.T) {
	run := Run{Requests: 900_000, Drained: 100_000, CPU: CPU{User: 2, System: 3}}
	require.Equal(t, CPU{2, 3}, run.CPUPerMillion())
	require.Equal(t, 5.0, run.CPUPerMillion().Total())
	require.Zero(t, Run{CPU: CPU{User: 1}}.CPUPerMillion())
}

func memoryRuns(server string, hwm map[int][]int64) []Run {
	var runs []Run
	for _, n := range []int{100, 200, 400} {
		for _, bytes := range hwm[n] {
			runs = append(runs, Run{Server: server, Load: "memory", Connections: n, Loaded: Sample{HWM: bytes}})
		}
	}
	return runs
}

func hwm(r Run) float64 { return float64(r.Loaded.HWM) }

func TestSpreadIsThatOfOneRow(t *testing.T) {
	runs := append(memoryRuns("a", map[int][]int64{100: {9, 2, 4}, 200: {1, 3}}), memoryRuns("b", map[int][]int64{100: {77}})...)
	require.Equal(t, []Row{{"memory", 100, 0, "a"}, {"memory", 200, 0, "a"}, {"memory", 100, 0, "b"}}, Rows(runs))
	require.Equal(t, Spread{2, 4, 9}, SpreadOf(runs, Row{"memory", 100, 0, "a"}, hwm))
	require.Equal(t, Spread{1, 2, 3}, SpreadOf(runs, Row{"memory", 200, 0, "a"}, hwm))
	require.Zero(t, SpreadOf(runs, Row{"memory", 400, 0, "a"}, hwm))
}

func TestFitGoesThroughTheMedians(t *testing.T) {
	runs := memoryRuns("a", map[int][]int64{100: {1200, 1100, 9999}, 200: {1400}, 400: {1800}})
	line := Fit(runs, "memory", "a", hwm)
	require.InDelta(t, 1000, line.At0, 1e-6)
	require.InDelta(t, 2, line.Slope, 1e-9)
	require.InDelta(t, 2000, line.At(500), 1e-6)
	require.Equal(t, 3, line.Points)
	require.Equal(t, 400, line.MaxX)
}

func TestOnePointMakesNoLine(t *testing.T) {
	require.Equal(t, Line{Points: 1}, Fit(memoryRuns("a", map[int][]int64{100: {5}}), "memory", "a", hwm))
	require.Zero(t, Fit(nil, "memory", "a", hwm))
}
