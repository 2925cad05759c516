package kourier

import (
	"fmt"
	"math"
	"time"
)

// A Config holds what net/http has no setting for. Its zero value is right for a
// server that faces the public. It is read when the server starts; changes after
// that have no effect. The portable engine knows MaxTargetBytes, MaxBodyBytes and
// BodyBuffer, and ignores the rest.
type Config struct {
	// Workers is the number of native threads that serve connections, at most
	// 1024. Default GOMAXPROCS, which knows of cgroup limits. A server with a Fast
	// handler, static answers or more than four workers raises GOMAXPROCS to one more
	// than the workers when it starts, unless the environment variable of that name
	// is set: Go's scheduler costs such workers less with one to spare.
	Workers int

	// ReusePort gives each worker a listening socket of its own (SO_REUSEPORT)
	// for the addresses that Listen binds, so that the kernel spreads new
	// connections. Another process of the same user can then bind the same
	// address too. Default: the workers share one socket.
	ReusePort bool

	// MaxConns bounds the open connections of all workers together; OnFull says
	// what happens beyond it. Default: what RLIMIT_NOFILE leaves for connections.
	MaxConns int

	// OnFull says what happens to a new connection when MaxConns are open.
	// Default CloseOldestIdle.
	OnFull FullPolicy

	// MaxTargetBytes bounds the request target, in bytes; a longer one is
	// answered 414. Default 8 KiB.
	MaxTargetBytes int

	// MaxBodyBytes bounds the body of a request, in bytes without its framing; a
	// larger one is answered 413, or fails to be read if it has not told its size.
	// Default 1 MiB if there is only a Fast handler, which gets bodies whole, so that
	// this bounds memory too; no limit if there is a Handler, as with net/http.
	// Negative for no limit.
	MaxBodyBytes int64

	// BodyBuffer bounds what is collected of a body, in bytes, for a Fast handler
	// beside a Handler: a request goes to Fast when its body is complete or exceeds
	// this. Default 64 KiB.
	BodyBuffer int

	// MaxDrainBytes bounds what is read and dropped of a body that an http.Handler
	// has left unread, in bytes; the connection closes after the answer if more is
	// left. Default 256 KiB; negative for nothing.
	MaxDrainBytes int64

	// HandlerPool is the number of idle goroutines kept to run an http.Handler.
	// Default 256 for each worker.
	HandlerPool int

	// MinBodyRate is the least rate at which a body must arrive, in bytes per
	// second, after five seconds of grace; a slower one is answered 408. What comes
	// faster counts for later, for up to 30 seconds ahead.
	// Default 240; negative for none.
	MinBodyRate int

	// MinDrainRate is the least rate at which a client must read answers that
	// wait for it, in bytes per second, after five seconds of grace; a slower
	// one's connection is closed. What it has taken faster, the kernel's buffers
	// included, counts for later, for up to 30 seconds ahead. Default 240; negative for none.
	MinDrainRate int
}

// A FullPolicy says what happens to a new connection when Config.MaxConns are open.
type FullPolicy uint8

const (
	// CloseOldestIdle closes the connection that has been idle for longest among
	// those of the worker that accepts the new one, or the new one if none is idle.
	CloseOldestIdle FullPolicy = iota
	// Refuse closes the new connection.
	Refuse
	// PauseAccept lets new connections wait in the listener's backlog.
	PauseAccept
)

const (
	defaultReadHeaderTimeout   = 30 * time.Second
	defaultIdleTimeout         = 120 * time.Second
	defaultMaxHeaderBytes      = 32 << 10
	defaultMaxHeaderValueCount = 128
	defaultMaxTargetBytes      = 8 << 10
	defaultMaxBodyBytes        = 1 << 20
	defaultBodyBuffer          = 64 << 10
	defaultMaxDrainBytes       = 256 << 10
	defaultHandlerPool         = 256 // for each worker
	defaultMinRate             = 240 // bytes per second

	workersMax     = 1024
	fieldCountMax  = math.MaxUint16 // the width of kr_request.field_count
	headBytesMax   = 1 << 30        // offsets into a head are 32 bits wide
	handlerPoolMax = 1 << 24
	lingerTimeout  = 500 * time.Millisecond
	rateGrace      = 5 * time.Second
	milliseconds32 = math.MaxUint32 // the width of the durations of kr_config
)

// serverLimits are the limits among the fields that Server shares with
// http.Server, as the user set them.
type serverLimits struct {
	ReadTimeout         time.Duration
	ReadHeaderTimeout   time.Duration
	WriteTimeout        time.Duration
	IdleTimeout         time.Duration
	MaxHeaderBytes      int
	MaxHeaderValueCount int

	// BodiesStream: there is an http.Handler, which reads bodies as they come.
	BodiesStream bool
}

// settings are a Config and a serverLimits with every default filled in, in the
// units and widths of kr_config.
type settings struct {
	workers          uint32
	connsMax         uint32 // 0: not set; the bridge derives it from RLIMIT_NOFILE
	onFull           uint32
	headTimeoutMS    uint32
	requestTimeoutMS uint32
	writeTimeoutMS   uint32
	idleTimeoutMS    uint32
	lingerTimeoutMS  uint32
	rateGraceMS      uint32
	bodyRateMin      uint32
	drainRateMin     uint32
	headSizeMax      uint32
	targetSizeMax    uint32
	fieldCountMax    uint32
	bodySizeMax      uint64
	bodyCollectMax   uint64 // what is collected of a body before a Fast handler sees it
	notifyConns      uint32 // whether the core tells of each connection
	preface          uint32 // whether the core hands HTTP/2's preface over
	notifyReasons    uint32 // whether the core tells of what it has refused and closed
	notifyStates     uint32 // whether the core tells when a connection becomes active and idle
	receiverWaits    uint32 // whether workers wait for events in Go
	drainSizeMax     uint64
	handlerPool      uint32
	reusePort        bool
}

// resolve fills in the defaults and checks all ranges. The error is a *ConfigError.
func (c Config) resolve(limits serverLimits) (settings, error) {
	var check checker
	s := settings{
		workers:  check.count("Config.Workers", c.Workers, min(ownProcs(), workersMax), workersMax),
		connsMax: check.count("Config.MaxConns", c.MaxConns, 0, math.MaxInt32),
		onFull:   uint32(c.OnFull),

		headTimeoutMS:    check.timeout("Server.ReadHeaderTimeout", limits.ReadHeaderTimeout, defaultReadHeaderTimeout),
		requestTimeoutMS: check.timeout("Server.ReadTimeout", limits.ReadTimeout, 0),
		writeTimeoutMS:   check.timeout("Server.WriteTimeout", limits.WriteTimeout, 0),
		idleTimeoutMS:    check.timeout("Server.IdleTimeout", limits.IdleTimeout, shorter(defaultIdleTimeout, limits.ReadTimeout)),
		lingerTimeoutMS:  uint32(lingerTimeout / time.Millisecond),

		rateGraceMS:  uint32(rateGrace / time.Millisecond),
		bodyRateMin:  check.rate("Config.MinBodyRate", c.MinBodyRate),
		drainRateMin: check.rate("Config.MinDrainRate", c.MinDrainRate),

		headSizeMax:   check.count("Server.MaxHeaderBytes", limits.MaxHeaderBytes, defaultMaxHeaderBytes, headBytesMax),
		targetSizeMax: check.count("Config.MaxTargetBytes", c.MaxTargetBytes, defaultMaxTargetBytes, headBytesMax),
		fieldCountMax: check.count("Server.MaxHeaderValueCount", limits.MaxHeaderValueCount, defaultMaxHeaderValueCount, fieldCountMax),
		bodySizeMax:   bodySizeMax(c.MaxBodyBytes, limits.BodiesStream),
		drainSizeMax:  drainSizeMax(c.MaxDrainBytes),
		handlerPool:   check.count("Config.HandlerPool", c.HandlerPool, 0, handlerPoolMax),
		reusePort:     c.ReusePort,
	}
	s.bodyCollectMax = s.bodySizeMax
	if buffer := check.count("Config.BodyBuffer", c.BodyBuffer, defaultBodyBuffer, headBytesMax); limits.BodiesStream {
		s.bodyCollectMax = min(s.bodyCollectMax, uint64(buffer))
	}
	if s.handlerPool == 0 {
		s.handlerPool = defaultHandlerPool * s.workers
	}
	if c.OnFull > PauseAccept {
		check.fail("Config.OnFull", c.OnFull, "must be CloseOldestIdle, Refuse or PauseAccept")
	}
	if check.err != nil {
		return settings{}, check.err
	}
	return s, nil
}

// noBodyLimit is what ContentLength can tell.
const noBodyLimit = math.MaxInt64

func bodySizeMax(bytes int64, stream bool) uint64 {
	switch {
	case bytes == 0 && !stream:
		return defaultMaxBodyBytes
	case bytes <= 0:
		return noBodyLimit
	}
	return uint64(bytes)
}

func drainSizeMax(bytes int64) uint64 {
	if bytes == 0 {
		return defaultMaxDrainBytes
	}
	return uint64(max(bytes, 0))
}

// A checker keeps the first mistake that its methods find.
type checker struct{ err error }

func (c *checker) fail(field string, value any, why string) {
	if c.err == nil {
		c.err = &ConfigError{Field: field, Value: value, Why: why}
	}
}

// count returns value, or unset if it is zero.
func (c *checker) count(field string, value, unset, limit int) uint32 {
	if value < 0 || value > limit {
		c.fail(field, value, fmt.Sprintf("%d is not between 0 (the default) and %d", value, limit))
		return 0
	}
	if value == 0 {
		value = unset
	}
	return uint32(value)
}

// timeout returns value in milliseconds, rounded up so that a short one does not
// become none; unset if value is zero; and zero, which the core takes for none,
// if it is negative.
func (c *checker) timeout(field string, value, unset time.Duration) uint32 {
	if value == 0 {
		value = unset
	}
	if value <= 0 {
		return 0
	}
	ms := (uint64(value) + uint64(time.Millisecond) - 1) / uint64(time.Millisecond)
	if ms > milliseconds32 {
		c.fail(field, value, fmt.Sprintf("%v is longer than %v; a negative value is for none", value, milliseconds32*time.Millisecond))
		return 0
	}
	return uint32(ms)
}

// rate returns value in bytes per second, the default if it is zero, and zero,
// which the core takes for none, if it is negative.
func (c *checker) rate(field string, value int) uint32 {
	switch {
	case value == 0:
		return defaultMinRate
	case value < 0:
		return 0
	case int64(value) > math.MaxUint32:
		c.fail(field, value, fmt.Sprintf("%d is more than %d bytes per second", value, uint32(math.MaxUint32)))
		return 0
	}
	return uint32(value)
}

// flagIf returns flag if it is set, and else 0.
func flagIf(set bool, flag uint8) uint8 {
	if set {
		return flag
	}
	return 0
}
