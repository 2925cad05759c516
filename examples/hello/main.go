// Hello answers GET /hello and GET / with "Hello World!", from a Fast handler or,
// with -mode handler, from an http.Handler.
//
//	go run ./examples/hello -a 127.0.0.1 -p 3275
//	curl -i http://127.0.0.1:3275/hello
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/kourier-go/kourier"
)

func main() {
	address := flag.String("a", "127.0.0.1", "`address` to listen on; empty for all")
	port := flag.Uint("p", 3275, "`port` to listen on; 0 for any that is free")
	workers := flag.Int("worker-count", 0, "`number` of native threads; 0 for one a core")
	request := flag.Int("request-timeout", 20, "`seconds` that a whole request may take; 0 for no limit")
	idle := flag.Int("idle-timeout", 60, "`seconds` that a connection may stay idle; 0 for no limit")
	mode := flag.String("mode", "fast", "fast for a Fast handler, handler for an http.Handler that does the same")
	flag.Parse()

	srv := &kourier.Server{
		ReadTimeout: seconds(*request),
		IdleTimeout: seconds(*idle),
		Config:      kourier.Config{Workers: *workers},
	}
	switch *mode {
	case "fast":
		srv.Fast = hello
	case "handler":
		srv.Handler = http.HandlerFunc(helloHTTP)
	default:
		log.Fatalf("-mode %q is neither fast nor handler", *mode)
	}
	addr, err := srv.Listen("tcp", net.JoinHostPort(*address, strconv.FormatUint(uint64(*port), 10)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", addr)

	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	go func() {
		if err := srv.ListenAndServe(); !errors.Is(err, kourier.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	<-stop.Done()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		log.Print(errors.Join(err, srv.Close()))
	}
}

func hello(req *kourier.Request, res *kourier.Response) {
	switch string(req.Path()) {
	case "/", "/hello":
		res.Send("text/plain", []byte("Hello World!"))
	default:
		res.Pass()
	}
}

func helloHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/", "/hello":
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "Hello World!") // a client that has gone hears nothing
	default:
		http.NotFound(w, r)
	}
}

// seconds turns a flag into a timeout: 0 is none, which a Server says with a negative value.
func seconds(n int) time.Duration {
	if n == 0 {
		return -1
	}
	return time.Duration(n) * time.Second
}
