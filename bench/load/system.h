#ifndef KOURIER_BENCH_SYSTEM_H
#define KOURIER_BENCH_SYSTEM_H

#include <netinet/in.h>

#include <cstdint>

namespace load {

// Nanoseconds of the monotonic clock.
uint64_t now_ns();

constexpr uint64_t kSecond = 1'000'000'000;

// Begins to connect a non-blocking socket to the server, from the index-th source address of address_count. A receive
// buffer of 0 is the system's choice. Returns the socket, or -1 with errno set.
int begin_connect(in_addr server, uint16_t port, uint32_t index, uint32_t address_count, int receive_buffer_size);

// Closes with RST, so that no socket remains in TIME_WAIT and a next run finds its ports free.
void close_hard(int fd);

// Lifts the limit of open files to what the system allows this process.
void lift_file_limit();

}  // namespace load

#endif
