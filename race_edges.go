//go:build race && linux && cgo && !kourier_portable

package kourier

import (
	"os"
	"sync"
	"syscall"
)

// The race detector takes what was done before a write to some socket to have
// happened before what is done after a read from some other: package syscall tells
// it so. The core's calls it does not see. These functions have package syscall
// speak for them, so that tests which are sound with net/http are sound here.

// emptyFile is a file that has nothing to read.
var emptyFile = sync.OnceValue(func() int {
	fd, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("kourier: " + os.DevNull + ": " + err.Error())
	}
	return fd
})

// received is called after bytes have come from a peer.
func received() { _, _ = syscall.Read(emptyFile(), make([]byte, 1)) }

// sending is called before bytes go to a peer.
func sending() { _, _ = syscall.Write(emptyFile(), make([]byte, 1)) }
