package kourier

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Error tells the status that says what was wrong with the body.
func (e *bodyError) Error() string {
	return fmt.Sprintf("kourier: request body refused: %d %s", e.code, http.StatusText(e.code))
}

// A requestBody is the Request.Body of a request that has one. What came with the
// head is read from memory, the rest of an open body through the link. Reads of
// several goroutines wait for one another.
type requestBody struct {
	exchange *exchange
	closed   atomic.Bool // by the handler or because it has returned
	awaited  atomic.Bool // the client waits for 100 Continue and was not told

	mu      sync.Mutex
	data    []byte // unread, of a body that came whole
	link    link   // the rest of an open body; nil: there is none
	stream  *bufio.Reader
	left    int64  // bytes that were declared and not read; -1: chunked, so that none were declared
	limit   int64  // the largest body that the core lets through, for the error
	trailer string // the field lines behind it, as far as they have come, until Request.Trailer has them
	err     error  // what all further reads return
}

// Read reads the body. The first read of one that the client holds back until it
// is told to send tells it so. When it returns io.EOF, Request.Trailer is filled. The
// error is io.ErrUnexpectedEOF if the client has gone before the end,
// [http.ErrBodyReadAfterClose] after Close, after the handler has returned and after
// the rest was drained to make way for the answer, a [*http.MaxBytesError] beyond
// Config.MaxBodyBytes, and one that wraps [os.ErrDeadlineExceeded] after the read deadline.
func (b *requestBody) Read(p []byte) (int, error) {
	if err := b.begin(); err != nil {
		return 0, err
	}
	defer b.mu.Unlock()
	return b.fillTrailer(b.read(p))
}

// WriteTo writes the rest of the body to w, for io.Copy. While nothing comes it holds
// no buffer. The error is w's or one of those of Read.
func (b *requestBody) WriteTo(w io.Writer) (n int64, err error) {
	if writer, ok := w.(*responseWriter); ok {
		return writer.copyFrom(struct{ io.Reader }{b}) // who does not read the answer holds none either
	}
	for more := true; more; {
		var size int
		size, more, err = b.writeSome(w)
		n += int64(size)
	}
	return n, err
}

// errInvalidWrite is for a writer that claims what cannot be.
var errInvalidWrite = errors.New("kourier: invalid write result")

// writeSome waits for something of the body and writes it, at most copySize bytes, to w.
// It reports whether there may be more.
func (b *requestBody) writeSome(w io.Writer) (n int, more bool, err error) {
	buffer, got, readErr := b.readBuffer()
	if buffer == nil {
		return 0, false, readErr
	}
	defer copyBuffers.Put(buffer)
	if got > 0 {
		n, err = w.Write(buffer[:got])
		switch {
		case n < 0 || n > got:
			return 0, false, errInvalidWrite
		case err == nil && n < got:
			err = io.ErrShortWrite
		}
	}
	switch {
	case err != nil:
		return n, false, err
	case errors.Is(readErr, io.EOF):
		return n, false, nil
	}
	return n, readErr == nil, readErr
}

// readBuffer is Read into a buffer, which it takes when something has come. b.mu is
// held from the first try on: what the link then tells is for this goroutine.
func (b *requestBody) readBuffer() (buffer *[copySize]byte, n int, err error) {
	if err := b.begin(); err != nil {
		return nil, 0, err
	}
	defer b.mu.Unlock()
	for {
		buffer = copyBuffers.Get().(*[copySize]byte)
		n, err = b.fillTrailer(b.tryRead(buffer[:]))
		if !errors.Is(err, errBlocked) {
			return buffer, n, err
		}
		copyBuffers.Put(buffer)
		if err := b.keep(b.link.awaitBody()); err != nil {
			return nil, 0, err
		}
	}
}

// begin locks b.mu for who wants to read, unless b is closed.
func (b *requestBody) begin() error {
	if b.closed.Load() {
		return http.ErrBodyReadAfterClose
	}
	b.sendContinue()
	b.mu.Lock()
	if b.closed.Load() {
		b.mu.Unlock()
		return http.ErrBodyReadAfterClose
	}
	return nil
}

// sendContinue has the client send the body, if it waits to be told.
func (b *requestBody) sendContinue() {
	if !b.awaited.Load() {
		return
	}
	a := b.exchange.writer.lock()
	if a == nil {
		return
	}
	s := a.sender
	defer s.mu.Unlock()
	if b.awaited.CompareAndSwap(true, false) {
		a.engine.counters.responses.count(http.StatusContinue)
		s.pending = append(s.pending, "HTTP/1.1 100 Continue\r\n\r\n"...)
		s.send(nil)
	}
}

// forgetContinue is for when the client is not to be told any more. Most never wait for
// it, and a load costs less than a store.
func (b *requestBody) forgetContinue() {
	if b != nil && b.awaited.Load() {
		b.awaited.Store(false)
	}
}

// fillTrailer fills Request.Trailer if err says that the body has ended. b.mu is held.
func (b *requestBody) fillTrailer(n int, err error) (int, error) {
	if errors.Is(err, io.EOF) && b.trailer != "" {
		addTrailer(&b.exchange.request, b.trailer)
		b.trailer = ""
	}
	return n, err
}

// Close makes later reads fail. It does not wait for the rest of the body.
func (b *requestBody) Close() error {
	b.closed.Store(true)
	return nil
}

// read reads whether b is closed or not. b.mu is held.
func (b *requestBody) read(p []byte) (int, error) {
	for {
		n, err := b.tryRead(p)
		if !errors.Is(err, errBlocked) {
			return n, err
		}
		if err := b.keep(b.link.awaitBody()); err != nil {
			return 0, err
		}
	}
}

// tryRead is read, with errBlocked in place of waiting for the link.
func (b *requestBody) tryRead(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.link == nil && b.stream == nil {
		n = copy(p, b.data)
		if b.data = b.data[n:]; len(b.data) == 0 {
			b.err = io.EOF
		}
		return n, b.err
	}
	if b.left >= 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if b.stream != nil {
		n, err = b.stream.Read(p)
	} else {
		n, err = b.link.tryReadBody(p)
	}
	if errors.Is(err, errBlocked) {
		return n, err
	}
	if b.left >= 0 {
		b.left -= int64(n)
		switch {
		case b.left == 0:
			err = io.EOF
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
		}
	} else if errors.Is(err, io.EOF) {
		err = b.readTrailer()
	}
	return n, b.keep(err)
}

// readTrailer keeps what stands behind an open body in chunks, for Read. It returns
// io.EOF, or why there is none. b.mu is held.
func (b *requestBody) readTrailer() (err error) {
	if b.trailer, err = b.link.readTrailer(); err != nil {
		return err
	}
	return io.EOF
}

// keep remembers an error, which all later reads return; but for a deadline, which
// can be moved: not in chunks, as net/http has it. It returns the one to tell.
func (b *requestBody) keep(err error) error {
	if b.left >= 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	var refused *bodyError
	if errors.As(err, &refused) && refused.code == http.StatusRequestEntityTooLarge {
		err = &http.MaxBytesError{Limit: b.limit}
	}
	b.err = err
	return err
}

// drainBuffers hold what is read of bodies that nobody wants.
var drainBuffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// drain reads the rest of an open body unless it is larger than max bytes. It
// reports whether it has come to the end. b is closed if anything was read and no error
// stands in the way of more: the handler must not take what is left for the whole.
func (b *requestBody) drain(max int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link == nil || b.err != nil || b.left > max {
		return b.link == nil || errors.Is(b.err, io.EOF)
	}
	buffer := drainBuffers.Get().(*[16 << 10]byte)
	defer drainBuffers.Put(buffer)
	left := max + 1 // one more, because the end may be told behind the last byte
	for left > 0 {
		n, err := b.read(buffer[:min(left, int64(len(buffer)))])
		left -= int64(n)
		if err != nil {
			ended := errors.Is(err, io.EOF)
			if left <= max && (ended || b.err == nil) {
				b.closed.Store(true)
			}
			return ended
		}
	}
	b.closed.Store(true)
	return false
}

// atEnd reports whether an open body was read to its end.
func (b *requestBody) atEnd() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Is(b.err, io.EOF)
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// settle ends the use of b, which is closed, when its handler has returned. A goroutine
// that is still reading is interrupted; clean is false then: what it leaves cannot be
// drained.
func (b *requestBody) settle() (clean bool) {
	if b == nil { // there is none
		return true
	}
	interrupted := b.interrupt()
	defer b.mu.Unlock()
	if !interrupted {
		return true
	}
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}
	return b.link == nil
}

// interrupt locks b.mu. It reports whether it had to end a read for that.
func (b *requestBody) interrupt() bool {
	if b.mu.TryLock() {
		return false
	}
	if b.link != nil {
		b.link.setReadDeadline(longAgo)
	}
	b.mu.Lock()
	return true
}

// unread returns what a hijacker finds of a body that came whole, as far as that
// is as the client has sent it: chunks were taken apart on the way. b.mu is held.
func (b *requestBody) unread() []byte {
	if b.left < 0 {
		return nil
	}
	return b.data
}

// hijacked has the rest of the body read from stream, which is what the hijacker
// reads from too. One that came whole and in chunks stays readable from memory;
// one that is open and in chunks does not. b.mu is held.
func (b *requestBody) hijacked(stream *bufio.Reader) {
	switch {
	case b.err != nil:
	case b.left >= 0:
		if b.link == nil {
			b.left = int64(len(b.data))
		}
		b.stream = stream
	case b.link != nil:
		b.err = http.ErrHijacked
	}
	b.link = nil
}
