package abi

import "unsafe"

// MakeBatch returns a batch in Go memory, as the tests of the request path use
// it in the core's place.
func MakeBatch(requests []Request, out []byte, date string) *Batch {
	return &Batch{
		Requests:    unsafe.Pointer(unsafe.SliceData(requests)),
		Count:       uint32(len(requests)),
		Out:         unsafe.Pointer(unsafe.SliceData(out)),
		OutCapacity: uint32(len(out)),
		Date:        unsafe.Pointer(unsafe.StringData(date)),
		DateSize:    uint32(len(date)),
	}
}

// MakeRequest returns a request over a head, fields and body in Go memory.
func MakeRequest(head []byte, fields []Field, body []byte) Request {
	return Request{
		Base:       unsafe.Pointer(unsafe.SliceData(head)),
		Fields:     unsafe.Pointer(unsafe.SliceData(fields)),
		FieldCount: uint16(len(fields)),
		Body:       unsafe.Pointer(unsafe.SliceData(body)),
		BodySize:   uint64(len(body)),
	}
}
