package report

import (
	"math"
	"testing"

	"github.com/kourier-go/kourier/bench/internal/record"
	"github.com/stretchr/testify/require"
)

func machineCalled(cpu string) record.Machine {
	return record.Machine{Kind: record.KindMachine, Profile: "quick", CPU: cpu, Time: cpu + " time"}
}

func TestRunsOfOneMachineAddUp(t *testing.T) {
	one := Source{"one", machineCalled("a"), []record.Run{{Server: "x", Load: record.LoadThroughput}}}
	two := one
	two.Name, two.Machine.Time, two.Machine.LoadAverage = "two", "later", "0.5"
	host, _, err := split([]Source{one, two})
	require.NoError(t, err)
	require.Len(t, host.runs, 2)

	two.Machine.Versions = map[string]string{"go": "go2"}
	_, _, err = split([]Source{one, two})
	require.ErrorContains(t, err, "one and two differ")
	require.ErrorContains(t, Write(t.TempDir(), []Source{one, two}), "one and two differ")

	two.Machine.Profile = record.ProfileVM
	host, virtual, err := split([]Source{one, two})
	require.NoError(t, err)
	require.Len(t, host.runs, 1)
	require.Len(t, virtual.runs, 1)
}

func TestRunsThatDoNotCountAreInNoFigure(t *testing.T) {
	good := record.Run{Server: "x", Load: record.LoadIdle, Connections: 1, Alive: 1, Idle: record.Sample{RSS: 3e6}}
	bad := good
	bad.Idle.RSS, bad.Errors.Status = 9e6, 1
	never := bad
	never.Server = "y"
	host, _, err := split([]Source{{"one", machineCalled("a"), []record.Run{good, bad, never}}})
	require.NoError(t, err)
	s, ok := host.spread(good.Row(), idleRSS)
	require.True(t, ok)
	require.Equal(t, record.Spread{Min: 3, Median: 3, Max: 3}, s)
	_, ok = host.spread(never.Row(), idleRSS)
	require.False(t, ok)
	counted, made := host.rounds(good.Row())
	require.Equal(t, []int{1, 2}, []int{counted, made})
	require.Len(t, host.groups(record.LoadIdle)[0].rows, 2)
}

func TestWhatARunDoesNotKnowIsNoFigure(t *testing.T) {
	for _, f := range []figure{throughput, cpu, bodies, cpuOfBodies, p50, p999, p99Alone, p99Growth, rssBefore, lateShare} {
		require.True(t, math.IsNaN(f.of(record.Run{})), f.name)
	}
	host := measured{runs: []record.Run{{Server: "x"}}}
	_, ok := host.spread(record.Row{Server: "x"}, p99)
	require.False(t, ok)
}
