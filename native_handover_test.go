//go:build linux && cgo && !kourier_portable

package kourier

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Links that wait for something, perhaps for hours, do not make a worker more patient with those that compute.
func TestPatienceIsForTheLinksOfABatch(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	table := &linkTable{handlers: &handlerEngine{pools: make([]goroutinePool, 1)}, shelves: make([]linkShelf, 1)}
	shelf := &table.shelves[0]
	shelf.live.Store(1000)
	shelf.taken = batchTaken{connections: 1, requests: 1}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for begun := time.Now(); time.Since(begun) < 2*patienceMax; {
		}
	}()
	table.yield(0)
	<-done
	require.Equal(t, 1, shelf.patience.slow)
}
