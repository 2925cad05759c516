// Package app is what the benchmarked servers answer, and the flags that they are started with.
package app

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Hello is the answer to GET /hello, and HelloType its Content-Type.
const (
	Hello     = "Hello World!"
	HelloType = "text/plain"
)

// DownloadSizeMax bounds what GET /download?size=N is given, in bytes.
const DownloadSizeMax = 1 << 30

// Zeros is what downloads consist of: it is read without end.
type Zeros struct{}

var zeros [64 << 10]byte

// Read fills p as far as 64 KiB.
func (Zeros) Read(p []byte) (int, error) { return copy(p, zeros[:]), nil }

// Flags are what every server of the benchmark understands. The timeouts are those of the published runs unless told
// otherwise; a server that has no such timeout ignores them.
type Flags struct {
	Address        string        // "host:port"
	Workers        int           // threads that serve; 0 for the server's own choice
	RequestTimeout time.Duration // that a whole request may take to come
	IdleTimeout    time.Duration // that a connection may have no request for
}

// Parse reads the command line, and ends the process if it is wrong. Flags that only one server has are defined before.
func Parse() Flags {
	address := flag.String("a", "127.0.0.1", "`address` to listen on")
	port := flag.Uint("p", 3275, "`port` to listen on")
	workers := flag.Int("worker-count", 0, "`number` of threads that serve; 0 for the server's own choice")
	request := flag.Uint("request-timeout", 20, "`seconds` that a request may take to come")
	idle := flag.Uint("idle-timeout", 60, "`seconds` that a connection may stay idle")
	flag.Parse()
	return Flags{
		Address:        net.JoinHostPort(*address, strconv.FormatUint(uint64(*port), 10)),
		Workers:        *workers,
		RequestTimeout: time.Duration(*request) * time.Second,
		IdleTimeout:    time.Duration(*idle) * time.Second,
	}
}

// Handler answers as an http.Handler: GET /hello, POST /upload with the number of bytes that came, and
// GET /download?size=N with as many.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", HelloType)
		_, _ = io.WriteString(w, Hello) // a client that has gone hears nothing
	})
	mux.HandleFunc("POST /upload", upload)
	mux.HandleFunc("GET /download", download)
	return mux
}

func upload(w http.ResponseWriter, r *http.Request) {
	size, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return // the client has gone
	}
	answer := strconv.FormatInt(size, 10)
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = io.WriteString(w, answer)
}

func download(w http.ResponseWriter, r *http.Request) {
	size, err := DownloadSize(r.FormValue("size"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(size))
	_, _ = io.CopyN(w, Zeros{}, int64(size)) // a client that has gone hears nothing
}

// DownloadSize reads the size that a download is asked with.
func DownloadSize(text string) (int, error) {
	size, err := strconv.Atoi(text)
	if err != nil || size < 0 || size > DownloadSizeMax {
		return 0, fmt.Errorf("size must be a number from 0 to %d", DownloadSizeMax)
	}
	return size, nil
}
