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
  KR_ERR_BLOCKED = -5, /* the peer is not reading, or has nothing sent; each function says what then holds */
  KR_ERR_REFUSED = -6  /* what the peer has sent breaks the protocol or a limit */
};

/* A running core. */
typedef struct kr_core kr_core;

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
  KR_REQUEST_UPGRADE = 16,   /* Connection lists "upgrade" and an Upgrade field is there */
  KR_REQUEST_BODY_OPEN = 32, /* the body has not come whole, and body_size is 0: kr_link_read reads it. The last of
                                its connection in the batch. Answered at once, it closes the connection */
  KR_REQUEST_PREFACE = 128,  /* no request: the head of a client's HTTP/2 preface, RFC 9113 §3.4, "PRI *". The last of
                                its connection in the batch, for a receiver that takes it over; with kr_config.preface */
  KR_REQUEST_CONTINUE = 64   /* with BODY_OPEN: the client waits for 100 Continue, RFC 9110 §10.1.1 */
};

/* Bits of kr_request.answer_flags. */
enum {
  KR_ANSWER_DONE = 1,  /* this request is answered; without it the core asks again later */
  KR_ANSWER_CLOSE = 2, /* the connection closes after this answer; later requests of it are dropped */
  KR_ANSWER_ABORT = 4, /* the connection closes now: the bytes sent so far are not a whole answer */
  KR_ANSWER_LATER = 8  /* the receiver takes the connection over, with this request and all later ones of it in
                          the batch: see kr_link_release */
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
  const char *body;       /* body_size bytes, chunked framing removed. With KR_REQUEST_CHUNKED and without
                             KR_REQUEST_BODY_OPEN the trailer section stands behind them as received: field lines, checked,
                             and the empty line that ends it */
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

/* Bits of kr_notice.kinds. */
enum {
  KR_NOTICE_READABLE = 1, /* after KR_ERR_BLOCKED from kr_link_read: try again */
  KR_NOTICE_WRITABLE = 2, /* after KR_ERR_BLOCKED from kr_link_write, _room or _send_file: try again */
  KR_NOTICE_GONE = 4,     /* the peer has closed, or its half: nothing more will come, also no other notice but
                             those that KR_ERR_BLOCKED promises. What it has sent before can still be read. Once */
  KR_NOTICE_OPENED = 8,   /* with kr_config.notify_conns: a connection was accepted */
  KR_NOTICE_CLOSED = 16,  /* with kr_config.notify_conns: it is gone, and was not detached */
  KR_NOTICE_REASON = 32,  /* with kr_config.notify_reasons: kr_notice.reason was counted for it */
  KR_NOTICE_ACTIVE = 64,  /* with kr_config.notify_states: the first bytes of a request have come */
  KR_NOTICE_IDLE = 128    /* with kr_config.notify_states: all that had come is answered and sent, and it stays open */
};

/* What has happened to a connection, beside requests. The first three kinds are
 * for connections that the receiver has taken over. */
typedef struct kr_notice {
  uint64_t connection;
  uint32_t kinds;
  uint16_t reason;  /* KR_REASON_*, with KR_NOTICE_REASON */
  uint16_t code;    /* with KR_NOTICE_REASON: the status code of the refusal, 0 for none */
  const char *data; /* data_size bytes: what has come of a request that was refused, from its beginning on; null where
                       that is not known any more. Valid until on_batch returns */
  uint64_t data_size;
} kr_notice;

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
  uint32_t now_ms;          /* low bits of a monotonic clock in milliseconds, read at the start of the turn */
  const kr_notice *notices; /* to be looked at before the requests */
  uint32_t notice_count;

  /* With kr_config.receiver_waits, where there is nothing else: the worker has nothing to do for so many milliseconds.
   * on_batch returns then, when wait_fd is readable, or earlier. 0: it is not about that. */
  uint32_t wait_ms;
  int32_t wait_fd; /* the worker's: to be polled, also after the call, but not closed or read from */
  uint32_t reserved;
} kr_batch;

/* kr_batch.wait_ms without an end. */
enum { KR_WAIT_FOREVER = 0x7fffffff };

/* Called on a worker with requests to answer or notices: once a turn, and more
 * often only when a turn has more than a batch holds; and to wait, see
 * kr_batch.wait_ms.
 *
 * The receiver answers requests in order: it writes the bytes of an answer at
 * out + out_size, records them in answer_offset and answer_size, advances
 * out_size and sets KR_ANSWER_DONE. It must leave out every request whose
 * answer_flags are set on entry, every later request of a connection after an
 * answer with KR_ANSWER_CLOSE or KR_ANSWER_ABORT, and every later request of a
 * connection for which kr_batch_write returned KR_ERR_BLOCKED.
 *
 * It must not block, but for a wait, and no exception or panic may leave it. Everything that
 * `batch` reaches is valid during the call. */
typedef void (*kr_on_batch)(void *ctx, kr_batch *batch);

/* A receiver that takes a request over, or a body that has not come whole, needs
 * kr_config.body_collect_max below UINT64_MAX. Before KR_ANSWER_LATER on a request
 * that is not the first of its connection in the batch it calls kr_batch_write for it
 * with no data, and takes over only after KR_OK. */

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

/* ------------------------------------------------------------------ links */

/* A connection that the receiver takes over with KR_ANSWER_LATER is a link: until
 * kr_link_release or kr_link_detach the core does nothing with it but watch for its
 * peer. The functions below are for links only; any thread may call them, also before
 * on_batch has returned, one thread at a time, but for kr_link_read and
 * kr_link_trailer, of which one may run beside kr_link_write, _room and _send_file.
 * Nothing may run beside the call that ends the link. `worker` and `connection` are
 * those of the batch and the request. They do not block, and fail with KR_ERR_CLOSED
 * once kr_interrupt has been called. */

/* Reads the body of the request with KR_REQUEST_BODY_OPEN, without its framing.
 * KR_OK: *size_out bytes, 0 only at the end of the body; what `data` has room for
 * beyond them may be overwritten. KR_ERR_BLOCKED: nothing
 * has come; KR_NOTICE_READABLE will. KR_ERR_CLOSED: the peer has gone before the
 * end. KR_ERR_REFUSED: the framing is broken, or the body exceeds body_size_max;
 * *code_out is the status code to answer with. After an error, and after the end,
 * the same again. */
kr_status kr_link_read(kr_core *core, uint32_t worker, uint64_t connection, char *data, size_t capacity,
                       size_t *size_out, uint16_t *code_out);

/* Milliseconds since the first byte of the request with KR_REQUEST_BODY_OPEN. 0 for other links. */
uint64_t kr_link_age(kr_core *core, uint32_t worker, uint64_t connection);

/* Copies the trailer section of a chunked body whose end kr_link_read has told, RFC 9112 §7.1.2: *size_out bytes of
 * checked field lines as received, each with its CRLF, at most 8 KiB. 0 before the end, and where there are none.
 * KR_ERR_INVALID when they are more than capacity: *size_out says how much, and nothing was copied. They stay there
 * until the link ends. */
kr_status kr_link_trailer(kr_core *core, uint32_t worker, uint64_t connection, char *data, size_t capacity,
                          size_t *size_out);

/* Sends `head`, then `body`. KR_OK: all; KR_ERR_BLOCKED: *size_out bytes of both
 * together; KR_NOTICE_WRITABLE will come. KR_ERR_CLOSED: the connection is lost. With `more` the last segment may wait
 * for the next call, which must follow at once. */
kr_status kr_link_write(kr_core *core, uint32_t worker, uint64_t connection, const char *head, size_t head_size,
                        const char *body, size_t body_size, int more, size_t *size_out);

/* Has the kernel take little, 256 KiB, of what it has not sent, for the rest of the connection: for large answers.
 * Of no effect on a Unix socket. */
void kr_link_bound_unsent(kr_core *core, uint32_t worker, uint64_t connection);

/* KR_OK: *size_out bytes, or nearly as many, can be sent without waiting; SIZE_MAX
 * where the kernel does not tell. KR_ERR_BLOCKED: none, or few; KR_NOTICE_WRITABLE
 * will come. KR_ERR_CLOSED as for kr_link_write. */
kr_status kr_link_room(kr_core *core, uint32_t worker, uint64_t connection, size_t *size_out);

/* Sends `size` bytes of an open file from *offset on, which it advances. KR_OK: all;
 * KR_ERR_BLOCKED: a part; KR_NOTICE_WRITABLE will come. KR_ERR_INVALID: the file
 * cannot be sent this way, or has ended. KR_ERR_CLOSED: the connection is lost; the
 * thread may have had SIGPIPE, which Go ignores. */
kr_status kr_link_send_file(kr_core *core, uint32_t worker, uint64_t connection, int file, int64_t *offset,
                            size_t size);

enum {
  KR_RELEASE_KEEP = 0,  /* the core goes on with the connection's next request; the body was read to its end */
  KR_RELEASE_CLOSE = 1, /* the connection closes once the peer has the answer, RFC 9112 §9.6 */
  KR_RELEASE_ABORT = 2, /* the connection closes now, where it stands: the answer is not whole. An HTTP/1.0 client,
                           to whom that might be the end of the body, sees a reset */
  KR_RELEASE_RESET = 3  /* the connection is reset, and what the kernel holds for the peer is dropped */
};

/* Gives the connection back to the core. */
void kr_link_release(kr_core *core, uint32_t worker, uint64_t connection, uint32_t how);

/* Takes the connection out of the core: *fd_out is yours. Copies what was
 * received and not read, raw, to data[0, *size_out); KR_ERR_INVALID, and nothing
 * has changed, when it is more than capacity: *size_out says how much. */
kr_status kr_link_detach(kr_core *core, uint32_t worker, uint64_t connection, char *data, size_t capacity,
                         size_t *size_out, int *fd_out);

/* As kr_peer, for a link, and within on_batch on its worker for any connection. */
kr_status kr_link_peer(kr_core *core, uint32_t worker, uint64_t connection, uint8_t address_out[16],
                       uint32_t *scope_out, uint16_t *port_out, uint8_t *family_out);

/* Bytes that were sent and that the peer has not acknowledged yet; negative: unknown. */
int32_t kr_link_unsent(kr_core *core, uint32_t worker, uint64_t connection);

/* The descriptor of the link's socket, -1 when there is no such link: for addresses and options, not for input and
 * output, and no longer than the link. Within on_batch on its worker for any connection. */
int kr_link_fd(kr_core *core, uint32_t worker, uint64_t connection);

/* What kr_listen was given as origin with the socket that has accepted the link. */
uint8_t kr_link_origin(kr_core *core, uint32_t worker, uint64_t connection);

/* --------------------------------------------------------------- the core */

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
  uint64_t body_collect_max;   /* a request goes to the receiver when its body is whole, or exceeds this */
  uint32_t notify_conns;       /* non-zero: KR_NOTICE_OPENED and KR_NOTICE_CLOSED are wanted */
  uint32_t preface;            /* non-zero: KR_REQUEST_PREFACE instead of 505 */
  uint32_t notify_reasons;     /* non-zero: KR_NOTICE_REASON is wanted */
  uint32_t receiver_waits;     /* non-zero: a worker waits for events inside on_batch, see kr_batch.wait_ms */
  uint32_t notify_states;      /* non-zero: KR_NOTICE_ACTIVE and KR_NOTICE_IDLE are wanted */
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
 * `origin` is a number of the owner's, for kr_link_origin; several sockets may have
 * the same. Owner. KR_ERR_CLOSED after kr_drain. */
kr_status kr_listen(kr_core *core, int fd, uint32_t worker, uint8_t origin);

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

/* Closes everything and joins the workers. After the return no callback runs.
 * Links stay until they are released, but fail. Owner; never a worker. */
void kr_stop(kr_core *core);

/* Frees the core after kr_stop, when all links are released. Any thread. */
void kr_free(kr_core *core);

/* Closes the idle connections; the others stay. Any thread. */
void kr_close_idle(kr_core *core);

/* Closes a connection, whatever happens on it, or shuts a link's socket down; soon
 * after the return. KR_ERR_BLOCKED: too many are being closed, try again. Any thread. */
kr_status kr_close_connection(kr_core *core, uint32_t worker, uint64_t connection);

/* Non-zero when the calling thread is a worker of this core. Any thread; also
 * while kr_stop runs, since `core` is only compared. */
int32_t kr_is_worker(const kr_core *core);

/* The peer's address of a connection, asked of the kernel and, of IPv4, kept. Worker, during on_batch.
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
