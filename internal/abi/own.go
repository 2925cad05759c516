package abi

import "unsafe"

// A Room is where Own puts what it copies if there is not much of it, so that a
// struct that holds one needs no further allocations for that.
type Room struct {
	requests [1]Request
	fields   [fieldsInRoom]Field
}

// fieldsInRoom is more field lines than simple clients send.
const fieldsInRoom = 6

// Own copies requests of one connection into Go memory, with everything that they
// show: the copies may be kept as long as the room, and as many, to whose memory several
// of them are appended. They stand one behind the other in the core's memory, as they do
// in block, which may be kept for ever. A room is used once.
func (room *Room) Own(requests, many []Request) (block []byte, own []Request, fields []Field) {
	last := &requests[len(requests)-1]
	start := requests[0].Base
	size := uintptr(last.Body) - uintptr(start) + uintptr(last.BodySize)
	if last.hasTrailerSection() {
		size += uintptr(len(last.TrailerLines()) + len(trailerEnd))
	}
	// One more, because an empty body at the end stands behind it, where nothing else may be.
	block = make([]byte, size, size+1)[:size:size]
	copy(block, unsafe.Slice((*byte)(start), size))
	base := unsafe.Pointer(unsafe.SliceData(block))

	count := 0
	for i := range requests {
		if i == 0 || requests[i].Fields != requests[i-1].Fields {
			count += int(requests[i].FieldCount)
		}
	}
	if len(requests) == 1 {
		many = room.requests[:0]
	}
	own = append(many, requests...)
	fields = room.fields[:0]
	if count > len(room.fields) {
		fields = make([]Field, 0, count)
	}
	var table unsafe.Pointer
	for i := range own {
		r := &own[i]
		r.Base = unsafe.Add(base, uintptr(r.Base)-uintptr(start))
		r.Body = unsafe.Add(base, uintptr(r.Body)-uintptr(start))
		if i == 0 || requests[i].Fields != requests[i-1].Fields {
			first := len(fields)
			fields = append(fields, requests[i].FieldSlice()...)
			table = unsafe.Pointer(unsafe.SliceData(fields[first:]))
		}
		r.Fields = table
	}
	return block, own, fields
}
