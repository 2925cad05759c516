package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	fileCountMax  = 1000
	fileNameMax   = 200 // bytes
	uploadTimeout = 5 * time.Minute
)

// A file is one that was uploaded.
type file struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	etag     string
	path     string // in the directory; the client's name is never used there
}

// files keeps uploaded files in a directory.
type files struct {
	directory string
	sizeMax   int64 // of the body of an upload, in bytes
	events    *events
	log       *slog.Logger

	mu     sync.Mutex
	byName map[string]file
}

func newFiles(directory string, sizeMax int64, e *events, log *slog.Logger) *files {
	return &files{directory: directory, sizeMax: sizeMax, events: e, log: log, byName: map[string]file{}}
}

func (f *files) list(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	all := slices.AppendSeq([]file{}, maps.Values(f.byName))
	f.mu.Unlock()
	slices.SortFunc(all, func(a, b file) int { return strings.Compare(a.Name, b.Name) })
	writeJSON(w, http.StatusOK, map[string][]file{"files": all})
}

// upload stores the first file of a form. It replaces one of the same name.
func (f *files) upload(w http.ResponseWriter, r *http.Request) {
	deadline := time.Now().Add(uploadTimeout)
	if err := http.NewResponseController(w).SetReadDeadline(deadline); err != nil {
		f.fail(w, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, f.sizeMax)
	name, content, err := firstFile(r)
	if err != nil {
		writeBodyError(w, err)
		return
	}
	if !isFileName(name) {
		writeError(w, http.StatusUnprocessableEntity, "a file needs a plain name")
		return
	}
	stored, err := f.receive(name, content)
	var ours *fs.PathError
	switch {
	case errors.As(err, &ours):
		f.fail(w, err)
		return
	case err != nil:
		writeBodyError(w, err)
		return
	}
	if !f.add(stored) {
		f.remove(stored)
		writeError(w, http.StatusInsufficientStorage, "there are too many files")
		return
	}
	f.events.publish(event{name: "file-stored", data: stored})
	w.Header().Set("Location", "/files/"+url.PathEscape(name))
	writeJSON(w, http.StatusCreated, stored)
}

// firstFile returns the first file of a form, whose content is yet to come.
func firstFile(r *http.Request) (name string, content io.Reader, err error) {
	form, err := r.MultipartReader()
	if err != nil {
		return "", nil, err
	}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return "", nil, errors.New("the form has no file")
		}
		if err != nil {
			return "", nil, err
		}
		if part.FileName() != "" {
			return part.FileName(), part, nil
		}
	}
}

func isFileName(name string) bool {
	return len(name) <= fileNameMax && name != "." && name != ".." &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == unicode.ReplacementChar || unicode.IsControl(r) })
}

// receive writes the content to the directory as it comes. A [*fs.PathError] is
// the fault of the directory, all others are of the content.
func (f *files) receive(name string, content io.Reader) (_ file, err error) {
	to, err := os.CreateTemp(f.directory, "upload-*")
	if err != nil {
		return file{}, err
	}
	stored := file{Name: name, path: to.Name()}
	defer func() {
		err = errors.Join(err, to.Close())
		if err != nil {
			f.remove(stored)
		}
	}()
	hash := sha256.New()
	stored.Size, err = io.Copy(io.MultiWriter(to, hash), content)
	stored.Modified = time.Now().UTC()
	stored.etag = fmt.Sprintf("%q", hex.EncodeToString(hash.Sum(nil)))
	return stored, err
}

func (f *files) add(stored file) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	replaced, exists := f.byName[stored.Name]
	if !exists && len(f.byName) == fileCountMax {
		return false
	}
	f.byName[stored.Name] = stored
	if exists {
		f.remove(replaced)
	}
	return true
}

// download answers with a file, ranges of it, or that the client has it already.
func (f *files) download(w http.ResponseWriter, r *http.Request) {
	found, content, err := f.open(r.PathValue("name"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		writeError(w, http.StatusNotFound, "there is no such file")
		return
	case err != nil:
		f.fail(w, err)
		return
	}
	defer func() { _ = content.Close() }() // it was only read
	w.Header().Set("ETag", found.etag)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": found.Name}))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, found.Name, found.Modified, content)
}

// open holds f.mu, so that the file is not removed between the two steps.
func (f *files) open(name string) (file, *os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found, ok := f.byName[name]
	if !ok {
		return file{}, nil, fs.ErrNotExist
	}
	content, err := os.Open(found.path)
	return found, content, err
}

func (f *files) delete(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	f.mu.Lock()
	found, ok := f.byName[name]
	delete(f.byName, name)
	f.mu.Unlock()
	if !ok {
		writeError(w, http.StatusNotFound, "there is no such file")
		return
	}
	f.remove(found)
	f.events.publish(event{name: "file-deleted", data: found})
	w.WriteHeader(http.StatusNoContent)
}

// remove deletes what nobody can find any more. Downloads that have begun go on.
func (f *files) remove(gone file) {
	if err := os.Remove(gone.path); err != nil {
		f.log.Warn("a file stays behind", "err", err)
	}
}

// fail answers for a mistake of the service's own.
func (f *files) fail(w http.ResponseWriter, err error) {
	f.log.Error("files", "err", err)
	writeError(w, http.StatusInternalServerError, "internal error")
}
