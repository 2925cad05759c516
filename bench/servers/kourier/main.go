// Kourier is kourier as it is benchmarked: with -mode fast /hello comes from a Fast handler and the rest from an
// http.Handler, with -mode handler all of it from that.
package main

import (
	"flag"
	"log"

	"github.com/kourier-go/kourier"
	"github.com/kourier-go/kourier/bench/servers/internal/app"
)

func main() {
	mode := flag.String("mode", "fast", "fast or handler")
	flags := app.Parse()
	srv := &kourier.Server{
		Addr:        flags.Address,
		Handler:     app.Handler(),
		ReadTimeout: flags.RequestTimeout,
		IdleTimeout: flags.IdleTimeout,
		Config:      kourier.Config{Workers: flags.Workers},
	}
	switch *mode {
	case "fast":
		srv.Fast = hello
	case "handler":
	default:
		log.Fatalf("-mode %q is neither fast nor handler", *mode)
	}
	log.Fatal(srv.ListenAndServe())
}

func hello(req *kourier.Request, res *kourier.Response) {
	if string(req.Path()) != "/hello" {
		res.Pass()
		return
	}
	res.Send(app.HelloType, []byte(app.Hello))
}
