// Echo answers every request with its own body: 200 to any method on any path,
// no body to HEAD, and 200 and the end of the connection to CONNECT. Conformance
// runs are made against it. It does so from a Fast handler or, with -mode handler,
// from an http.Handler.
//
//	go run ./examples/echo -a 127.0.0.1 -p 3276
//	curl -i --data-binary 'what you say' http://127.0.0.1:3276/
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
	port := flag.Uint("p", 3276, "`port` to listen on; 0 for any that is free")
	mode := flag.String("mode", "fast", "fast for a Fast handler, handler for an http.Handler that does the same")
	flag.Parse()

	srv := &kourier.Server{}
	switch *mode {
	case "fast":
		srv.Fast = echo
	case "handler":
		srv.Handler = http.HandlerFunc(echoHTTP)
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

func echo(req *kourier.Request, res *kourier.Response) {
	body, _ := req.Body()
	res.Send("application/octet-stream", body)
}

func echoHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // half an echo is none
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodConnect {
		w.Header().Set("Connection", "close")
	}
	_, _ = w.Write(body) // a client that has gone hears nothing
}
