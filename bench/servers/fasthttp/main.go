// Fasthttp is github.com/valyala/fasthttp as it is benchmarked.
package main

import (
	"io"
	"log"
	"runtime"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/kourier-go/kourier/bench/servers/internal/app"
)

// concurrencyMax is the connections that fasthttp serves at once; its default of 262144 is fewer than the benchmark makes.
const concurrencyMax = 2 << 20

func main() {
	flags := app.Parse()
	if flags.Workers > 0 {
		runtime.GOMAXPROCS(flags.Workers)
	}
	srv := &fasthttp.Server{
		Handler:           serve,
		Concurrency:       concurrencyMax,
		ReadTimeout:       flags.RequestTimeout,
		IdleTimeout:       flags.IdleTimeout,
		StreamRequestBody: true, // uploads are counted as they come, as the other servers do
	}
	log.Fatal(srv.ListenAndServe(flags.Address))
}

func serve(ctx *fasthttp.RequestCtx) {
	switch string(ctx.Path()) {
	case "/hello":
		ctx.SetContentType(app.HelloType)
		ctx.SetBodyString(app.Hello)
	case "/upload":
		size, err := io.Copy(io.Discard, ctx.RequestBodyStream())
		if err != nil {
			ctx.Error(err.Error(), fasthttp.StatusBadRequest)
			return
		}
		ctx.SetBodyString(strconv.FormatInt(size, 10))
	case "/download":
		size, err := app.DownloadSize(string(ctx.QueryArgs().Peek("size")))
		if err != nil {
			ctx.Error(err.Error(), fasthttp.StatusBadRequest)
			return
		}
		ctx.SetBodyStream(io.LimitReader(app.Zeros{}, int64(size)), size)
	default:
		ctx.Error("Not Found", fasthttp.StatusNotFound)
	}
}
