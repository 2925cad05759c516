/* The C interface of the core: the only header that Go sees.
 *
 * Threads are named in three words. The *owner* is whoever called kr_start and
 * calls kr_stop. A *worker* is a native thread of the core. *any* is any thread.
 *
 * Lifetimes come in three forms: "valid during the call", "valid until X", and
 * "yours: free with X". Memory that Go allocated is never kept: the core copies
 * what it needs. Memory of the core is never valid after its stated end.
 *
 * Everything that crosses is flat and of fixed size. Offsets are relative to a
 * base pointer that stands in the same record. The Go mirrors of these structs
 * live in internal/abi; callbacks/layout.go proves the two equal.
 */
#ifndef KOURIER_H
#define KOURIER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero is success, negative values are errors. kr_status_text names them. */
typedef int32_t kr_status;
enum {
  KR_OK = 0,
  KR_ERR_INVALID = -1, /* an argument or a field of kr_config is out of range */
  KR_ERR_MEMORY = -2,  /* the system gave no memory */
  KR_ERR_SYSTEM = -3,  /* the system refused a descriptor, a thread or an epoll call */
  KR_ERR_CLOSED = -4,  /* the core has begun to stop, or the connection is gone */
  KR_ERR_BLOCKED = -5  /* the peer is not reading; the core keeps what was given */
};

/* A short English text for a status, without a trailing period. Any thread.
 * The text is static. */
const char *kr_status_text(kr_status status);

/* ---------------------------------------------------------------- requests */

/* Registered methods, RFC 9110 §9.3 and RFC 5789. Any other token is KR_METHOD_OTHER. */
enum {
  KR_METHOD_OTHER = 0,
  KR_METHOD_GET = 1,
  KR_METHOD_HEAD = 2,
  KR_METHOD_POST = 3,
  KR_METHOD_PUT = 4,
  KR_METHOD_DELETE = 5,
  KR_METHOD_CONNECT = 6,
  KR_METHOD_OPTIONS = 7,
  KR_METHOD_TRACE = 8,
  KR_METHOD_PATCH = 9
};

/* Bits of kr_request.flags. */
enum {
  KR_REQUEST_KEEP_ALIVE = 1, /* the connection persists unless the answer says otherwise, RFC 9112 §9.3 */
  KR_REQUEST_HTTP10 = 2,     /* the client speaks HTTP/1.0; else HTTP/1.1 */
  KR_REQUEST_CHUNKED = 4,    /* the body came chunked: its length was not declared */
  KR_REQUEST_HAS_QUERY = 8,  /* the target has a '?', also one with an empty query behind it */
  KR_REQUEST_UPGRADE = 16    /* Connection lists "upgrade" and an Upgrade field is there */
};

/* Bits of kr_request.answer_flags. */
enum {
  KR_ANSWER_DONE = 1,  /* this request is answered; without it the core asks again later */
  KR_ANSWER_CLOSE = 2, /* the connection closes after this answer; later requests of it are dropped */
  KR_ANSWER_ABORT = 4  /* the connection closes now: the bytes sent so far are not a whole answer */
};

/* One field line of a head, RFC 9112 §5. The value is trimmed of OWS. */
typedef struct kr_field {
  uint32_t name_offset;
  uint32_t name_size;
  uint32_t value_offset;
  uint32_t value_size;
} kr_field;

/* A complete request and the place for its answer. */
typedef struct kr_request {
  const char *base;       /* the head; all offsets below count from here */
  const kr_field *fields; /* field_count field lines, in the order received; shared by requests with equal heads */
  const char *body;       /* body_size bytes, chunked framing removed */
  uint64_t body_size;
  uint64_t connection; /* generation << 32 | slot; equal for the requests of one connection */
  uint32_t method_offset;
  uint32_t method_size;
  uint32_t target_offset; /* the request-target as received, RFC 9112 §3.2 */
  uint32_t target_size;
  uint32_t path_offset; /* without scheme, authority and query; may be empty ("OPTIONS http://a") */
  uint32_t path_size;
  uint32_t query_offset; /* what follows the first '?' */
  uint32_t query_size;
  uint32_t host_offset; /* authority of an absolute or authority form, else the value of Host, RFC 9112 §3.2.2 */
  uint32_t host_size;
  uint16_t field_count;
  uint8_t method; /* KR_METHOD_* */
  uint8_t flags;  /* KR_REQUEST_* */

  /* The answer, written by the receiver during on_batch. */
  uint8_t answer_flags;   /* KR_ANSWER_*; non-zero on entry: the core has answered, skip it */
  uint8_t answer_source;  /* the core's: where the bytes of an answer lie that it gave itself */
  uint16_t answer_code;   /* status code, for the counters */
  uint32_t answer_offset; /* into kr_batch.out */
  uint32_t answer_size;
} kr_request;

/* The requests that one turn of a worker's loop has parsed, of all its
 * connections. Requests of one connection stand together and in order. */
typedef struct kr_batch {
  kr_request *requests;
  char *out;        /* answers are written here, one behind the other */
  const char *date; /* date_size bytes: a whole Date field line with its CRLF */
  uint32_t count;
  uint32_t worker; /* index of the worker, below kr_config.workers */
  uint32_t out_capacity;
  uint32_t out_size; /* bytes of out in use; the receiver advances it */
  uint32_t date_size;
  uint32_t now_ms; /* low bits of a monotonic clock in milliseconds, read at the start of the turn */
} kr_batch;

/* Called on a worker with requests to answer: once a turn, and more often only
 * when a turn has more than a batch holds.
 *
 * The receiver answers requests in order: it writes the bytes of an answer at
 * out + out_size, records them in answer_offset and answer_size, advances
 * out_size and sets KR_ANSWER_DONE. It must leave out every request whose
 * answer_flags are set on entry, every later request of a connection after an
 * answer with KR_ANSWER_CLOSE or KR_ANSWER_ABORT, and every later request of a
 * connection for which kr_batch_write returned KR_ERR_BLOCKED.
 *
 * It must not block, and no exception or panic may leave it. Everything that
 * `batch` reaches is valid during the call. */
typedef void (*kr_on_batch)(void *ctx, kr_batch *batch);

/* Sends what stands in `out` for the requests up to and including `index`, and
 * then `size` bytes of `data` as further bytes of the answer to `index`. `out`
 * is empty afterwards: out_size, and answer_offset and answer_size of `index`,
 * are zero. May be called several times for one request.
 *
 * Worker, during on_batch. `data` is valid during the call.
 * KR_ERR_BLOCKED: all is sent or kept, but the peer is slow. KR_ERR_CLOSED: the
 * connection is gone, nothing more of this answer is needed. KR_ERR_MEMORY: the
 * connection was closed because the rest could not be kept. */
kr_status kr_batch_write(kr_batch *batch, uint32_t index, const char *data, size_t size);

/* --------------------------------------------------------------- the core */

typedef struct kr_core kr_core;

/* Durations are milliseconds, sizes are bytes; zero means no limit where a
 * field says so, and is KR_ERR_INVALID elsewhere. */
typedef struct kr_config {
  uint32_t workers;            /* native threads, 1 to 1024 */
  uint32_t conns_max;          /* open connections of all workers together */
  uint32_t on_full;            /* KR_ON_FULL_* */
  uint32_t head_timeout_ms;    /* first byte to end of head; 0: none */
  uint32_t request_timeout_ms; /* first byte to end of body; 0: none */
  uint32_t write_timeout_ms;   /* end of request to last byte given to the kernel; 0: none */
  uint32_t idle_timeout_ms;    /* without a byte of a request; 0: none */
  uint32_t linger_timeout_ms;  /* reading on after the last answer, RFC 9112 §9.6 */
  uint32_t rate_grace_ms;      /* before the two rates below are asked for */
  uint32_t body_rate_min;      /* bytes/s that a body must arrive with; 0: none */
  uint32_t drain_rate_min;     /* bytes/s that answers must be read with; 0: none */
  uint32_t head_size_max;      /* request line and field lines together; 431 */
  uint32_t target_size_max;    /* 414 */
  uint32_t field_count_max;    /* 431; at most 65535 */
  uint64_t body_size_max;      /* 413 */
} kr_config;

/* What happens to a new connection when conns_max are open. */
enum {
  KR_ON_FULL_CLOSE_OLDEST_IDLE = 0, /* the connection idle for longest is closed; refuse when none is idle */
  KR_ON_FULL_REFUSE = 1,            /* the new connection is closed */
  KR_ON_FULL_PAUSE_ACCEPT = 2       /* it waits in the listener's backlog */
};

/* An answer that needs no receiver. `head` is a status line and fields without
 * Date, Connection and the empty line; Content-Length is part of it. */
typedef struct kr_static {
  const char *path;
  const char *head;
  const char *body;
  uint32_t path_size;
  uint32_t head_size;
  uint32_t body_size;
  uint16_t code;
  uint8_t method;  /* KR_METHOD_*; KR_METHOD_OTHER: any. GET answers HEAD too */
  uint8_t subtree; /* non-zero: path ends with '/' and everything below it matches */
} kr_static;

/* Starts the workers. `config` and `statics` are valid during the call.
 * `ctx` is handed to on_batch and is the owner's until kr_stop has returned.
 * On success *core_out is yours: free with kr_stop. */
kr_status kr_start(const kr_config *config, const kr_static *statics, uint32_t static_count, kr_on_batch on_batch,
                   void *ctx, kr_core **core_out);

enum { KR_ANY_WORKER = 0x7fffffff };

/* Accepts connections from a listening stream socket. The core owns `fd` from
 * the call on, whatever it returns, and sets it non-blocking. With
 * KR_ANY_WORKER all workers share the socket, else only `worker` accepts from it.
 * Owner. KR_ERR_CLOSED after kr_drain. */
kr_status kr_listen(kr_core *core, int fd, uint32_t worker);

/* Stops accepting and closes the listening sockets and all idle connections;
 * the others close after the answer to what they have sent. Returns when no
 * listening socket is open any more. Any thread but a worker; again: no effect. */
kr_status kr_drain(kr_core *core);

/* Waits until no connection is left after kr_drain, for at most timeout_ms.
 * KR_OK, or KR_ERR_BLOCKED when time ran out. Any thread but a worker. */
kr_status kr_wait(kr_core *core, uint32_t timeout_ms);

/* Asks the workers to close everything at once and to end. Any thread, also a
 * worker during on_batch. */
void kr_interrupt(kr_core *core);

/* Closes everything, joins the workers and frees the core. After the return no
 * callback runs. Owner; never a worker. */
void kr_stop(kr_core *core);

/* Non-zero when the calling thread is a worker of this core. Any thread; also
 * while kr_stop runs, since `core` is only compared. */
int32_t kr_is_worker(const kr_core *core);

/* The peer's address of a connection, asked of the kernel. Worker, during on_batch.
 * Writes 16 bytes of IPv6 (IPv4 mapped), or none for a Unix socket.
 * *family_out is 4, 6, or 0 for anything else. KR_ERR_CLOSED when it is gone. */
kr_status kr_peer(const kr_batch *batch, uint64_t connection, uint8_t address_out[16], uint32_t *scope_out,
                  uint16_t *port_out, uint8_t *family_out);

/* --------------------------------------------------------------- counters */

/* Why the core refused a request or closed a connection by itself. */
enum {
  KR_REASON_NONE = 0,
  KR_REASON_BAD_REQUEST_LINE = 1,
  KR_REASON_BAD_METHOD = 2,
  KR_REASON_BAD_TARGET = 3,
  KR_REASON_BAD_VERSION = 4,
  KR_REASON_BAD_FIELD = 5,
  KR_REASON_BAD_HOST = 6,
  KR_REASON_BAD_CONTENT_LENGTH = 7,
  KR_REASON_BAD_TRANSFER_ENCODING = 8,
  KR_REASON_BAD_CHUNK = 9,
  KR_REASON_BAD_TRAILER = 10,
  KR_REASON_BAD_EXPECT = 11,
  KR_REASON_TARGET_TOO_LONG = 12,
  KR_REASON_HEAD_TOO_LARGE = 13,
  KR_REASON_TOO_MANY_FIELDS = 14,
  KR_REASON_BODY_TOO_LARGE = 15,
  KR_REASON_HEAD_TIMEOUT = 16,
  KR_REASON_BODY_TIMEOUT = 17,
  KR_REASON_BODY_TOO_SLOW = 18,
  KR_REASON_WRITE_TIMEOUT = 19,
  KR_REASON_DRAIN_TOO_SLOW = 20,
  KR_REASON_IDLE_TIMEOUT = 21,
  KR_REASON_NO_MEMORY = 22,
  KR_REASON_COUNT = 23
};

/* A stable snake_case name of a reason, "" for an unknown one. Any thread. Static. */
const char *kr_reason_text(uint32_t reason);

/* Counters of one worker since kr_start; the conns_ fields are gauges. */
typedef struct kr_worker_stats {
  uint64_t accepted;
  uint64_t refused;        /* closed because conns_max was reached */
  uint64_t shed;           /* idle connections closed to make room */
  uint64_t accept_retries; /* accept failed for want of descriptors or memory */
  uint64_t conns;          /* open connections */
  uint64_t conns_idle;     /* of them, without a byte of a request or an answer */
  uint64_t requests;
  uint64_t responses[6]; /* by first digit of the status code; [0] is unused */
  uint64_t bytes_in;
  uint64_t bytes_out;
  uint64_t batches;
  uint64_t turns;
  uint64_t syscalls;
  uint64_t native_bytes; /* memory that the core has mapped for this worker */
  uint64_t cpu_ns;       /* CPU time of the thread */
  uint64_t reasons[KR_REASON_COUNT];
} kr_worker_stats;

/* Reads the counters of one worker. Any thread, until kr_stop begins.
 * KR_ERR_INVALID when there is no such worker. */
kr_status kr_stats(const kr_core *core, uint32_t worker, kr_worker_stats *stats_out);

#ifdef __cplusplus
}
#endif

#endif
