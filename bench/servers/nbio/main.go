// Nbio is the HTTP server of github.com/lesismal/nbio as it is benchmarked: an event loop that calls net/http's handlers.
// It has no limit of the time that a request may take to come.
package main

import (
	"io"
	"log"
	"net/http"
	"runtime"
	"strconv"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"

	"github.com/kourier-go/kourier/bench/servers/internal/app"
)

func main() {
	flags := app.Parse()
	if flags.Workers > 0 {
		runtime.GOMAXPROCS(flags.Workers)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", hello)
	others := app.Handler()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		others.ServeHTTP(inPieces{w}, r)
	})
	logging.SetLevel(logging.LevelError) // it tells of its start on standard output otherwise
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network:       "tcp",
		Addrs:         []string{flags.Address},
		Handler:       mux,
		NPoller:       flags.Workers,
		KeepaliveTime: flags.IdleTimeout,
	})
	if err := engine.Start(); err != nil {
		log.Fatal(err)
	}
	select {}
}

// pieceSize is the least size that nbio sends without collecting it first, in bytes.
const pieceSize = 64 << 10

// inPieces copies without nbio's ReadFrom, which answers 500 to what is no file, and in
// pieces that it does not collect: of those it miscounts what was written.
type inPieces struct{ http.ResponseWriter }

// ReadFrom writes what source has.
func (w inPieces) ReadFrom(source io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w.ResponseWriter}, source, make([]byte, pieceSize))
}

// hello declares the size of its answer, which nbio would send in chunks otherwise.
func hello(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", app.HelloType)
	w.Header().Set("Content-Length", strconv.Itoa(len(app.Hello)))
	_, _ = io.WriteString(w, app.Hello) // a client that has gone hears nothing
}
