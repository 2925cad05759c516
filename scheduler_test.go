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

func TestYieldEntersTheSchedulerOnceAPeriod(t *testing.T) {
	var y yielder
	y.yield(1000)
	require.Zero(t, y.lastMS, "not enabled")
	y.enabled = true
	y.yield(1000)
	require.EqualValues(t, 1000, y.lastMS)
	y.yield(1000 + yieldPeriodMS - 1)
	require.EqualValues(t, 1000, y.lastMS)
	y.yield(1000 + yieldPeriodMS)
	require.EqualValues(t, 1000+yieldPeriodMS, y.lastMS)
	y.lastMS = ^uint32(0) - 2 // the clock's low bits wrap around
	y.yield(1)
	require.EqualValues(t, ^uint32(0)-2, y.lastMS)
	y.yield(3)
	require.EqualValues(t, 3, y.lastMS)
}
