package abi

import "unsafe"

// Everything in this file looks at memory of the core without copying it. What
// the functions return is valid during the on_batch call that delivered the
// batch, and not a moment longer; of a request whose memory is Go's, for ever.

// Slice returns the requests of the batch.
func (b *Batch) Slice() []Request {
	return unsafe.Slice((*Request)(b.Requests), b.Count)
}

// NoticeSlice returns the notices that came with the batch.
func (b *Batch) NoticeSlice() []Notice {
	return unsafe.Slice((*Notice)(b.Notices), b.NoticeCount)
}

// Bytes returns what has come of the refused request.
func (n *Notice) Bytes() []byte {
	return unsafe.Slice((*byte)(n.Data), n.DataSize)
}

// Free returns the unused room of Out as a slice of full length. What is written
// at its start becomes part of an answer when OutSize is advanced over it.
func (b *Batch) Free() []byte {
	return unsafe.Slice((*byte)(b.Out), b.OutCapacity)[b.OutSize:]
}

// DateLine returns the Date field line of this turn, with its CRLF.
func (b *Batch) DateLine() []byte {
	return unsafe.Slice((*byte)(b.Date), b.DateSize)
}

// Bytes returns size bytes of the head from offset on. Its capacity is its
// length, so that an append copies instead of writing over the neighbours.
func (r *Request) Bytes(offset, size uint32) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(r.Base, offset)), size)
}

// Text returns the first size bytes of the head as a string that shares their
// memory: that must be Go memory, and never be written to again.
func (r *Request) Text(size uint32) string {
	return unsafe.String((*byte)(r.Base), size)
}

// From returns the part of block that begins with the head of r, which lies in it.
func (r *Request) From(block []byte) []byte {
	return block[uintptr(r.Base)-uintptr(unsafe.Pointer(unsafe.SliceData(block))):]
}

// FieldSlice returns the field lines in the order received.
func (r *Request) FieldSlice() []Field {
	return unsafe.Slice((*Field)(r.Fields), r.FieldCount)
}

// BodyBytes returns the body with its framing removed, capped like Bytes.
func (r *Request) BodyBytes() []byte {
	return unsafe.Slice((*byte)(r.Body), r.BodySize)
}

// trailerEnd is the empty line that ends a trailer section.
const trailerEnd = "\r\n"

// hasTrailerSection reports whether a trailer section stands behind the body.
func (r *Request) hasTrailerSection() bool {
	return r.Flags&(RequestChunked|RequestBodyOpen) == RequestChunked
}

// TrailerLines returns the field lines behind a chunked body that came whole, each
// with its CRLF, as a string that shares their memory; "" behind any other body. r is
// a record of the core's, or one that Own has made.
func (r *Request) TrailerLines() string {
	if !r.hasTrailerSection() {
		return ""
	}
	behind := unsafe.Add(r.Body, r.BodySize)
	size := 0
	for lineStart := true; ; size++ {
		octet := *(*byte)(unsafe.Add(behind, size))
		if lineStart && octet == trailerEnd[0] {
			return unsafe.String((*byte)(behind), size)
		}
		lineStart = octet == '\n'
	}
}

// StringBytes returns the bytes of s without copying them. They must not be
// written to.
func StringBytes(s string) []byte {
	return unsafe.Slice(unsafe.StringData(s), len(s))
}

// NoEscape hides data from escape analysis, so that a caller's []byte("…") stays
// on its stack although it is handed to a function that the compiler cannot see
// into. The callee must be done with data when it returns, and the caller must
// runtime.KeepAlive the original until then.
func NoEscape(data []byte) []byte {
	first := unsafe.SliceData(data)
	address := *(*uintptr)(unsafe.Pointer(&first)) // a number, which escape analysis does not follow
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), len(data))
}
