package report

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/vg"
)

func TestNamesAtTheEndsOfLinesDoNotOverlap(t *testing.T) {
	for _, each := range []struct{ heights, want []vg.Length }{
		{[]vg.Length{10, 50, 90}, []vg.Length{10, 50, 90}},
		{[]vg.Length{10, 12, 14}, []vg.Length{10, 20, 30}},
		{[]vg.Length{80, 95, 99}, []vg.Length{80, 90, 100}},
		{[]vg.Length{98, 99, 99}, []vg.Length{80, 90, 100}},
	} {
		spreadOut(each.heights, 10, 100)
		require.Equal(t, each.want, each.heights)
	}
}
