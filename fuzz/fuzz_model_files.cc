// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: the JSON files of a model folder. The first line of an input is the name of a
// file, the rest its content; it is refused with a UserError or FormatError that names the file, or
// read to something that the rest of the program can rely on.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "base/error.h"
#include "checkpoint/config.h"
#include "checkpoint/folder_layout.h"
#include "checkpoint/quant_format.h"
#include "checkpoint/shard_index.h"
#include "checkpoint/tensor_table.h"
#include "fuzz.h"

namespace {

namespace fs = std::filesystem;
using namespace ingot;  // NOLINT
using fuzz::Require;

// One folder for the process, in memory where the machine has such a place.
const fs::path& Folder() {
  static const struct Scratch {
    fs::path path;
    Scratch() {
      const fs::path base = fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
      path = base / ("ingot-fuzz-" + std::to_string(getpid()));
      fs::create_directories(path);
    }
    ~Scratch() { fs::remove_all(path); }
  } scratch;
  return scratch.path;
}

// A config that is accepted describes a model whose tensors can be listed and counted.
void ReadConfig(const fs::path& file) {
  const ModelConfig config = LoadModelConfig(file.parent_path());
  if (config.family != ModelFamily::kQwen3VL) return;
  for (const bool tied : {false, true}) {
    for (const TensorSpec& tensor : TensorTable(config, tied)) {
      int64_t elements = 1;
      for (const int64_t size : tensor.shape) {
        Require(size > 0, "sizes of tensors are positive");
        Require(!__builtin_mul_overflow(elements, size, &elements), "tensors can be counted");
      }
    }
  }
}

void ReadDescription(const fs::path& file) {
  const QuantDescription description = ParseQuantDescription(file);
  Require(!description.model_quant_type.empty(), "model_quant_type is there");
  for (const auto& [name, label] : description.labels) {
    const std::string* found = description.Find(name);
    Require(found != nullptr && *found == label, "labels are found by name");
  }
}

void ReadIndex(const fs::path& file) {
  for (const auto& [tensor, shard] : ParseShardIndex(file).weight_map) {
    Require(!shard.empty() && shard.find('/') == std::string::npos && shard != "..",
            "shards lie inside the folder");
  }
}

// What RewriteConfig makes of a config can be read again.
void Rewrite(const fs::path& file) {
  std::ifstream stream(file);
  const std::string text((std::istreambuf_iterator<char>(stream)), {});
  for (const Target target : AllTargets()) {
    FolderLayout layout{target, {}};
    if (target == Target::kGoldenStick310) layout.options.run_dtype = DType::kF16;
    const std::string once = RewriteConfig(layout, text, {}, file.string());
    Require(RewriteConfig(layout, once, {}, file.string()) == once, "rewriting twice is idle");
  }
}

using Reader = void (*)(const fs::path&);
const std::map<std::string, Reader, std::less<>> kReaders = {
    {"config.json", [](const fs::path& file) { ReadConfig(file); }},
    {"config.json rewritten", [](const fs::path& file) { Rewrite(file); }},
    {"config.json compressed",
     [](const fs::path& file) { LoadCompressedTensorsConfig(file.parent_path()); }},
    {"generation_config.json",
     [](const fs::path& file) { LoadGenerationConfig(file.parent_path(), {}); }},
    {"preprocessor_config.json",
     [](const fs::path& file) { LoadImageProcessor(file.parent_path()); }},
    {"video_preprocessor_config.json",
     [](const fs::path& file) { LoadVideoProcessor(file.parent_path()); }},
    {"quant_model_description.json", ReadDescription},
    {"model.safetensors.index.json", ReadIndex},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [what, content] = fuzz::SplitFirstLine(fuzz::AsText(data, size));
  const auto reader = kReaders.find(what);
  if (reader == kReaders.end()) return -1;  // not kept in the corpus
  const std::string name(what.substr(0, what.find(' ')));
  const fs::path file = Folder() / name;
  std::ofstream(file, std::ios::binary) << content;
  try {
    reader->second(file);
  } catch (const Error& error) {
    Require(error.kind() == ErrorKind::kUser || error.kind() == ErrorKind::kFormat,
            std::string("bad content is the user's: ") + error.what());
    Require(std::string_view(error.what()).find(name) != std::string_view::npos,
            std::string("the error names the file: ") + error.what());
  }
  fs::remove(file);
  return 0;
}
