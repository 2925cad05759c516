//go:build !kourier_cmake

#include "engine_statics.h"

#include <cstring>

namespace kourier::engine {

namespace {

// How well an answer matches: 0 not at all, else better when higher.
uint32_t rank(const kr_static &answer, uint8_t method, const char *path, uint32_t path_size) {
  const bool same_method = answer.method == method || (answer.method == KR_METHOD_GET && method == KR_METHOD_HEAD);
  if (answer.method != KR_METHOD_OTHER && !same_method) return 0;
  if (answer.path_size > path_size || std::memcmp(answer.path, path, answer.path_size) != 0) return 0;
  if (answer.path_size != path_size && answer.subtree == 0) return 0;
  // A named method beats any, an exact method beats GET standing in for HEAD.
  const uint32_t method_rank = answer.method == method && method != KR_METHOD_OTHER ? 2 : same_method ? 1 : 0;
  // Of two with equal paths the one that is not for what is below as well comes first.
  const uint32_t exact_rank = answer.subtree == 0 ? 3 : 0;
  return answer.path_size * 6 + exact_rank + method_rank + 1;
}

}  // namespace

statics::~statics() {
  if (answers_ != nullptr) pages_.unmap(answers_, size_);
}

kr_status statics::open(const kr_static *answers, uint32_t count) {
  if (count == 0) return KR_OK;
  if (count > kCountMax) return KR_ERR_INVALID;
  size_t size = count * sizeof(kr_static);
  for (uint32_t i = 0; i < count; ++i) {
    const kr_static &a = answers[i];
    const uint64_t total = uint64_t{a.path_size} + a.head_size + a.body_size;
    if (a.path_size == 0 || a.head_size == 0 || total > kSizeMax || a.code < 200 || a.code > 999) return KR_ERR_INVALID;
    size += total;
  }
  answers_ = static_cast<kr_static *>(pages_.map(size));
  if (answers_ == nullptr) return KR_ERR_MEMORY;
  size_ = size;
  count_ = count;
  char *at = reinterpret_cast<char *>(answers_ + count);
  const auto keep = [&at](const char *from, uint32_t part_size) {
    char *kept = at;
    if (part_size != 0) std::memcpy(at, from, part_size);
    at += part_size;
    return kept;
  };
  for (uint32_t i = 0; i < count; ++i) {
    answers_[i] = answers[i];
    answers_[i].path = keep(answers[i].path, answers[i].path_size);
    answers_[i].head = keep(answers[i].head, answers[i].head_size);
    answers_[i].body = keep(answers[i].body, answers[i].body_size);
  }
  return KR_OK;
}

const kr_static *statics::find(uint8_t method, const char *path, uint32_t path_size) const {
  const kr_static *best = nullptr;
  uint32_t best_rank = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    const uint32_t r = rank(answers_[i], method, path, path_size);
    if (r > best_rank) {
      best_rank = r;
      best = &answers_[i];
    }
  }
  return best;
}

}  // namespace kourier::engine
