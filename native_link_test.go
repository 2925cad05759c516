//go:build linux && cgo && !kourier_portable

package kourier

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A wake that comes when the time for a look at the socket has come too is the only
// one: who takes it for the time waits for ever.
func TestAWakeIsNotTakenForTheTime(t *testing.T) {
	t.Parallel()
	var w waiter
	for range 1000 {
		w.wake()
		for woken := false; !woken; {
			var err error
			woken, err = w.wait(time.Nanosecond)
			require.NoError(t, err)
			require.True(t, woken || len(w.ready) == 1, "the wake is there still")
		}
	}
}
