package report

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot"
)

func values(ticks []plot.Tick) []float64 {
	var values []float64
	for _, tick := range ticks {
		values = append(values, tick.Value)
	}
	return values
}

func TestLogarithmicAxesHaveRoundTicks(t *testing.T) {
	require.InDeltaSlice(t, []float64{0.5, 1, 2, 5, 10, 20}, values(logTicks(megabytes).Ticks(0.4, 25)), 1e-9)
	require.InDeltaSlice(t, []float64{5000, 10_000}, values(logTicks(megabytes).Ticks(5000, 10_000)), 1e-6)
}

func TestLinearAxesHaveFewTicks(t *testing.T) {
	for most := 0.001; most < 1e8; most *= 1.3 {
		ticks := values(fewTicks{}.Ticks(0, most))
		require.GreaterOrEqual(t, len(ticks), 3, most)
		require.LessOrEqual(t, len(ticks), 6, most)
		require.LessOrEqual(t, ticks[len(ticks)-1], most)
	}
}

// Without two ticks nobody could read an axis.
func TestLogarithmicAxesHoldTheirValuesAndTwoTicks(t *testing.T) {
	for least := 0.011; least < 1e7; least *= 1.7 {
		for _, most := range []float64{least, least * 1.1, least * 3, least * 1000} {
			low, high := logRange(least, most)
			require.LessOrEqual(t, low, least)
			require.GreaterOrEqual(t, high, most)
			require.GreaterOrEqual(t, len(logTicks(megabytes).Ticks(low, high)), 2, "%v to %v", least, most)
		}
	}
	low, high := logRange(5000, 5000)
	require.InDeltaSlice(t, []float64{2000, 10_000}, []float64{low, high}, 1e-6)
}
