package abi

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// A pointer behind an allocation is one into another. Sizes that fill an
// allocation are among these; -race has the runtime look at the arithmetic too.
func TestABodyWithoutBytesStaysWithinTheBlock(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 1024; size++ {
		memory := make([]byte, size+1)
		r := MakeRequest(memory[:size], make([]Field, 1), memory[size:])
		r.BodySize = 0
		block, own, _ := Own([]Request{r})
		require.Len(t, block, size)
		require.Greater(t, cap(block), size)
		require.EqualValues(t, size, uintptr(own[0].Body)-uintptr(unsafe.Pointer(unsafe.SliceData(block))))
	}
}
