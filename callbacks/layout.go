//go:build linux

package callbacks

// #include "../csrc/kourier.h"
import "C"

import (
	"unsafe"

	"github.com/kourier-go/kourier/internal/abi"
)

// The mirrors in internal/abi equal the C structs: a difference makes one of
// these constants negative, which does not compile.
const (
	_ = -uint(unsafe.Sizeof(abi.Field{}) ^ unsafe.Sizeof(C.kr_field{}))
	_ = -uint(unsafe.Offsetof(abi.Field{}.ValueSize) ^ unsafe.Offsetof(C.kr_field{}.value_size))

	_ = -uint(unsafe.Sizeof(abi.Request{}) ^ unsafe.Sizeof(C.kr_request{}))
	_ = -uint(unsafe.Offsetof(abi.Request{}.Body) ^ unsafe.Offsetof(C.kr_request{}.body))
	_ = -uint(unsafe.Offsetof(abi.Request{}.Connection) ^ unsafe.Offsetof(C.kr_request{}.connection))
	_ = -uint(unsafe.Offsetof(abi.Request{}.TargetOffset) ^ unsafe.Offsetof(C.kr_request{}.target_offset))
	_ = -uint(unsafe.Offsetof(abi.Request{}.PathOffset) ^ unsafe.Offsetof(C.kr_request{}.path_offset))
	_ = -uint(unsafe.Offsetof(abi.Request{}.QueryOffset) ^ unsafe.Offsetof(C.kr_request{}.query_offset))
	_ = -uint(unsafe.Offsetof(abi.Request{}.HostSize) ^ unsafe.Offsetof(C.kr_request{}.host_size))
	_ = -uint(unsafe.Offsetof(abi.Request{}.FieldCount) ^ unsafe.Offsetof(C.kr_request{}.field_count))
	_ = -uint(unsafe.Offsetof(abi.Request{}.Method) ^ unsafe.Offsetof(C.kr_request{}.method))
	_ = -uint(unsafe.Offsetof(abi.Request{}.Flags) ^ unsafe.Offsetof(C.kr_request{}.flags))
	_ = -uint(unsafe.Offsetof(abi.Request{}.AnswerFlags) ^ unsafe.Offsetof(C.kr_request{}.answer_flags))
	_ = -uint(unsafe.Offsetof(abi.Request{}.AnswerCode) ^ unsafe.Offsetof(C.kr_request{}.answer_code))
	_ = -uint(unsafe.Offsetof(abi.Request{}.AnswerSize) ^ unsafe.Offsetof(C.kr_request{}.answer_size))

	_ = -uint(unsafe.Sizeof(abi.Batch{}) ^ unsafe.Sizeof(C.kr_batch{}))
	_ = -uint(unsafe.Offsetof(abi.Batch{}.Out) ^ unsafe.Offsetof(C.kr_batch{}.out))
	_ = -uint(unsafe.Offsetof(abi.Batch{}.Date) ^ unsafe.Offsetof(C.kr_batch{}.date))
	_ = -uint(unsafe.Offsetof(abi.Batch{}.Count) ^ unsafe.Offsetof(C.kr_batch{}.count))
	_ = -uint(unsafe.Offsetof(abi.Batch{}.OutCapacity) ^ unsafe.Offsetof(C.kr_batch{}.out_capacity))
	_ = -uint(unsafe.Offsetof(abi.Batch{}.OutSize) ^ unsafe.Offsetof(C.kr_batch{}.out_size))
	_ = -uint(unsafe.Offsetof(abi.Batch{}.DateSize) ^ unsafe.Offsetof(C.kr_batch{}.date_size))
	_ = -uint(unsafe.Offsetof(abi.Batch{}.NowMS) ^ unsafe.Offsetof(C.kr_batch{}.now_ms))

	_ = -uint(unsafe.Offsetof(abi.Batch{}.Notices) ^ unsafe.Offsetof(C.kr_batch{}.notices))
	_ = -uint(unsafe.Offsetof(abi.Batch{}.NoticeCount) ^ unsafe.Offsetof(C.kr_batch{}.notice_count))
	_ = -uint(unsafe.Offsetof(abi.Batch{}.WaitMS) ^ unsafe.Offsetof(C.kr_batch{}.wait_ms))
	_ = -uint(unsafe.Offsetof(abi.Batch{}.WaitFD) ^ unsafe.Offsetof(C.kr_batch{}.wait_fd))

	_ = -uint(unsafe.Sizeof(abi.Notice{}) ^ unsafe.Sizeof(C.kr_notice{}))
	_ = -uint(unsafe.Offsetof(abi.Notice{}.Kinds) ^ unsafe.Offsetof(C.kr_notice{}.kinds))
	_ = -uint(unsafe.Offsetof(abi.Notice{}.Reason) ^ unsafe.Offsetof(C.kr_notice{}.reason))
	_ = -uint(unsafe.Offsetof(abi.Notice{}.Code) ^ unsafe.Offsetof(C.kr_notice{}.code))
	_ = -uint(unsafe.Offsetof(abi.Notice{}.DataSize) ^ unsafe.Offsetof(C.kr_notice{}.data_size))

	_ = uint(-(abi.RequestKeepAlive ^ C.KR_REQUEST_KEEP_ALIVE))
	_ = uint(-(abi.RequestHTTP10 ^ C.KR_REQUEST_HTTP10))
	_ = uint(-(abi.RequestChunked ^ C.KR_REQUEST_CHUNKED))
	_ = uint(-(abi.RequestHasQuery ^ C.KR_REQUEST_HAS_QUERY))
	_ = uint(-(abi.RequestUpgrade ^ C.KR_REQUEST_UPGRADE))
	_ = uint(-(abi.RequestBodyOpen ^ C.KR_REQUEST_BODY_OPEN))
	_ = uint(-(abi.RequestContinue ^ C.KR_REQUEST_CONTINUE))
	_ = uint(-(abi.RequestPreface ^ C.KR_REQUEST_PREFACE))
	_ = uint(-(abi.WaitForever ^ C.KR_WAIT_FOREVER))
	_ = uint(-(abi.AnswerLater ^ C.KR_ANSWER_LATER))
	_ = uint(-(abi.NoticeReadable ^ C.KR_NOTICE_READABLE))
	_ = uint(-(abi.NoticeClosed ^ C.KR_NOTICE_CLOSED))
	_ = uint(-(abi.NoticeReason ^ C.KR_NOTICE_REASON))
	_ = uint(-(abi.NoticeIdle ^ C.KR_NOTICE_IDLE))
	_ = uint(-(abi.ReleaseAbort ^ C.KR_RELEASE_ABORT))
	_ = uint(-(abi.ReleaseReset ^ C.KR_RELEASE_RESET))
	_ = uint(-(abi.AnswerDone ^ C.KR_ANSWER_DONE))
	_ = uint(-(abi.AnswerClose ^ C.KR_ANSWER_CLOSE))
	_ = uint(-(abi.AnswerAbort ^ C.KR_ANSWER_ABORT))
	_ = uint(-(abi.MethodPatch ^ C.KR_METHOD_PATCH))
	_ = uint(-(abi.MethodConnect ^ C.KR_METHOD_CONNECT))
)
