//go:build !kourier_cmake

// kourier.h, function by function: arguments are checked, the engine does the rest.

#include <new>

#include "engine_core.h"
#include "kourier.h"

struct kr_core {
  kourier::engine::core engine{&kourier::net::kKernel};
};

kr_status kr_start(const kr_config *config, const kr_static *statics, uint32_t static_count, kr_on_batch on_batch,
                   void *ctx, kr_core **core_out) {
  if (config == nullptr || core_out == nullptr || (statics == nullptr && static_count != 0)) return KR_ERR_INVALID;
  auto *core = new (std::nothrow) kr_core;
  if (core == nullptr) return KR_ERR_MEMORY;
  const kr_status status = core->engine.start(*config, statics, static_count, on_batch, ctx);
  if (status != KR_OK) {
    delete core;
    return status;
  }
  *core_out = core;
  return KR_OK;
}

kr_status kr_listen(kr_core *core, int fd, uint32_t worker, uint8_t origin) {
  return core->engine.listen(fd, worker, origin);
}

kr_status kr_drain(kr_core *core) { return core->engine.drain(); }

kr_status kr_wait(kr_core *core, uint32_t timeout_ms) { return core->engine.wait(timeout_ms); }

void kr_interrupt(kr_core *core) { core->engine.interrupt(); }

void kr_stop(kr_core *core) { core->engine.stop(); }

void kr_free(kr_core *core) { delete core; }

void kr_close_idle(kr_core *core) { core->engine.close_idle(); }

int32_t kr_is_worker(const kr_core *core) { return core->engine.is_worker() ? 1 : 0; }

kr_status kr_close_connection(kr_core *core, uint32_t worker, uint64_t connection) {
  return core->engine.close_connection(worker, connection);
}

kr_status kr_batch_write(kr_batch *batch, uint32_t index, const char *data, size_t size) {
  return static_cast<kourier::engine::callback_batch *>(batch)->owner->write(index, data, size);
}

kr_status kr_peer(const kr_batch *batch, uint64_t connection, uint8_t address_out[16], uint32_t *scope_out,
                  uint16_t *port_out, uint8_t *family_out) {
  return static_cast<const kourier::engine::callback_batch *>(batch)->owner->peer(connection, address_out, scope_out,
                                                                                  port_out, family_out);
}

kr_status kr_link_read(kr_core *core, uint32_t worker, uint64_t connection, char *data, size_t capacity,
                       size_t *size_out, uint16_t *code_out) {
  return core->engine.worker_at(worker)->link_read(connection, data, capacity, size_out, code_out);
}

uint64_t kr_link_age(kr_core *core, uint32_t worker, uint64_t connection) {
  return core->engine.worker_at(worker)->link_age_ms(connection);
}

kr_status kr_link_trailer(kr_core *core, uint32_t worker, uint64_t connection, char *data, size_t capacity,
                          size_t *size_out) {
  return core->engine.worker_at(worker)->link_trailer(connection, data, capacity, size_out);
}

kr_status kr_link_write(kr_core *core, uint32_t worker, uint64_t connection, const char *head, size_t head_size,
                        const char *body, size_t body_size, int more, size_t *size_out) {
  return core->engine.worker_at(worker)->link_write(connection, head, head_size, body, body_size, more != 0, size_out);
}

void kr_link_bound_unsent(kr_core *core, uint32_t worker, uint64_t connection) {
  core->engine.worker_at(worker)->link_bound_unsent(connection);
}

kr_status kr_link_room(kr_core *core, uint32_t worker, uint64_t connection, size_t *size_out) {
  return core->engine.worker_at(worker)->link_room(connection, size_out);
}

kr_status kr_link_send_file(kr_core *core, uint32_t worker, uint64_t connection, int file, int64_t *offset,
                            size_t size) {
  return core->engine.worker_at(worker)->link_send_file(connection, file, offset, size);
}

void kr_link_release(kr_core *core, uint32_t worker, uint64_t connection, uint32_t how) {
  core->engine.worker_at(worker)->link_release(connection, how);
}

kr_status kr_link_detach(kr_core *core, uint32_t worker, uint64_t connection, char *data, size_t capacity,
                         size_t *size_out, int *fd_out) {
  return core->engine.worker_at(worker)->link_detach(connection, data, capacity, size_out, fd_out);
}

kr_status kr_link_peer(kr_core *core, uint32_t worker, uint64_t connection, uint8_t address_out[16],
                       uint32_t *scope_out, uint16_t *port_out, uint8_t *family_out) {
  return core->engine.worker_at(worker)->peer(connection, address_out, scope_out, port_out, family_out);
}

int32_t kr_link_unsent(kr_core *core, uint32_t worker, uint64_t connection) {
  return core->engine.worker_at(worker)->link_unsent(connection);
}

int kr_link_fd(kr_core *core, uint32_t worker, uint64_t connection) {
  return core->engine.worker_at(worker)->link_fd(connection);
}

uint8_t kr_link_origin(kr_core *core, uint32_t worker, uint64_t connection) {
  return core->engine.worker_at(worker)->link_origin(connection);
}

kr_status kr_stats(const kr_core *core, uint32_t worker, kr_worker_stats *stats_out) {
  if (stats_out == nullptr) return KR_ERR_INVALID;
  return core->engine.stats(worker, stats_out);
}
