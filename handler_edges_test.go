package kourier

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Package context calls AfterFunc while it holds what f locks.
func TestAfterFuncOfAnEndedContextDoesNotCallAtOnce(t *testing.T) {
	t.Parallel()
	c := &requestContext{scope: &scope{parent: context.Background()}}
	c.cancel(context.Canceled)
	var held sync.Mutex
	called := make(chan struct{})
	held.Lock()
	stop := c.AfterFunc(func() {
		held.Lock()
		defer held.Unlock()
		close(called)
	})
	require.False(t, stop())
	held.Unlock()
	<-called
}

func TestNoMoreGoroutinesAreKeptThanAllowed(t *testing.T) {
	t.Parallel()
	p := &goroutinePool{idleMax: 1}
	_, parked := p.next(make(chan bool, 1), true)
	require.True(t, parked)
	_, parked = p.next(make(chan bool, 1), true)
	require.False(t, parked)
	p.close()
}

// The timer of a sweep may have fired when the pool closes.
func TestASweepAfterTheEndOfItsPoolDoesNothing(t *testing.T) {
	t.Parallel()
	p := &goroutinePool{idleMax: 4}
	wake := make(chan bool, 1)
	park := func() bool {
		_, parked := p.next(wake, true)
		return parked
	}
	require.True(t, park())
	p.sweep()
	p.close()
	require.False(t, <-wake)
	p.sweep()
	require.False(t, park())
}
