// Nethttp is a small service written for net/http alone: notes as JSON, files to
// upload and download, server-sent events, a WebSocket chat, static files. It runs
// unchanged on kourier and on net/http, so that the two can be compared.
//
//	go run . -a 127.0.0.1 -p 3277
//	go run . -a 127.0.0.1 -p 3277 -engine=net/http
//	curl -i http://127.0.0.1:3277/notes
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	address := flag.String("a", "127.0.0.1", "`address` to listen on; empty for all")
	port := flag.Uint("p", 3277, "`port` to listen on; 0 for any that is free")
	engine := flag.String("engine", engineKourier, "server to run on: kourier or net/http")
	workers := flag.Int("worker-count", 0, "`number` of kourier's native threads; 0 for one a core")
	flag.Parse()

	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(stop, cancel) // a second signal ends the program at once
	p := program{
		address:       net.JoinHostPort(*address, strconv.FormatUint(uint64(*port), 10)),
		engine:        *engine,
		workers:       *workers,
		uploadSizeMax: 64 << 20,
		grace:         10 * time.Second,
		listening:     func(a net.Addr) { fmt.Println("listening on", a) },
		log:           log,
	}
	if err := p.run(stop); err != nil {
		log.Error("the service has ended", "err", err)
		os.Exit(1)
	}
}
