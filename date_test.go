package kourier

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheDateChangesWhileItIsAskedFor(t *testing.T) {
	var d dateCache
	begun := time.Now()
	at, err := time.Parse("Date: Mon, 02 Jan 2006 15:04:05 GMT\r\n", string(d.line()))
	require.NoError(t, err)
	require.WithinRange(t, at, begun.Truncate(time.Second), time.Now())

	d = dateCache{} // without a timer
	d.current.Store(new([]byte))
	d.used.Store(true)
	east := time.FixedZone("east", 3600)
	require.True(t, d.renew(time.Date(1994, time.November, 6, 9, 49, 37, 999_999_999, east)))
	require.Equal(t, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", string(d.line()))
	require.True(t, d.renew(time.Date(1994, time.November, 6, 9, 49, 38, 0, east)))
	require.Equal(t, "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n", string(d.line()))
	require.True(t, d.renew(time.Date(1994, time.November, 6, 9, 49, 39, 0, east)))
	require.False(t, d.renew(time.Date(1994, time.November, 6, 9, 49, 40, 0, east)), "nobody has asked")
	require.Nil(t, d.current.Load())
	require.NotEmpty(t, d.line(), "the next who asks begins anew")
}

func BenchmarkDateLine(b *testing.B) {
	var d dateCache
	for b.Loop() {
		d.line()
	}
}
