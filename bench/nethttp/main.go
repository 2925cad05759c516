// Nethttp is examples/hello on net/http, for bench/handler.sh.
package main

import (
	"flag"
	"log"
	"net/http"
	"time"
)

func main() {
	address := flag.String("a", "127.0.0.1:3277", "`address` to listen on")
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte("Hello World!")) // a client that has gone hears nothing
	})
	srv := &http.Server{Addr: *address, Handler: mux, ReadTimeout: 20 * time.Second, IdleTimeout: 60 * time.Second}
	log.Fatal(srv.ListenAndServe())
}
