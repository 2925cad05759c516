package kourier

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"sync"
)

// errNoSendFile is what link.sendFile returns for files that it cannot send.
var errNoSendFile = errors.New("kourier: this file must be copied")

// sendFileMin is the least size of a file that is sent without copying it through
// the process, in bytes: a smaller one goes out with its head in one call.
const sendFileMin = 32 << 10

// copySize is how much is read at once of what must be copied, in bytes.
const copySize = 32 << 10

// copyBuffers are for ReadFrom, and for WriteTo of a body.
var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// ReadFrom copies the body from source until its end. A regular file, also one
// within an io.LimitedReader, goes from the kernel's cache to the socket.
func (w *responseWriter) ReadFrom(source io.Reader) (n int64, err error) {
	if file, limited, size := fileOf(source); size >= sendFileMin {
		a := w.lock()
		if a == nil {
			return 0, ErrRequestDone
		}
		n, err = a.sendFile(file, limited, size)
		if !errors.Is(err, errNoSendFile) {
			return n, err
		}
	}
	copied, err := w.copyFrom(source)
	return n + copied, err
}

// copyFrom copies through the process. While the client does not read it holds no
// buffer: after the first copySize bytes it fills one only where the socket has room.
func (w *responseWriter) copyFrom(source io.Reader) (n int64, err error) {
	for room := copySize; ; {
		copied, more, err := w.copySome(source, min(room, bulkSize))
		n += copied
		if !more {
			return n, err
		}
		if room = w.room(); room > 0 { // and others had their turn, without a buffer held
			continue
		}
		// A source that ends here needs no room.
		copied, more, err = w.copySome(source, probeSize)
		n += copied
		if !more {
			return n, err
		}
		room = max(w.awaitRoom(), probeSize)
	}
}

// probeSize is how much is read of a source to know whether there is more, in bytes: so
// little that a socket takes it which says that it has no room.
const probeSize = 512

// copySome copies at least one byte of what source has, and at most size. It reports
// whether there may be more.
func (w *responseWriter) copySome(source io.Reader, size int) (n int64, more bool, err error) {
	buffer := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buffer)
	for n < int64(size) {
		got, readErr := source.Read(buffer[:min(copySize, int64(size)-n)])
		if got > 0 {
			put, err := w.Write(buffer[:got])
			n += int64(put)
			if err != nil {
				return n, false, err
			}
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return n, false, nil
		case readErr != nil:
			return n, false, readErr
		}
	}
	return n, true, nil
}

// room returns how much may be written before the socket is to be asked again, 0 for
// nothing: half of what it has room for, since what it holds takes more than its size there.
func (w *responseWriter) room() int {
	s := w.lockForRoom()
	if s == nil {
		return copySize // the next Write says what is wrong
	}
	defer s.mu.Unlock()
	if len(s.pending) > collectSize {
		s.send(nil) // it would take the room that is found
	}
	return s.link.room() / 2
}

// awaitRoom waits until there is room, and returns how much, as room does. What it waits for in
// vain the next Write tells, if there is one.
func (w *responseWriter) awaitRoom() int {
	s := w.lockForRoom()
	if s == nil {
		return copySize
	}
	defer s.mu.Unlock()
	if s.armed { // who sends late would only wait too
		s.timer.Stop()
		s.armed = false
	}
	s.pending = bytes.Clone(s.pending) // little, in a buffer that may be large and need not wait with it
	room := s.link.awaitRoom()
	s.arm()
	return room / 2
}

// lockForRoom locks the sender's mu and returns the sender. If nothing can be written it
// returns nil, and locks nothing.
func (w *responseWriter) lockForRoom() *sender {
	a := w.lock()
	if a == nil {
		return nil
	}
	s := a.sender
	if a.hijacked || s.err != nil {
		s.mu.Unlock()
		return nil
	}
	return s
}

// fileOf returns the regular file that source is or limits, and how many bytes
// of it are to be sent. limited is nil or to be told what was sent.
func fileOf(source io.Reader) (file *os.File, limited *io.LimitedReader, size int64) {
	limited, _ = source.(*io.LimitedReader)
	if limited != nil {
		source = limited.R
	}
	file = plainFile(source)
	if file == nil {
		return nil, nil, 0
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil, 0
	}
	offset, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, nil, 0
	}
	size = info.Size() - offset
	if limited != nil {
		size = min(size, limited.N)
	}
	return file, limited, size
}

// plainFile returns the file that source is, nil if it is none. io.Copy hides it in
// a struct of package os that lacks its WriteTo method.
func plainFile(source io.Reader) *os.File {
	if file, ok := source.(*os.File); ok {
		return file
	}
	hidden := reflect.ValueOf(source)
	if hidden.Kind() != reflect.Struct || hidden.Type().PkgPath() != "os" {
		return nil
	}
	if field := hidden.FieldByName("File"); field.IsValid() && field.CanInterface() {
		file, _ := field.Interface().(*os.File)
		return file
	}
	return nil
}

// sendFile sends size bytes of file behind what was written. The error is
// errNoSendFile where the body must be copied, at least what is left of it. It unlocks
// sender.mu.
func (a *answer) sendFile(file *os.File, limited *io.LimitedReader, size int64) (n int64, err error) {
	s := a.sender
	defer s.mu.Unlock()
	if a.hijacked {
		return 0, http.ErrHijacked
	}
	a.implyHeader()
	switch {
	case a.isHead || !bodyAllowed(a.status) || s.err != nil:
		return 0, errNoSendFile
	case a.declared < 0 && !a.committed, a.chunking, a.declared >= 0 && size > a.declared-a.written:
		return 0, errNoSendFile
	case !a.committed && a.written == 0 && !a.frozen.hasType && !a.frozen.encoded:
		if n, err = a.sniff(file, limited); err != nil {
			return n, err
		}
		size -= n
	}
	a.flushBody()
	s.send(nil)
	if s.err != nil {
		return n, s.err
	}
	s.start = partLeft
	sent, err := a.handed.link.sendFile(file, size)
	a.written += sent
	if limited != nil {
		limited.N -= sent
	}
	if err != nil && !errors.Is(err, errNoSendFile) {
		s.err = err
		_ = a.failed()
	}
	return n + sent, err
}

// sniff takes the beginning of a file, which tells its type.
func (a *answer) sniff(file *os.File, limited *io.LimitedReader) (int64, error) {
	var beginning [sniffSize]byte
	n, err := io.ReadFull(file, beginning[:])
	if limited != nil {
		limited.N -= int64(n)
	}
	a.written += int64(n)
	a.take(beginning[:n])
	return int64(n), err
}
