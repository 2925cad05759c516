package kourier

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"
)

// An Event is something that never reached a handler.
type Event struct {
	Time   time.Time
	Reason Reason
	Status int            // what the client was sent; 0: nothing
	Remote netip.AddrPort // the peer's address; invalid if it is not of TCP, or the connection is closed by now
	Detail string         // of a request that was refused, its first line, quoted, at most 200 bytes; of a TLS handshake, the error; else ""
	Err    error          // what failed, or nil
}

// detailSizeMax bounds what quoteLine looks at, in bytes.
const detailSizeMax = 200

// quoteLine returns the first line of a request for Event.Detail, "" if there is none.
func quoteLine(data []byte) string {
	data = bytes.TrimLeft(data, "\r\n") // RFC 9112 §2.2
	data = data[:min(len(data), detailSizeMax)]
	if end := bytes.IndexByte(data, '\n'); end >= 0 {
		data = data[:end]
	}
	if data = bytes.TrimSuffix(data, []byte("\r")); len(data) == 0 {
		return ""
	}
	return strconv.Quote(string(data))
}

// A Reason tells why a request was refused or a connection closed: one of the
// constants Reason…, fit for a metric's label. docs/internals.md says what the
// client is answered.
type Reason string

// The reasons for refusing a request, the keys of Stats.ParseErrors.
const (
	ReasonBadRequestLine      Reason = "bad_request_line"
	ReasonBadMethod           Reason = "bad_method"
	ReasonBadTarget           Reason = "bad_target"
	ReasonBadVersion          Reason = "bad_version"
	ReasonBadField            Reason = "bad_field"
	ReasonBadHost             Reason = "bad_host"
	ReasonBadContentLength    Reason = "bad_content_length"
	ReasonBadTransferEncoding Reason = "bad_transfer_encoding"
	ReasonBadChunk            Reason = "bad_chunk"
	ReasonBadTrailer          Reason = "bad_trailer"
	ReasonBadExpect           Reason = "bad_expect"
	ReasonTargetTooLong       Reason = "target_too_long"
	ReasonHeadTooLarge        Reason = "head_too_large"
	ReasonTooManyFields       Reason = "too_many_fields"
	ReasonBodyTooLarge        Reason = "body_too_large"
)

// The times that a connection can exceed, the keys of Stats.Timeouts.
const (
	ReasonHeadTimeout  Reason = "head_timeout"
	ReasonBodyTimeout  Reason = "body_timeout"
	ReasonBodyTooSlow  Reason = "body_too_slow"
	ReasonWriteTimeout Reason = "write_timeout"
	ReasonDrainTooSlow Reason = "drain_too_slow"
	ReasonIdleTimeout  Reason = "idle_timeout"
)

// ReasonNoMemory is a connection that was closed because the system gave no
// memory. Stats.OutOfMemory counts them.
const ReasonNoMemory Reason = "no_memory"

// ReasonTLSHandshake is a TLS handshake that has failed. Stats does not count it.
const ReasonTLSHandshake Reason = "tls_handshake"
