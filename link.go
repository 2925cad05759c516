package kourier

import (
	"net"
	"net/netip"
	"os"
	"time"
)

// bulkSize is how much a goroutine moves of a body before it lets others run, in bytes.
const bulkSize = 64 << 10

// A link is a connection of the core that a goroutine has taken over, with some
// of its requests, to answer them and give it back. It is used by one goroutine
// at a time, but for tryReadBody, awaitBody, readTrailer, setReadDeadline, setWriteDeadline and the
// addresses, which may run beside anything. Its calls block like those of a
// net.Conn, and end with an error that wraps net.ErrClosed when the server closes.
type link interface {
	// tryReadBody reads the body of the request that abi.RequestBodyOpen marks,
	// without its framing. errBlocked where nothing of it has come: then awaitBody
	// waits for some. At its end: 0, io.EOF. io.ErrUnexpectedEOF when the
	// peer has gone before; a *bodyError when the framing is broken or the body too
	// large; os.ErrDeadlineExceeded after the read deadline, or when the body comes
	// more slowly than Config.MinBodyRate. After an error, the same again, but after a deadline that was moved.
	tryReadBody(p []byte) (int, error)

	// awaitBody waits for what tryReadBody has not found, and may return without. Its
	// errors are those of deadline and rate.
	awaitBody() error

	// readTrailer returns the trailer section of a chunked body that tryReadBody has
	// read to its end: checked field lines, each with its CRLF.
	readTrailer() (lines string, err error)

	// age is the time since the first byte of the request that abi.RequestBodyOpen marks.
	age() time.Duration

	// write sends head and then body, all of both unless there is an error:
	// os.ErrDeadlineExceeded after the write deadline or when the peer reads more
	// slowly than Config.MinDrainRate, or one that wraps net.ErrClosed once the
	// connection is lost. n counts what was handed to the kernel.
	write(head, body []byte) (n int, err error)

	// room returns about how many bytes write can send without waiting: 0 if the socket has
	// no room, or little. Then awaitRoom waits for some, and returns that, or 0 after
	// the deadline, when the peer reads too slowly or has gone: then write tells.
	room() int
	awaitRoom() int

	// sendFile sends size bytes of f from its offset on, which it advances, without
	// copying them through the process. errNoSendFile, and n 0, when f is not a file of that kind.
	sendFile(f *os.File, size int64) (n int64, err error)

	// The deadlines of net.Conn. The zero time is none. They wake calls that wait.
	setReadDeadline(t time.Time)
	setWriteDeadline(t time.Time)

	remote() netip.AddrPort // of the peer; invalid for a Unix socket
	localAddr() net.Addr
	remoteAddr() net.Addr

	// onGone has f called, on some goroutine, once when the peer closes the
	// connection or its half of it; at once if it has. Replaces an earlier f; nil for none.
	onGone(f func())

	// hijack takes the connection out of the core and ends the link. rest is what
	// was received and not read, raw. conn is a *net.TCPConn or *net.UnixConn without deadlines.
	hijack() (conn net.Conn, rest []byte, err error)

	// release gives the connection back and ends the link. how is abi.Release*.
	release(how uint32)
}

// A bodyError says why the rest of a request's body is refused.
type bodyError struct{ code int }
