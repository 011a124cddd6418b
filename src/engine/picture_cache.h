// SPDX-License-Identifier: Apache-2.0
// What the vision tower made of pictures, by identity, up to a number of bytes; the picture unused
// for longest goes first. A second question about the same picture runs no tower.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>

#include "engine/request.h"
#include "model/vision_tower.h"

namespace ingot {

using PictureFeatures = std::shared_ptr<const VisionOutput>;

int64_t FeatureBytes(const VisionOutput& features);

class PictureCache {
 public:
  explicit PictureCache(int64_t max_bytes) : max_bytes_(max_bytes) {}
  PictureFeatures Find(const PictureId& id);  // null when it is not here
  void Insert(const PictureId& id, PictureFeatures features);
  void Clear();
  int64_t bytes() const { return bytes_; }
  int64_t size() const { return static_cast<int64_t>(order_.size()); }

 private:
  struct Entry {
    PictureId id;
    PictureFeatures features;
  };
  int64_t max_bytes_, bytes_ = 0;
  std::list<Entry> order_;  // front: unused for longest
  std::map<PictureId, std::list<Entry>::iterator> by_id_;
};

}  // namespace ingot
