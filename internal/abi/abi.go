// Package abi mirrors the C structs of csrc/kourier.h in plain Go. It imports
// no C, so that the packages on both sides of the boundary can share its types;
// callbacks/layout.go proves at compile time that they equal the C ones.
//
// What each field means stands in kourier.h and nowhere else.
package abi

import "unsafe"

// Bits of Request.Flags.
const (
	RequestKeepAlive = 1 << iota
	RequestHTTP10
	RequestChunked
	RequestHasQuery
	RequestUpgrade
	RequestBodyOpen
	RequestContinue
	RequestPreface
)

// Bits of Request.AnswerFlags.
const (
	AnswerDone = 1 << iota
	AnswerClose
	AnswerAbort
	AnswerLater
)

// Bits of Notice.Kinds.
const (
	NoticeReadable = 1 << iota
	NoticeWritable
	NoticeGone
	NoticeOpened
	NoticeClosed
	NoticeReason
	NoticeActive
	NoticeIdle
)

// Values for kr_link_release.
const (
	ReleaseKeep = iota
	ReleaseClose
	ReleaseAbort
	ReleaseReset
)

// Values of Request.Method.
const (
	MethodOther = iota
	MethodGet
	MethodHead
	MethodPost
	MethodPut
	MethodDelete
	MethodConnect
	MethodOptions
	MethodTrace
	MethodPatch
)

// Values of kr_status.
const (
	OK         = 0
	ErrInvalid = -1
	ErrMemory  = -2
	ErrSystem  = -3
	ErrClosed  = -4
	ErrBlocked = -5
	ErrRefused = -6
)

// Field is kr_field.
type Field struct {
	NameOffset, NameSize, ValueOffset, ValueSize uint32
}

// Request is kr_request.
type Request struct {
	Base         unsafe.Pointer
	Fields       unsafe.Pointer
	Body         unsafe.Pointer
	BodySize     uint64
	Connection   uint64
	MethodOffset uint32
	MethodSize   uint32
	TargetOffset uint32
	TargetSize   uint32
	PathOffset   uint32
	PathSize     uint32
	QueryOffset  uint32
	QuerySize    uint32
	HostOffset   uint32
	HostSize     uint32
	FieldCount   uint16
	Method       uint8
	Flags        uint8
	AnswerFlags  uint8
	_            uint8
	AnswerCode   uint16
	AnswerOffset uint32
	AnswerSize   uint32
}

// Notice is kr_notice.
type Notice struct {
	Connection uint64
	Kinds      uint32
	Reason     uint16
	Code       uint16
	Data       unsafe.Pointer
	DataSize   uint64
}

// WaitForever is KR_WAIT_FOREVER.
const WaitForever = 0x7fffffff

// Batch is kr_batch.
type Batch struct {
	Requests    unsafe.Pointer
	Out         unsafe.Pointer
	Date        unsafe.Pointer
	Count       uint32
	Worker      uint32
	OutCapacity uint32
	OutSize     uint32
	DateSize    uint32
	NowMS       uint32
	Notices     unsafe.Pointer
	NoticeCount uint32
	WaitMS      uint32
	WaitFD      int32
	_           uint32
}
