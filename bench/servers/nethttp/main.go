// Nethttp is net/http's server as it is benchmarked.
package main

import (
	"log"
	"net/http"
	"runtime"

	"github.com/kourier-go/kourier/bench/servers/internal/app"
)

func main() {
	flags := app.Parse()
	if flags.Workers > 0 {
		runtime.GOMAXPROCS(flags.Workers)
	}
	srv := &http.Server{
		Addr:        flags.Address,
		Handler:     app.Handler(),
		ReadTimeout: flags.RequestTimeout,
		IdleTimeout: flags.IdleTimeout,
	}
	log.Fatal(srv.ListenAndServe())
}
