//go:build linux

// Package callbacks holds what the core's native threads call. It is the only
// package with //export functions, and it knows nothing of HTTP: it finds the
// receiver behind the context that the core hands back and passes the batch on.
//
// A callback runs on a worker of the core. It must return soon, unless it is to wait,
// and without a panic: a panic that reaches C ends the process.
package callbacks

// #include "../csrc/kourier.h"
// void kourierGoOnBatch(void *ctx, kr_batch *batch);
import "C"

import (
	"unsafe"

	pointer "github.com/mattn/go-pointer"

	_ "github.com/kourier-go/kourier/csrc" // the core, and with it kourier.h
	"github.com/kourier-go/kourier/internal/abi"
)

// A Receiver answers batches.
type Receiver interface {
	// OnBatch is kr_on_batch. It is called on several workers at a time.
	OnBatch(batch *abi.Batch)
}

// Register makes r known to the core under the returned context, until Release.
func Register(r Receiver) (ctx unsafe.Pointer) { return pointer.Save(r) }

// Release forgets a context. No callback with it may be running or come later:
// call it after kr_stop has returned.
func Release(ctx unsafe.Pointer) { pointer.Unref(ctx) }

// OnBatch is the address of the C function to give to kr_start as on_batch.
func OnBatch() unsafe.Pointer { return C.kourierGoOnBatch }
