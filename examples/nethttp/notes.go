package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	noteSizeMax  = 16 << 10 // bytes, as JSON
	noteCountMax = 10_000
	titleMax     = 100  // characters
	textMax      = 4000 // characters
)

// A note is what a client says, and what the service adds.
type note struct {
	ID      uint64    `json:"id"`
	Created time.Time `json:"created"`
	draft
}

// A draft is a note that does not stand yet.
type draft struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

// fault returns what is wrong, or "".
func (d draft) fault() string {
	switch {
	case d.Title == "":
		return "a note needs a title"
	case utf8.RuneCountInString(d.Title) > titleMax:
		return fmt.Sprintf("a title has at most %d characters", titleMax)
	case utf8.RuneCountInString(d.Text) > textMax:
		return fmt.Sprintf("a text has at most %d characters", textMax)
	}
	return ""
}

// notes keeps notes in memory.
type notes struct {
	events *events

	mu   sync.Mutex
	last uint64 // the ID given last
	byID map[uint64]note
}

func newNotes(e *events) *notes { return &notes{events: e, byID: map[uint64]note{}} }

func (n *notes) list(w http.ResponseWriter, _ *http.Request) {
	n.mu.Lock()
	all := slices.AppendSeq([]note{}, maps.Values(n.byID))
	n.mu.Unlock()
	slices.SortFunc(all, func(a, b note) int { return cmp.Compare(a.ID, b.ID) })
	writeJSON(w, http.StatusOK, map[string][]note{"notes": all})
}

func (n *notes) create(w http.ResponseWriter, r *http.Request) {
	var d draft
	if !readJSON(w, r, noteSizeMax, &d) {
		return
	}
	if fault := d.fault(); fault != "" {
		writeError(w, http.StatusUnprocessableEntity, fault)
		return
	}
	created, ok := n.add(d)
	if !ok {
		writeError(w, http.StatusInsufficientStorage, "there are too many notes")
		return
	}
	n.events.publish(event{name: "note-created", data: created})
	w.Header().Set("Location", fmt.Sprintf("/notes/%d", created.ID))
	writeJSON(w, http.StatusCreated, created)
}

func (n *notes) add(d draft) (_ note, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.byID) == noteCountMax {
		return note{}, false
	}
	n.last++
	added := note{ID: n.last, Created: time.Now().UTC(), draft: d}
	n.byID[added.ID] = added
	return added, true
}

func (n *notes) get(w http.ResponseWriter, r *http.Request) {
	id := noteID(r)
	n.mu.Lock()
	found, ok := n.byID[id]
	n.mu.Unlock()
	if !ok {
		writeError(w, http.StatusNotFound, "there is no such note")
		return
	}
	writeJSON(w, http.StatusOK, found)
}

func (n *notes) delete(w http.ResponseWriter, r *http.Request) {
	id := noteID(r)
	n.mu.Lock()
	found, ok := n.byID[id]
	delete(n.byID, id)
	n.mu.Unlock()
	if !ok {
		writeError(w, http.StatusNotFound, "there is no such note")
		return
	}
	n.events.publish(event{name: "note-deleted", data: found})
	w.WriteHeader(http.StatusNoContent)
}

// noteID returns the ID that the path names, or 0, which no note has.
func noteID(r *http.Request) uint64 {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0
	}
	return id
}
