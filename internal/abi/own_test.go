package abi_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/internal/abi"
)

// An empty body stands where the head ends, and that is not always within what the
// garbage collector takes for memory of Go's.
func TestWhatIsOwnedPointsIntoItsBlock(t *testing.T) {
	for _, size := range []int{1, 8, 1024, 8192, 32 << 10, 40_000, 64 << 10, 70_806} {
		head := bytes.Repeat([]byte("x"), size)
		var kept [][]abi.Request
		for range 50 {
			whole := append(bytes.Clone(head), 0) // the core's memory goes on behind the request
			request := abi.MakeRequest(whole, nil, whole[size:])
			request.BodySize = 0
			block, own, _ := abi.Own([]abi.Request{request})
			require.Len(t, block, size)
			require.Equal(t, size, cap(block))
			kept = append(kept, own)
		}
		runtime.GC()
		runtime.GC()
		for _, own := range kept {
			require.Empty(t, own[0].BodyBytes())
			require.Equal(t, string(head), own[0].Text(uint32(size)))
		}
	}
}
