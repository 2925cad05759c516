package main

import (
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// logRequests logs each request when it has been answered.
func logRequests(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorded := record(w)
		begun := time.Now()
		defer func() {
			log.LogAttrs(r.Context(), slog.LevelInfo, "request",
				slog.String("method", r.Method),
				slog.String("path", r.URL.Path),
				slog.Int("status", recorded.status),
				slog.Int64("size", recorded.size),
				slog.Duration("duration", time.Since(begun)),
				slog.String("remote", r.RemoteAddr))
		}()
		next.ServeHTTP(recorded, r)
	})
}

// recoverPanics answers 500 for a handler that panics, or ends the connection if
// the answer has begun.
func recoverPanics(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorded := record(w)
		defer func() {
			value := recover()
			switch {
			case value == nil:
				return
			case value == http.ErrAbortHandler: //nolint:errorlint // a panic is compared as net/http does
				panic(value)
			}
			log.ErrorContext(r.Context(), "panic", "path", r.URL.Path, "value", value, "stack", string(debug.Stack()))
			if recorded.status != 0 {
				panic(http.ErrAbortHandler)
			}
			writeError(recorded, http.StatusInternalServerError, "internal error")
		}()
		next.ServeHTTP(recorded, r)
	})
}

// A recorder remembers how a request was answered.
type recorder struct {
	http.ResponseWriter
	status int   // 0 before the answer begins
	size   int64 // of the body, in bytes
}

// record returns w itself if it is a recorder.
func record(w http.ResponseWriter) *recorder {
	if r, ok := w.(*recorder); ok {
		return r
	}
	return &recorder{ResponseWriter: w}
}

// Unwrap is for [http.ResponseController].
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	informational := status < 200 && status != http.StatusSwitchingProtocols
	if r.status == 0 && !informational {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.begin()
	n, err := r.ResponseWriter.Write(p)
	r.size += int64(n)
	return n, err
}

// ReadFrom keeps the way open on which the server sends files without copying.
func (r *recorder) ReadFrom(from io.Reader) (int64, error) {
	r.begin()
	n, err := io.Copy(r.ResponseWriter, from)
	r.size += n
	return n, err
}

func (r *recorder) begin() {
	if r.status == 0 {
		r.status = http.StatusOK
	}
}
