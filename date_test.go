package kourier

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheDateChangesWhileItIsAskedFor(t *testing.T) {
	now := time.Date(1994, time.November, 6, 9, 49, 37, 400_000_000, time.FixedZone("east", 3600))
	var wait time.Duration
	var timer func()
	d := &dateCache{now: func() time.Time { return now }, after: func(d time.Duration, f func()) {
		require.Nil(t, timer, "there is one at a time")
		wait, timer = d, f
	}}
	pass := func() {
		now = now.Add(wait)
		fire := timer
		timer = nil
		fire()
	}
	for range 2 {
		require.Equal(t, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", string(d.line()))
	}
	require.Equal(t, 600*time.Millisecond, wait)
	pass()
	require.Equal(t, "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n", string(d.line()))
	wait += 1700 * time.Millisecond // late
	pass()
	require.Equal(t, "Date: Sun, 06 Nov 1994 08:49:40 GMT\r\n", string(d.line()))
	require.Equal(t, 300*time.Millisecond, wait)
	pass()
	require.NotNil(t, timer, "somebody has asked before")
	pass()
	require.Nil(t, timer, "nobody has since")
	now = now.Add(time.Hour)
	require.Equal(t, "Date: Sun, 06 Nov 1994 09:49:42 GMT\r\n", string(d.line()))
	require.NotNil(t, timer)
}

func TestTheDateIsThatOfTheClock(t *testing.T) {
	d := newDateCache()
	begun := time.Now()
	at, err := time.Parse("Date: Mon, 02 Jan 2006 15:04:05 GMT\r\n", string(d.line()))
	require.NoError(t, err)
	require.WithinRange(t, at, begun.Truncate(time.Second), time.Now())
}

func BenchmarkDateLine(b *testing.B) {
	d := newDateCache()
	for b.Loop() {
		d.line()
	}
}
