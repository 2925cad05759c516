// Answers that are given without a receiver, by method and path.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base_memory.h"
#include "kourier.h"

namespace kourier::engine {

class statics {
 public:
  static constexpr uint32_t kCountMax = 1024;
  static constexpr uint32_t kSizeMax = 64 * 1024;  // path, head and body of one answer together

  statics() = default;
  ~statics();
  statics(const statics &) = delete;
  statics &operator=(const statics &) = delete;

  // Copies the answers. KR_ERR_INVALID for too many or too large ones.
  [[nodiscard]] kr_status open(const kr_static *answers, uint32_t count);

  bool empty() const { return count_ == 0; }

  // The answer with the longest path that matches, by whole segments; of two
  // with equal paths the one that names the method. Null: none.
  const kr_static *find(uint8_t method, const char *path, uint32_t path_size) const;

 private:
  base::page_source pages_;
  kr_static *answers_ = nullptr;
  uint32_t count_ = 0;
  size_t size_ = 0;
};

}  // namespace kourier::engine
