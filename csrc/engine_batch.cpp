//go:build !kourier_cmake

#include "engine_batch.h"

namespace kourier::engine {

batch::~batch() {
  if (block_ != nullptr) pages_->unmap(block_, block_size_);
}

bool batch::open(uint32_t field_count_max) {
  const size_t requests_size = kRequestsMax * sizeof(kr_request);
  const size_t shares_size = kSharesMax * sizeof(share);
  const size_t fields_size = (size_t{kFieldsMax} + field_count_max) * sizeof(kr_field);
  block_size_ = kArenaSize + kOutSize + kCoreAnswersSize + requests_size + shares_size + fields_size +
                kNoticesMax * sizeof(kr_notice);
  block_ = static_cast<char *>(pages_->map(block_size_));
  if (block_ == nullptr) return false;
  char *at = block_;
  const auto cut = [&at](size_t size) {
    char *part = at;
    at += size;
    return part;
  };
  arena = cut(kArenaSize);
  out = cut(kOutSize);
  core_answers = cut(kCoreAnswersSize);
  requests = reinterpret_cast<kr_request *>(cut(requests_size));
  shares = reinterpret_cast<share *>(cut(shares_size));
  fields = reinterpret_cast<kr_field *>(cut(fields_size));
  notices = reinterpret_cast<kr_notice *>(cut(kNoticesMax * sizeof(kr_notice)));
  return true;
}

void batch::clear() {
  requests_used = 0;
  unanswered = 0;
  fields_used = 0;
  repeatable = nullptr;
  share_count = 0;
  core_answers_used = 0;
}

}  // namespace kourier::engine
