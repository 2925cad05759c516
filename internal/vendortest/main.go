// Command vendortest is a user's program: a module of its own that depends on
// kourier. The checks vendor its dependencies, build it from the vendored copy
// with an empty cache and run it; it asks its own server once.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/kourier-go/kourier"
)

func main() {
	answer, err := askOnce()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer)
}

func askOnce() (answer string, err error) {
	server := &kourier.Server{
		Fast: func(_ *kourier.Request, res *kourier.Response) { res.Send("text/plain", []byte("vendored")) },
	}
	address, err := server.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()
	defer func() {
		err = errors.Join(err, server.Close())
		if end := <-served; !errors.Is(end, kourier.ErrServerClosed) {
			err = errors.Join(err, end)
		}
	}()

	response, err := http.Get("http://" + address.String() + "/")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}
