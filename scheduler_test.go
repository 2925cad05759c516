package kourier

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMakeSparePLeavesTheEnvironmentItsWill(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	t.Setenv("GOMAXPROCS", "1")
	runtime.GOMAXPROCS(1)
	require.False(t, makeSpareP(1))
	require.Equal(t, 1, runtime.GOMAXPROCS(0))

	t.Setenv("GOMAXPROCS", "")
	require.True(t, makeSpareP(1))
	require.Equal(t, 2, runtime.GOMAXPROCS(0))
	require.True(t, makeSpareP(1))
	require.Equal(t, 2, runtime.GOMAXPROCS(0), "one to spare is enough")
}

func TestAWorkerThatComesOftenYieldsOnceAPeriod(t *testing.T) {
	dueAt := func(y *yielder, nowMS uint32, calls int) (count int) {
		for range calls {
			if y.due(nowMS) {
				count++
			}
		}
		return count
	}
	require.Zero(t, dueAt(&yielder{}, 1000, 1000), "not enabled")

	y := yielder{enabled: true, lastMS: 1000}
	require.Zero(t, dueAt(&y, 1000+yieldPeriodMS-1, yieldCallsMin))
	require.Equal(t, 1, dueAt(&y, 1000+yieldPeriodMS, 1))
	require.Zero(t, dueAt(&y, 1000+2*yieldPeriodMS, 1), "the calls of the period were too few")
	require.Zero(t, dueAt(&y, 1000+3*yieldPeriodMS-1, yieldCallsMin))
	require.Equal(t, 1, dueAt(&y, 1000+3*yieldPeriodMS, 1))

	y = yielder{enabled: true, calls: yieldCallsMin, lastMS: ^uint32(0) - 2} // the clock's low bits wrap around
	require.Zero(t, dueAt(&y, 1, 1))
	require.Equal(t, 1, dueAt(&y, 3, 1))
}

func TestServersDoNotRaiseEachOthersWorkers(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	t.Setenv("GOMAXPROCS", "")
	first, err := Config{}.resolve(serverLimits{})
	require.NoError(t, err)
	makeSpareP(int(first.workers))
	second, err := Config{}.resolve(serverLimits{})
	require.NoError(t, err)
	require.Equal(t, first.workers, second.workers)
}
