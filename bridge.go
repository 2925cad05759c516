//go:build linux && cgo && !kourier_portable

package kourier

// #include <stdlib.h>
// #include <string.h>
// #include "csrc/kourier.h"
//
// #cgo noescape kr_batch_write
// #cgo nocallback kr_batch_write
// #cgo noescape kr_peer
// #cgo nocallback kr_peer
// #cgo noescape kr_stats
// #cgo nocallback kr_stats
// #cgo nocallback kr_is_worker
// #cgo noescape kr_link_read
// #cgo nocallback kr_link_read
// #cgo nocallback kr_link_age
// #cgo noescape kr_link_trailer
// #cgo nocallback kr_link_trailer
// #cgo noescape kr_link_write
// #cgo nocallback kr_link_write
// #cgo nocallback kr_link_bound_unsent
// #cgo noescape kr_link_room
// #cgo nocallback kr_link_room
// #cgo noescape kr_link_send_file
// #cgo nocallback kr_link_send_file
// #cgo nocallback kr_link_release
// #cgo noescape kr_link_detach
// #cgo nocallback kr_link_detach
// #cgo noescape kr_link_peer
// #cgo nocallback kr_link_peer
// #cgo nocallback kr_link_unsent
// #cgo nocallback kr_link_fd
// #cgo nocallback kr_link_origin
//
// // Go code holds the address of a C function as void *, which C does not convert by itself.
// static kr_status start(const kr_config *config, const kr_static *statics, uint32_t static_count, void *on_batch,
//                        void *ctx, kr_core **core_out) {
//   return kr_start(config, statics, static_count, (kr_on_batch)on_batch, ctx, core_out);
// }
import "C"

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/kourier-go/kourier/callbacks"
	"github.com/kourier-go/kourier/internal/abi"
)

// nativeBuilt says that the core is part of this program.
const nativeBuilt = true

// A core is a running kr_core. Its methods may be called from any goroutine; the
// server sees to it that none runs when stop begins, or after it.
type core struct {
	handle  *C.kr_core
	ctx     unsafe.Pointer
	workers int
	holders atomic.Int64 // links, and the server until stop
}

// startCore starts the workers. receiver gets their batches until stop has returned.
func startCore(s settings, statics []staticRoute, receiver callbacks.Receiver) (*core, error) {
	if s.connsMax == 0 {
		s.connsMax = connsByDescriptors()
	}
	config := C.kr_config{
		workers:            C.uint32_t(s.workers),
		conns_max:          C.uint32_t(s.connsMax),
		on_full:            C.uint32_t(s.onFull),
		head_timeout_ms:    C.uint32_t(s.headTimeoutMS),
		request_timeout_ms: C.uint32_t(s.requestTimeoutMS),
		write_timeout_ms:   C.uint32_t(s.writeTimeoutMS),
		idle_timeout_ms:    C.uint32_t(s.idleTimeoutMS),
		linger_timeout_ms:  C.uint32_t(s.lingerTimeoutMS),
		rate_grace_ms:      C.uint32_t(s.rateGraceMS),
		body_rate_min:      C.uint32_t(s.bodyRateMin),
		drain_rate_min:     C.uint32_t(s.drainRateMin),
		head_size_max:      C.uint32_t(s.headSizeMax),
		target_size_max:    C.uint32_t(s.targetSizeMax),
		field_count_max:    C.uint32_t(s.fieldCountMax),
		body_size_max:      C.uint64_t(s.bodySizeMax),
		body_collect_max:   C.uint64_t(s.bodyCollectMax),
		notify_conns:       C.uint32_t(s.notifyConns),
		preface:            C.uint32_t(s.preface),
		notify_reasons:     C.uint32_t(s.notifyReasons),
		notify_states:      C.uint32_t(s.notifyStates),
		receiver_waits:     C.uint32_t(s.receiverWaits),
	}
	table, free := staticTable(statics)
	defer free()
	c := &core{ctx: callbacks.Register(receiver), workers: int(s.workers)}
	c.holders.Store(1)
	status := C.start(&config, table, C.uint32_t(len(statics)), callbacks.OnBatch(), c.ctx, &c.handle)
	if status != C.KR_OK {
		callbacks.Release(c.ctx)
		return nil, fmt.Errorf("kourier: start: %w", statusError(status))
	}
	return c, nil
}

// staticTable copies the routes into C memory, which free gives back.
func staticTable(routes []staticRoute) (table *C.kr_static, free func()) {
	if len(routes) == 0 {
		return nil, func() {}
	}
	size := len(routes) * C.sizeof_kr_static
	for _, r := range routes {
		size += len(r.path) + len(r.head) + len(r.body)
	}
	block := unsafe.Slice((*byte)(C.malloc(C.size_t(size))), size)
	table = (*C.kr_static)(unsafe.Pointer(&block[0]))
	rest := block[len(routes)*C.sizeof_kr_static:]
	keep := func(data []byte) *C.char {
		kept := (*C.char)(unsafe.Pointer(unsafe.SliceData(rest)))
		rest = rest[copy(rest, data):]
		return kept
	}
	for i, r := range routes {
		entry := C.kr_static{
			path_size: C.uint32_t(len(r.path)),
			head_size: C.uint32_t(len(r.head)),
			body_size: C.uint32_t(len(r.body)),
			code:      C.uint16_t(r.code),
			method:    C.uint8_t(r.method),
		}
		if r.subtree {
			entry.subtree = 1
		}
		entry.path, entry.head, entry.body = keep([]byte(r.path)), keep(r.head), keep(r.body)
		unsafe.Slice(table, len(routes))[i] = entry
	}
	return table, func() { C.free(unsafe.Pointer(table)) }
}

// listen has the core accept from l, with a descriptor of its own for the same
// socket. worker is the only one to accept, or -1 for all. origin is for linkOrigin.
func (c *core) listen(l net.Listener, worker int, origin uint8) error {
	fd, err := duplicate(l)
	if err != nil {
		return err
	}
	index := C.uint32_t(C.KR_ANY_WORKER)
	if worker >= 0 {
		index = C.uint32_t(worker)
	}
	if status := C.kr_listen(c.handle, C.int(fd), index, C.uint8_t(origin)); status != C.KR_OK {
		return fmt.Errorf("kourier: listen: %w", statusError(status))
	}
	return nil
}

// drain is kr_drain.
func (c *core) drain() { C.kr_drain(c.handle) }

// wait reports whether no connection is left after drain, waiting for d at most.
func (c *core) wait(d time.Duration) bool {
	return C.kr_wait(c.handle, C.uint32_t(d.Milliseconds())) == C.KR_OK
}

// interrupt is kr_interrupt.
func (c *core) interrupt() { C.kr_interrupt(c.handle) }

// onWorker reports whether the caller runs inside a callback of this core.
func (c *core) onWorker() bool { return C.kr_is_worker(c.handle) != 0 }

// stop ends the core: the context goes after the last callback can have run, the
// memory when no link needs it any more.
func (c *core) stop() {
	C.kr_stop(c.handle)
	callbacks.Release(c.ctx)
	c.letGo()
}

// hold keeps the core in memory until letGo. On a worker, for a link.
func (c *core) hold() { c.holders.Add(1) }

// tryHold is hold for those who do not know whether the core is there still.
func (c *core) tryHold() bool {
	for {
		holders := c.holders.Load()
		if holders == 0 {
			return false
		}
		if c.holders.CompareAndSwap(holders, holders+1) {
			return true
		}
	}
}

func (c *core) letGo() {
	if c.holders.Add(-1) == 0 {
		C.kr_free(c.handle)
	}
}

// closeConnection is kr_close_connection. False: try again.
func (c *core) closeConnection(id linkID) bool {
	return C.kr_close_connection(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection)) == C.KR_OK
}

// closeIdle is kr_close_idle.
func (c *core) closeIdle() { C.kr_close_idle(c.handle) }

// stats adds up the counters of the workers.
func (c *core) stats() Stats {
	total := newStats()
	for i := range c.workers {
		var w C.kr_worker_stats
		if C.kr_stats(c.handle, C.uint32_t(i), &w) != C.KR_OK {
			continue
		}
		total.Accepted += uint64(w.accepted)
		total.Refused += uint64(w.refused)
		total.Shed += uint64(w.shed)
		total.AcceptRetries += uint64(w.accept_retries)
		total.ConnsActive += int64(w.conns) - int64(w.conns_idle)
		total.ConnsIdle += int64(w.conns_idle)
		total.Requests += uint64(w.requests)
		total.Responses1xx += uint64(w.responses[1])
		total.Responses2xx += uint64(w.responses[2])
		total.Responses3xx += uint64(w.responses[3])
		total.Responses4xx += uint64(w.responses[4])
		total.Responses5xx += uint64(w.responses[5])
		total.BytesIn += uint64(w.bytes_in)
		total.BytesOut += uint64(w.bytes_out)
		total.Batches += uint64(w.batches)
		total.NativeBytes += int64(w.native_bytes)
		for number, count := range w.reasons {
			total.addReason(uint32(number), uint64(count))
		}
		total.Workers = append(total.Workers, WorkerStats{
			Conns:          int64(w.conns),
			CPU:            time.Duration(w.cpu_ns),
			LoopIterations: uint64(w.turns),
			Syscalls:       uint64(w.syscalls),
		})
	}
	return total
}

// reasonOf returns the name of KR_REASON_*.
func reasonOf(number uint32) Reason { return Reason(C.GoString(C.kr_reason_text(C.uint32_t(number)))) }

func (s *Stats) addReason(number uint32, count uint64) {
	if count == 0 {
		return
	}
	reason := reasonOf(number)
	switch {
	case number == C.KR_REASON_NO_MEMORY:
		s.OutOfMemory += count
	case number >= C.KR_REASON_HEAD_TIMEOUT:
		s.Timeouts[reason] += count
	default:
		s.ParseErrors[reason] += count
	}
}

// batchWrite is kr_batch_write.
func batchWrite(b *abi.Batch, index uint32, data []byte) int32 {
	return int32(C.kr_batch_write((*C.kr_batch)(unsafe.Pointer(b)), C.uint32_t(index),
		(*C.char)(unsafe.Pointer(unsafe.SliceData(data))), C.size_t(len(data))))
}

// peerAddress is kr_peer.
func peerAddress(b *abi.Batch, connection uint64) netip.AddrPort {
	var address [16]C.uint8_t
	var scope C.uint32_t
	var port C.uint16_t
	var family C.uint8_t
	status := C.kr_peer((*C.kr_batch)(unsafe.Pointer(b)), C.uint64_t(connection), &address[0], &scope, &port, &family)
	return addrPort(status, &address, scope, port, family)
}

func addrPort(status C.kr_status, address *[16]C.uint8_t, scope C.uint32_t, port C.uint16_t, family C.uint8_t) netip.AddrPort {
	if status != C.KR_OK || family == 0 {
		return netip.AddrPort{}
	}
	ip := netip.AddrFrom16(*(*[16]byte)(unsafe.Pointer(address))).Unmap() // dual-stack sockets map IPv4 peers too
	if ip.Is6() && scope != 0 {
		ip = ip.WithZone(zoneName(uint32(scope)))
	}
	return netip.AddrPortFrom(ip, uint16(port))
}

// A linkID says which connection of which worker a link is.
type linkID struct {
	worker     uint32
	connection uint64
}

// The functions kr_link_*. A link holds the core in memory: see core.hold.

func (c *core) linkRead(id linkID, p []byte) (n int, code int, status int32) {
	var size C.size_t
	var refusal C.uint16_t
	status = int32(C.kr_link_read(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection),
		(*C.char)(unsafe.Pointer(unsafe.SliceData(p))), C.size_t(len(p)), &size, &refusal))
	return int(size), int(refusal), status
}

func (c *core) linkAge(id linkID) time.Duration {
	return time.Duration(C.kr_link_age(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection))) * time.Millisecond
}

func (c *core) linkTrailer(id linkID) (lines string, status int32) {
	var room [256]byte
	data := room[:]
	for {
		var size C.size_t
		status = int32(C.kr_link_trailer(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection),
			(*C.char)(unsafe.Pointer(unsafe.SliceData(data))), C.size_t(len(data)), &size))
		if status != abi.ErrInvalid {
			return string(data[:size]), status
		}
		data = make([]byte, size)
	}
}

// linkWrite sends head and then body. If more follows at once, the last segment may wait for that.
func (c *core) linkWrite(id linkID, head, body []byte, more bool) (n int, status int32) {
	var size C.size_t
	var follows C.int
	if more {
		follows = 1
	}
	status = int32(C.kr_link_write(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection),
		(*C.char)(unsafe.Pointer(unsafe.SliceData(head))), C.size_t(len(head)),
		(*C.char)(unsafe.Pointer(unsafe.SliceData(body))), C.size_t(len(body)), follows, &size))
	return int(size), status
}

func (c *core) linkBoundUnsent(id linkID) {
	C.kr_link_bound_unsent(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection))
}

// linkRoom returns math.MaxInt where the kernel does not tell.
func (c *core) linkRoom(id linkID) (size int, status int32) {
	var room C.size_t
	status = int32(C.kr_link_room(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection), &room))
	return int(min(uint64(room), math.MaxInt)), status
}

func (c *core) linkSendFile(id linkID, file uintptr, offset *int64, size int64) (status int32) {
	at := C.int64_t(*offset)
	status = int32(C.kr_link_send_file(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection), C.int(file), &at, C.size_t(size)))
	*offset = int64(at)
	return status
}

func (c *core) linkRelease(id linkID, how uint32) {
	C.kr_link_release(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection), C.uint32_t(how))
}

func (c *core) linkDetach(id linkID) (fd int, rest []byte, status int32) {
	for {
		var size C.size_t
		var taken C.int
		status = int32(C.kr_link_detach(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection),
			(*C.char)(unsafe.Pointer(unsafe.SliceData(rest))), C.size_t(len(rest)), &size, &taken))
		if status != abi.ErrInvalid {
			return int(taken), rest[:min(int(size), len(rest))], status
		}
		rest = make([]byte, size)
	}
}

func (c *core) linkPeer(id linkID) netip.AddrPort {
	var address [16]C.uint8_t
	var scope C.uint32_t
	var port C.uint16_t
	var family C.uint8_t
	status := C.kr_link_peer(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection), &address[0], &scope, &port, &family)
	return addrPort(status, &address, scope, port, family)
}

func (c *core) linkUnsent(id linkID) int {
	return int(C.kr_link_unsent(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection)))
}

func (c *core) linkFD(id linkID) int {
	return int(C.kr_link_fd(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection)))
}

func (c *core) linkOrigin(id linkID) uint8 {
	return uint8(C.kr_link_origin(c.handle, C.uint32_t(id.worker), C.uint64_t(id.connection)))
}

func zoneName(index uint32) string {
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return strconv.FormatUint(uint64(index), 10)
}

func statusError(status C.kr_status) error {
	switch status {
	case C.KR_ERR_MEMORY:
		return syscall.ENOMEM
	case C.KR_ERR_CLOSED:
		return ErrServerClosed
	}
	return errors.New(C.GoString(C.kr_status_text(status)))
}

// connsByDescriptors is how many connections the limit of open files allows,
// with some descriptors left for the rest of the program.
func connsByDescriptors() uint32 {
	const kept = 256
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	conns := min(limit.Cur, math.MaxInt32)
	return uint32(max(conns-min(conns, kept), conns/2, 1))
}

// duplicate returns a new descriptor for the socket of l.
func duplicate(l net.Listener) (int, error) {
	source, ok := l.(syscall.Conn)
	if !ok {
		return -1, ErrForeignListener
	}
	raw, err := source.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("kourier: listen: %w", err)
	}
	fd, errno := -1, syscall.Errno(0)
	err = raw.Control(func(original uintptr) {
		r, _, e := syscall.Syscall(syscall.SYS_FCNTL, original, syscall.F_DUPFD_CLOEXEC, 0)
		fd, errno = int(r), e
	})
	if err == nil && errno != 0 {
		err = errno
	}
	if err != nil {
		return -1, fmt.Errorf("kourier: listen: %w", err)
	}
	return fd, nil
}

// reusePort sets SO_REUSEPORT; for net.ListenConfig.Control.
func reusePort(_, _ string, raw syscall.RawConn) error {
	const soReusePort = 15 // SO_REUSEPORT, which package syscall lacks on some architectures
	var failure error
	err := raw.Control(func(fd uintptr) {
		failure = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
	})
	return errors.Join(err, failure)
}
