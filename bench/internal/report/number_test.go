package report

import (
	"testing"

	"github.com/kourier-go/kourier/bench/internal/record"
	"github.com/stretchr/testify/require"
)

func TestNumbersHaveAboutThreeDigits(t *testing.T) {
	for want, value := range map[string]float64{
		"0": 0, "0.123": 0.1234, "1.23": 1.234, "12.3": 12.34, "123": 123.4, "1,234": 1234.4, "1,234,568": 1234567.8,
		"-1,234": -1234, "-1.50": -1.5,
	} {
		require.Equal(t, want, number(value))
	}
	require.Equal(t, "0", thousands(-0.2, 0))
	require.Equal(t, "1.50 (1.00–12.00)", spreadText(record.Spread{Min: 1, Median: 1.5, Max: 12}))
	require.Equal(t, "0 (0–120)", spreadText(record.Spread{Max: 120}))
}

func TestPlotsHaveShortNumbers(t *testing.T) {
	for want, value := range map[string]float64{"0.280": 0.28, "999": 999, "12k": 12_345, "2.3M": 2_345_678} {
		require.Equal(t, want, short(value))
	}
	for want, value := range map[string]float64{"0": 0, "0.5": 0.5, "250": 250, "2.5k": 2500, "10M": 10e6} {
		require.Equal(t, want, round(value))
	}
}
