package main

import (
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
)

//go:embed static
var static embed.FS // go:embed allows no place but the package's scope

// A service is what the program offers, as one handler.
type service struct {
	handler http.Handler
	chat    *chat
}

// newService keeps files in a directory. Streams and chats end when stopping is closed.
func newService(directory string, uploadSizeMax int64, stopping <-chan struct{}, log *slog.Logger) (*service, error) {
	pages, err := fs.Sub(static, "static")
	if err != nil {
		return nil, err
	}
	events := newEvents(stopping)
	notes := newNotes(events)
	files := newFiles(directory, uploadSizeMax, events, log)
	chat := newChat(stopping)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /notes", notes.list)
	mux.HandleFunc("POST /notes", notes.create)
	mux.HandleFunc("GET /notes/{id}", notes.get)
	mux.HandleFunc("DELETE /notes/{id}", notes.delete)
	mux.HandleFunc("GET /files", files.list)
	mux.HandleFunc("POST /files", files.upload)
	mux.HandleFunc("GET /files/{name}", files.download)
	mux.HandleFunc("DELETE /files/{name}", files.delete)
	mux.HandleFunc("GET /events", events.stream)
	mux.HandleFunc("GET /chat", chat.join)
	mux.Handle("GET /", http.FileServerFS(pages))

	sameOrigin := http.NewCrossOriginProtection().Handler(mux)
	return &service{handler: logRequests(log, recoverPanics(log, sameOrigin)), chat: chat}, nil
}
