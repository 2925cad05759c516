package kourier

import (
	"net/http"
	"reflect"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASenderKnowsWhatItCanTakeBack(t *testing.T) {
	l := &memoryLink{}
	s := newSender(l)
	defer s.free()
	require.True(t, s.cut(), "nothing is there")

	s.add([]byte("first"))
	s.next(false)
	s.add([]byte("second"))
	require.True(t, s.cut())
	require.Equal(t, "first", string(s.pending))

	s.send(nil) // as the timer does between two answers
	require.Equal(t, len("first"), l.sent)
	s.add([]byte("second"))
	require.True(t, s.cut(), "what has left is of an earlier answer")
	require.Empty(t, s.pending)

	s.add([]byte("second"))
	s.send(nil)
	s.add([]byte("more of it"))
	require.False(t, s.cut(), "a part of it has left")
	require.Empty(t, s.pending)

	s.next(false)
	s.err = http.ErrAbortHandler
	s.add([]byte("third"))
	s.send(nil)
	require.False(t, s.cut(), "nobody knows what has left")
	s.err = nil
}

func TestAHeaderIsListedInOrder(t *testing.T) {
	s := newSender(&memoryLink{})
	defer s.free()
	for _, names := range [][]string{
		{},
		{"Content-Type"},
		{"Content-Length"},
		{"Content-Length", "Content-Type"},
		{"Content-Type", "X"},
		{"A", "Content-Length"},
		{"A", "B"},
		{"A", "Content-Length", "Content-Type", "Z"},
	} {
		header := http.Header{}
		for _, name := range names {
			header[name] = []string{"1", "2"}
		}
		var listed []string
		for _, field := range s.list(header) {
			listed = append(listed, field.name)
			require.Equal(t, header[field.name], field.values)
		}
		require.ElementsMatch(t, names, listed)
		require.IsIncreasing(t, append([]string{""}, listed...))
	}
	header := http.Header{"Content-Type": nil}
	s.fields = s.fields[:0]
	s.appendFields(s.list(header), func(string) bool { return false })
	require.Empty(t, s.fields, "a key without values is no field")
}

// One field more costs a size class of Go's allocator, at each request.
func TestAnExchangeHasTheSizeItMayHave(t *testing.T) {
	if strconv.IntSize == 64 {
		require.LessOrEqual(t, reflect.TypeFor[exchange]().Size(), uintptr(512))
	}
}
