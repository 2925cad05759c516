package main

import "sync"

// subscriptionSize is how many values may wait for a subscriber.
const subscriptionSize = 64

// A broadcast hands values to all that have subscribed.
type broadcast[T any] struct {
	mu          sync.Mutex
	subscribers map[chan T]struct{}
}

// subscribe returns what the values come from. It is closed by unsubscribe, and
// when values are not taken fast enough.
func (b *broadcast[T]) subscribe() chan T {
	values := make(chan T, subscriptionSize)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subscribers == nil {
		b.subscribers = map[chan T]struct{}{}
	}
	b.subscribers[values] = struct{}{}
	return values
}

func (b *broadcast[T]) unsubscribe(values chan T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(values)
}

// publish never blocks.
func (b *broadcast[T]) publish(value T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for values := range b.subscribers {
		select {
		case values <- value:
		default:
			b.drop(values)
		}
	}
}

func (b *broadcast[T]) drop(values chan T) {
	if _, subscribed := b.subscribers[values]; subscribed {
		delete(b.subscribers, values)
		close(values)
	}
}
