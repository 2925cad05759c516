// Bytes that end where a PROT_NONE page begins: whoever reads one octet too many
// dies there and then.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

namespace kourier::test {

class guarded_buffer {
 public:
  explicit guarded_buffer(size_t capacity) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    room_ = (capacity + page - 1) / page * page;
    mapped_ = room_ + page;
    void *memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(static_cast<char *>(memory) + room_, page, PROT_NONE) != 0) std::abort();
    start_ = static_cast<char *>(memory);
  }
  guarded_buffer(const guarded_buffer &) = delete;
  guarded_buffer &operator=(const guarded_buffer &) = delete;
  ~guarded_buffer() { munmap(start_, mapped_); }

  // Copies `bytes` to the wall. Valid until the next put.
  std::string_view put(std::string_view bytes) {
    if (bytes.size() > room_) std::abort();
    char *to = start_ + room_ - bytes.size();
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    return {to, bytes.size()};
  }

 private:
  char *start_ = nullptr;
  size_t room_ = 0;
  size_t mapped_ = 0;
};

}  // namespace kourier::test
