//go:build linux

package callbacks

// #include "../csrc/kourier.h"
import "C"

import (
	"unsafe"

	pointer "github.com/mattn/go-pointer"

	"github.com/kourier-go/kourier/internal/abi"
)

//export kourierGoOnBatch
func kourierGoOnBatch(ctx unsafe.Pointer, batch *C.kr_batch) {
	receiver := pointer.Restore(ctx).(Receiver)
	receiver.OnBatch((*abi.Batch)(unsafe.Pointer(batch)))
}
