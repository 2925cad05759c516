package kourier

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPatienceEndsWithHandlersThatCompute(t *testing.T) {
	t.Parallel()
	start := time.Now()
	after := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	var p patience
	require.False(t, isTooLong(2*time.Millisecond, 1))
	require.True(t, isTooLong(3*time.Millisecond, 1))
	require.False(t, isTooLong(3*time.Millisecond, 1000), "each took its share")
	require.True(t, isTooLong(101*time.Millisecond, 1000))

	for range 3 { // one alone is chance
		p.waited(start, true)
		p.waited(start, false)
	}
	require.True(t, p.lasts(start))
	p.waited(start, true)
	p.waited(after(5), true)
	require.False(t, p.lasts(after(5)))
	require.False(t, p.lasts(after(204)))
	require.True(t, p.lasts(after(205)))
	p.waited(after(205), true)
	require.True(t, p.lasts(after(205)), "it begins anew")
}

func TestMakeSparePLeavesTheEnvironmentItsWill(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	t.Setenv("GOMAXPROCS", "1")
	runtime.GOMAXPROCS(1)
	require.False(t, makeSpareP(1, false))
	require.Equal(t, 1, runtime.GOMAXPROCS(0))

	t.Setenv("GOMAXPROCS", "")
	require.False(t, makeSpareP(1, true), "handlers need none")
	require.Equal(t, 1, runtime.GOMAXPROCS(0))
	require.True(t, makeSpareP(1, false))
	require.Equal(t, 2, runtime.GOMAXPROCS(0))
	require.True(t, makeSpareP(1, true), "there is one all the same")
	require.False(t, makeSpareP(waitersMax, true))
	require.True(t, makeSpareP(1, false))
	require.Equal(t, 2, runtime.GOMAXPROCS(0), "one to spare is enough")
	require.True(t, makeSpareP(waitersMax+1, true))
	require.Equal(t, waitersMax+2, runtime.GOMAXPROCS(0))
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
	makeSpareP(int(first.workers), false)
	second, err := Config{}.resolve(serverLimits{})
	require.NoError(t, err)
	require.Equal(t, first.workers, second.workers)
}
