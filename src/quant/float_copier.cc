// SPDX-License-Identifier: Apache-2.0
#include "quant/float_copier.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/interrupt.h"
#include "base/progress.h"

namespace ingot {
namespace {

constexpr uint64_t kSyncBytes = 256u << 20;  // a portion: what an interruption may cost

}  // namespace

FloatCopier::FloatCopier(const ModelReader& reader, FolderWriter* writer, MarkFn mark)
    : reader_(reader), writer_(writer), mark_(std::move(mark)) {
  for (const std::string& name : writer_->FloatNames()) {
    if (writer_->IsWritten(name)) continue;
    names_.push_back(name);
    total_bytes_ += LayoutBytes(writer_->Planned(name));
  }
}

FloatCopier::~FloatCopier() {
  stop_ = true;
  if (running_.valid()) running_.wait();
}

bool FloatCopier::Aligned() const {
  return std::all_of(names_.begin(), names_.end(), [&](const std::string& name) {
    const TensorInfo* info = reader_.Find(name);
    return info == nullptr || info->offset % DTypeSize(info->dtype) == 0;
  });
}

void FloatCopier::Start() {
  if (Aligned()) running_ = std::async(std::launch::async, [this] { Run(); });
}

void FloatCopier::Run() {
  std::vector<std::string> pending;
  uint64_t unsynced = 0;
  const auto sync = [&] {
    if (pending.empty()) return;
    writer_->Sync();
    mark_(pending);
    pending.clear();
    unsynced = 0;
  };
  for (const std::string& name : names_) {
    if (stop_ || InterruptRequested()) break;
    writer_->WriteFloat(name);
    if (drop_ && reader_.Has(name)) reader_.Drop(name);
    pending.push_back(name);
    const uint64_t bytes = LayoutBytes(writer_->Planned(name));
    copied_bytes_ += bytes;
    unsynced += bytes;
    if (unsynced >= kSyncBytes) sync();
  }
  sync();
}

void FloatCopier::ThrowIfFailed() {
  if (running_.valid() && running_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) running_.get();
}

void FloatCopier::Finish() {
  if (!running_.valid() && copied_bytes_ < total_bytes_) {
    drop_ = true;
    running_ = std::async(std::launch::async, [this] { Run(); });
  }
  ByteProgress progress("copy", total_bytes_);
  uint64_t shown = 0;
  const auto show = [&] {
    const uint64_t copied = copied_bytes_;
    progress.Advance(copied - std::exchange(shown, copied));
  };
  while (running_.valid() && running_.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) show();
  show();
  if (running_.valid()) running_.get();
}

}  // namespace ingot
