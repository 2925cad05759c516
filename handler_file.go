package kourier

import (
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

// copySize is how much ReadFrom reads at once of what it must copy, in bytes.
const copySize = 32 << 10

// copyBuffers are for ReadFrom.
var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// ReadFrom copies the body from source until its end. A regular file, also one
// within an io.LimitedReader, goes from the kernel's cache to the socket.
func (w *responseWriter) ReadFrom(source io.Reader) (n int64, err error) {
	if file, limited, size := fileOf(source); size >= sendFileMin {
		n, err = w.sendFile(file, limited, size)
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
	room := copySize
	for more := true; more && err == nil; {
		var copied int64
		copied, more, err = w.copySome(source, room)
		n += copied
		if more && err == nil {
			room, err = w.awaitRoom()
		}
	}
	return n, err
}

// copySome copies size bytes, and up to a buffer's more, but something. It reports whether source
// may have more.
func (w *responseWriter) copySome(source io.Reader, size int) (n int64, more bool, err error) {
	buffer := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buffer)
	for {
		got, readErr := source.Read(buffer[:])
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
		case n >= int64(size):
			return n, true, nil
		}
	}
}

// awaitRoom returns how much may be written before the socket is to be asked again:
// half of what it has room for, since what it holds takes more than its size there.
func (w *responseWriter) awaitRoom() (int, error) {
	if w.done.Load() { // without the lock, which another connection may hold by then
		return 0, nil // the next Write says so
	}
	s := w.sender
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.done.Load() || w.hijacked || s.err != nil {
		return 0, nil
	}
	room, err := s.link.room()
	s.err = err
	return room / 2, err
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
// errNoSendFile where the body must be copied, at least what is left of it.
func (w *responseWriter) sendFile(file *os.File, limited *io.LimitedReader, size int64) (n int64, err error) {
	if w.done.Load() {
		return 0, ErrRequestDone
	}
	s := w.sender
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.done.Load() || w.hijacked {
		return w.writeNothing()
	}
	w.forgetContinue()
	if !w.wroteHeader {
		w.freeze(http.StatusOK)
	}
	switch {
	case w.isHead || !bodyAllowed(w.status) || s.err != nil:
		return 0, errNoSendFile
	case w.declared < 0 && !w.committed, w.chunking, w.declared >= 0 && size > w.declared-w.written:
		return 0, errNoSendFile
	case !w.committed && w.written == 0 && !w.frozen.hasType && !w.frozen.encoded:
		if n, err = w.sniff(file, limited); err != nil {
			return n, err
		}
		size -= n
	}
	w.flushBody()
	s.send(nil)
	if s.err != nil {
		return n, s.err
	}
	s.start = partLeft
	sent, err := w.handed.link.sendFile(file, size)
	w.written += sent
	if limited != nil {
		limited.N -= sent
	}
	if err != nil && !errors.Is(err, errNoSendFile) {
		s.err = err
	}
	return n + sent, err
}

// writeNothing returns what write returns when it is too late.
func (w *responseWriter) writeNothing() (int64, error) {
	_, err := w.write(nil)
	return 0, err
}

// sniff takes the beginning of a file, which tells its type.
func (w *responseWriter) sniff(file *os.File, limited *io.LimitedReader) (int64, error) {
	var beginning [sniffSize]byte
	n, err := io.ReadFull(file, beginning[:])
	if limited != nil {
		limited.N -= int64(n)
	}
	w.written += int64(n)
	w.take(beginning[:n])
	return int64(n), err
}
