// SPDX-License-Identifier: Apache-2.0
#include "engine/picture_cache.h"

namespace ingot {

int64_t FeatureBytes(const VisionOutput& features) {
  size_t n_values = features.embeds.size();
  for (const std::vector<float>& tap : features.deepstack) n_values += tap.size();
  return static_cast<int64_t>(n_values * sizeof(float));
}

PictureFeatures PictureCache::Find(const PictureId& id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  order_.splice(order_.end(), order_, found->second);
  return found->second->features;
}

void PictureCache::Insert(const PictureId& id, PictureFeatures features) {
  const int64_t size = FeatureBytes(*features);
  if (size > max_bytes_ || by_id_.contains(id)) return;
  while (bytes_ + size > max_bytes_) {
    bytes_ -= FeatureBytes(*order_.front().features);
    by_id_.erase(order_.front().id);
    order_.pop_front();
  }
  by_id_[id] = order_.insert(order_.end(), {id, std::move(features)});
  bytes_ += size;
}

void PictureCache::Clear() {
  by_id_.clear();
  order_.clear();
  bytes_ = 0;
}

}  // namespace ingot
