package abi_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kourier-go/kourier/internal/abi"
)

// The trailer section of the last request is behind what its record counts.
func TestWhatIsOwnedHasItsTrailer(t *testing.T) {
	for _, lines := range []string{"", "X: v\r\n", "X:\r\nYz: \ra\r\n"} {
		whole := []byte("head" + "body" + lines + "\r\nnext")
		request := abi.MakeRequest(whole, nil, whole[4:8])
		require.Empty(t, request.TrailerLines())
		for flags, want := range map[uint8]string{
			0:                                        "",
			abi.RequestBodyOpen:                      "",
			abi.RequestChunked:                       lines,
			abi.RequestChunked | abi.RequestBodyOpen: "",
			abi.RequestChunked | abi.RequestKeepAlive: lines,
		} {
			request.Flags = flags
			require.Equal(t, want, request.TrailerLines())
			_, own, _ := new(abi.Room).Own([]abi.Request{request}, nil)
			require.Equal(t, want, own[0].TrailerLines())
			require.Equal(t, "body", string(own[0].BodyBytes()))
		}
	}
}

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
			block, own, _ := new(abi.Room).Own([]abi.Request{request}, nil)
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
