// Package kourier is an HTTP server on a native core. The core, compact C++ that
// the go command compiles along, does all epoll, socket, timer and HTTP/1.1
// parsing work in native threads; handlers are written in Go. Requests come over
// in batches, so that the way from C to Go costs next to nothing, and an idle
// connection costs 64 bytes: no buffer, no goroutine, no Go object.
//
//	srv := &kourier.Server{
//		Addr: ":8080",
//		Fast: func(req *kourier.Request, res *kourier.Response) {
//			res.Send("text/plain", []byte("Hello World!"))
//		},
//	}
//	log.Fatal(srv.ListenAndServe())
//
// A [FastHandler] runs on the native thread that has parsed the request and must
// not block. [FastMux] routes between several; [Server.Static] answers without
// entering Go. What Fast passes, or everything if there is none, goes to Handler:
// an [http.Handler] as for net/http, on a goroutine, which may block, stream and
// hijack. A program that was written for net/http changes over by one word:
//
//	srv := &kourier.Server{Addr: ":8080", Handler: mux} // was &http.Server{…}
//
// The parser accepts what RFC 9110 and RFC 9112 allow and refuses everything
// else with the status they name. All limits and timeouts have safe defaults.
//
// The core needs Linux, cgo and a C++20 compiler. Elsewhere, and over TLS, the
// same [Server] serves on net/http.
package kourier
