//go:build !linux || !cgo || kourier_portable

package kourier

import (
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/kourier-go/kourier/internal/abi"
)

// The native core is for Linux, and for builds with cgo. Elsewhere whyPortable
// sends every listener to the portable engine, so that no core is ever made.

const nativeBuilt = false

type core struct{}

func startCore(settings, []staticRoute, *dispatcher) (*core, error) { return nil, errNoCore }

func (*core) listen(net.Listener, int, uint8) error { return errNoCore }
func (*core) drain()                                {}
func (*core) wait(time.Duration) bool               { return true }
func (*core) interrupt()                            {}
func (*core) onWorker() bool                        { return false }
func (*core) stop()                                 {}
func (*core) stats() Stats                          { return newStats() }

func (*core) closeIdle() {}

type linkTable struct{}

func newLinkTable(*Server) *linkTable                  { return nil }
func (*linkTable) links() links                        { return nil }
func (*linkTable) coreSettings(*Server, bool) settings { return settings{} }
func (*linkTable) notice(uint32, *abi.Notice)          {}
func (*linkTable) wait(*abi.Batch)                     {}
func (*linkTable) closeWaits()                         {}
func (*linkTable) attach(*core)                        {}
func (*linkTable) end()                                {}
func (*linkTable) addStats(*Stats)                     {}

func batchWrite(*abi.Batch, uint32, []byte) int32     { return abi.ErrClosed }
func peerAddress(*abi.Batch, uint64) netip.AddrPort   { return netip.AddrPort{} }
func reusePort(string, string, syscall.RawConn) error { return errNoCore }
