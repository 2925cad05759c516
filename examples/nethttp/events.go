package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	eventTimeout  = 10 * time.Second // for a client to take an event
	eventInterval = 15 * time.Second // without an event a comment is sent, for proxies
)

// An event tells that something has changed.
type event struct {
	name string
	data any // can be encoded as JSON
}

// events tells all who listen what happens, as server-sent events.
type events struct {
	broadcast[event]
	stopping <-chan struct{}
}

func newEvents(stopping <-chan struct{}) *events { return &events{stopping: stopping} }

// stream sends events until the client leaves, the client is too slow, or the
// server shuts down.
func (e *events) stream(w http.ResponseWriter, r *http.Request) {
	happened := e.subscribe()
	defer e.unsubscribe(happened)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	controller := http.NewResponseController(w)
	silence := time.NewTicker(eventInterval)
	defer silence.Stop()

	for piece := ": welcome\n\n"; piece != ""; {
		// The deadline is for each event, not for the whole answer.
		if controller.SetWriteDeadline(time.Now().Add(eventTimeout)) != nil {
			return
		}
		if _, err := fmt.Fprint(w, piece); err != nil || controller.Flush() != nil {
			return
		}
		select {
		case happening, ok := <-happened:
			if !ok {
				return
			}
			piece = happening.encode()
		case <-silence.C:
			piece = ": nothing happens\n\n"
		case <-r.Context().Done():
			return
		case <-e.stopping:
			return
		}
	}
}

func (e event) encode() string {
	data, err := json.Marshal(e.data)
	if err != nil {
		panic(err) // the types of this program can be encoded
	}
	return fmt.Sprintf("event: %s\ndata: %s\n\n", e.name, data)
}
