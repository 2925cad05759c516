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
	require.False(t, isTooLong(2*time.Millisecond, 1, 1))
	require.True(t, isTooLong(3*time.Millisecond, 1, 1))
	require.False(t, isTooLong(3*time.Millisecond, 1000, 1000), "each took its share")
	require.True(t, isTooLong(101*time.Millisecond, 1000, 1000))
	require.False(t, isTooLong(3*time.Millisecond, 2, 512), "each request took its share")
	require.True(t, isTooLong(6*time.Millisecond, 2, 512))

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

func TestASparePIsMadeForThoseThatNeedOne(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	for _, c := range []struct {
		environment  string
		procs        int
		workers      int
		handlersOnly bool

		procsAfter   int
		spare, waits bool
	}{
		{"", 1, 1, false, 2, true, false},
		{"", 1, 1, true, 1, false, true},
		{"", 2, 1, false, 2, true, false},
		{"", 2, 1, true, 2, true, false},
		{"", 4, 4, true, 4, false, true},
		{"", 5, 5, true, 6, true, false},
		{"", 2, 5, true, 6, true, false},
		{"1", 1, 1, false, 1, false, true},
		{"1", 1, 1, true, 1, false, true},
		{"4", 4, 4, false, 4, false, true},
		{"5", 5, 5, true, 5, false, false},
		{"6", 6, 5, true, 6, true, false},
	} {
		t.Setenv("GOMAXPROCS", c.environment)
		runtime.GOMAXPROCS(c.procs)
		spare, waits := makeSpareP(c.workers, c.handlersOnly)
		require.Equal(t, c.spare, spare, "%+v", c)
		require.Equal(t, c.waits, waits, "%+v", c)
		require.Equal(t, c.procsAfter, runtime.GOMAXPROCS(0), "%+v", c)
	}
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
