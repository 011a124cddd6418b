// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors_header.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <unordered_set>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/json_value.h"

namespace ingot {
namespace {

constexpr const char* kRemedy = "Download or write the file again.";
constexpr size_t kMaxRank = 16;
constexpr size_t kMaxNameLength = 1024;

// One entry of the header as it stands in the file, before it is believed.
struct RawTensor {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  std::vector<uint64_t> offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

// Takes the parser's events for {name: {"dtype": s, "shape": [n...], "data_offsets": [n, n]}} and
// {"__metadata__": {s: s}}; everything else is an error at once, so neither depth nor size of
// unexpected parts matter.
class HeaderSax : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderSax(const std::string& file) : file_(file) {}

  std::vector<RawTensor> tensors;
  std::map<std::string, std::string> metadata;

  bool null() override { Unexpected("null"); }
  bool boolean(bool value) override { Unexpected(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { Unexpected(fmt::format("{}", value)); }
  bool number_float(number_float_t, const string_t& text) override {
    Unexpected(Printable(text, 40));
  }
  bool binary(binary_t&) override { Unexpected("binary data"); }
  bool number_unsigned(number_unsigned_t value) override;
  bool string(string_t& value) override;
  bool start_object(std::size_t) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool key(string_t& name) override;
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override;

 private:
  enum class State { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kEnd };
  enum class Field { kNone, kDType, kShape, kOffsets };

  [[noreturn]] void Unexpected(const std::string& found) const;
  std::string Where() const {
    if (state_ == State::kStart || state_ == State::kTop) return file_;
    if (state_ == State::kMetadata) return file_ + ": __metadata__";
    return fmt::format("{}: tensor {}", file_,
                       tensors.empty() ? "?" : Printable(tensors.back().name));
  }
  void StartTensor(std::string& name);
  void StartField(const std::string& name);

  const std::string& file_;
  State state_ = State::kStart;
  Field field_ = Field::kNone;
  bool in_metadata_next_ = false, seen_metadata_ = false;
  std::string metadata_key_;
  std::unordered_set<std::string> names_;
};

void HeaderSax::Unexpected(const std::string& found) const {
  const char* expected = "the end of the header";
  switch (state_) {
    case State::kStart:
      expected = "an object of tensors";
      break;
    case State::kTop:
      expected = "an object with dtype, shape and data_offsets";
      break;
    case State::kMetadata:
      expected = "a string";
      break;
    case State::kTensor:
      expected = field_ == Field::kDType ? "a string as dtype" : "a list of whole numbers >= 0";
      break;
    case State::kShape:
      expected = "whole numbers >= 0 in the shape";
      break;
    case State::kOffsets:
      expected = "whole numbers >= 0 as data_offsets";
      break;
    case State::kEnd:
      break;
  }
  throw FormatError("{}: the header has {} where {} was expected. {}", Where(), found, expected,
                    kRemedy);
}

bool HeaderSax::number_unsigned(number_unsigned_t value) {
  if (state_ != State::kShape && state_ != State::kOffsets) {
    Unexpected(fmt::format("the number {}", value));
  }
  RawTensor& tensor = tensors.back();
  const bool is_shape = state_ == State::kShape;
  std::vector<uint64_t>& list = is_shape ? tensor.shape : tensor.offsets;
  const size_t limit = is_shape ? kMaxRank : 2;
  if (list.size() == limit) {
    throw FormatError("{}: {} has more than {} numbers. {}", Where(),
                      is_shape ? "shape" : "data_offsets", limit, kRemedy);
  }
  list.push_back(value);
  return true;
}

bool HeaderSax::string(string_t& value) {
  if (state_ == State::kMetadata) {
    metadata[metadata_key_] = std::move(value);
    return true;
  }
  if (state_ != State::kTensor || field_ != Field::kDType) {
    Unexpected(fmt::format("the string \"{}\"", Printable(value, 40)));
  }
  tensors.back().dtype = std::move(value);
  field_ = Field::kNone;
  return true;
}

bool HeaderSax::start_object(std::size_t) {
  if (state_ == State::kStart) {
    state_ = State::kTop;
  } else if (state_ == State::kTop) {
    state_ = in_metadata_next_ ? State::kMetadata : State::kTensor;
  } else {
    Unexpected("an object");
  }
  return true;
}

bool HeaderSax::end_object() {
  if (state_ == State::kTensor) {
    const RawTensor& tensor = tensors.back();
    const char* missing = !tensor.has_dtype     ? "dtype"
                          : !tensor.has_shape   ? "shape"
                          : !tensor.has_offsets ? "data_offsets"
                                                : nullptr;
    if (missing != nullptr) {
      throw FormatError("{}: the header entry has no {}. {}", Where(), missing, kRemedy);
    }
  }
  state_ = state_ == State::kTop ? State::kEnd : State::kTop;
  in_metadata_next_ = false;
  return true;
}

bool HeaderSax::start_array(std::size_t) {
  if (state_ == State::kTensor && field_ == Field::kShape) {
    state_ = State::kShape;
  } else if (state_ == State::kTensor && field_ == Field::kOffsets) {
    state_ = State::kOffsets;
  } else {
    Unexpected("a list");
  }
  return true;
}

bool HeaderSax::end_array() {
  if (state_ == State::kOffsets && tensors.back().offsets.size() != 2) {
    throw FormatError("{}: data_offsets has {} numbers, 2 were expected. {}", Where(),
                      tensors.back().offsets.size(), kRemedy);
  }
  state_ = State::kTensor;
  field_ = Field::kNone;
  return true;
}

bool HeaderSax::key(string_t& name) {
  if (state_ == State::kTop) {
    StartTensor(name);
  } else if (state_ == State::kMetadata) {
    if (metadata.count(name) != 0) {
      throw FormatError("{}: the key \"{}\" stands twice. {}", Where(), Printable(name), kRemedy);
    }
    metadata_key_ = name;
  } else {
    StartField(name);
  }
  return true;
}

void HeaderSax::StartTensor(std::string& name) {
  if (name == "__metadata__") {
    if (seen_metadata_) throw FormatError("{}: two __metadata__ entries. {}", file_, kRemedy);
    seen_metadata_ = in_metadata_next_ = true;
    return;
  }
  if (name.empty() || name.size() > kMaxNameLength) {
    throw FormatError("{}: a tensor name of {} bytes (\"{}\"); 1 to {} were expected. {}", file_,
                      name.size(), Printable(name, 60), kMaxNameLength, kRemedy);
  }
  if (std::any_of(name.begin(), name.end(),
                  [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    throw FormatError("{}: the tensor name \"{}\" holds control characters. {}", file_,
                      Printable(name), kRemedy);
  }
  if (!names_.insert(name).second) {
    throw FormatError(
        "{}: tensor {}: stands twice in the header; readers would disagree about "
        "which one counts. {}",
        file_, Printable(name), kRemedy);
  }
  tensors.emplace_back().name = std::move(name);
}

void HeaderSax::StartField(const std::string& name) {
  RawTensor& tensor = tensors.back();
  bool* seen = nullptr;
  if (name == "dtype") {
    field_ = Field::kDType;
    seen = &tensor.has_dtype;
  } else if (name == "shape") {
    field_ = Field::kShape;
    seen = &tensor.has_shape;
  } else if (name == "data_offsets") {
    field_ = Field::kOffsets;
    seen = &tensor.has_offsets;
  } else {
    throw FormatError(
        "{}: unknown header field \"{}\"; dtype, shape and data_offsets were "
        "expected. {}",
        Where(), Printable(name, 60), kRemedy);
  }
  if (*seen) {
    throw FormatError("{}: the header field {} stands twice. {}", Where(), name, kRemedy);
  }
  *seen = true;
}

bool HeaderSax::parse_error(std::size_t position, const std::string&,
                            const nlohmann::detail::exception& error) {
  std::string what = error.what();
  if (const size_t bracket = what.find("] "); bracket != std::string::npos)
    what.erase(0, bracket + 2);
  throw FormatError("{}: the header is not valid JSON (byte {} of the header): {}. {}", file_,
                    position, Printable(what, 300), kRemedy);
}

// Length field and bounds. Returns the header text.
std::string_view HeaderText(std::string_view head, uint64_t size, const std::string& file) {
  if (size < 8) {
    throw FormatError(
        "{}: has {} bytes; a safetensors file begins with an 8-byte header length. {}", file, size,
        kRemedy);
  }
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(head[i]);
  if (head.substr(0, 7) == "version") {
    throw FormatError(
        "{}: is a Git LFS pointer, not the weights. Fetch the file itself "
        "(git lfs pull).",
        file);
  }
  if (length > kMaxSafetensorsHeader) {
    throw FormatError(
        "{}: the header length field says {} bytes; at most {} were expected. Is this "
        "a safetensors file? {}",
        file, length, kMaxSafetensorsHeader, kRemedy);
  }
  if (length > size - 8) {
    throw FormatError(
        "{}: the header length field says {} bytes, the file has {} after it: it is "
        "cut off. {}",
        file, length, size - 8, kRemedy);
  }
  const std::string_view text = head.substr(8, length);
  if (text.empty() || text[0] != '{') {
    throw FormatError(
        "{}: the header begins with \"{}\", a '{{' was expected. Is this a safetensors "
        "file? {}",
        file, Printable(text.substr(0, 1)), kRemedy);
  }
  // The JSON parser would take a zero byte for the end of the text and ignore what follows.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    throw FormatError("{}: the header holds a zero byte at {}. {}", file, zero, kRemedy);
  }
  return text;
}

// shape x dtype in bytes, refusing overflow.
TensorInfo CheckTensor(RawTensor raw, const std::string& file) {
  const auto dtype = ParseDType(raw.dtype);
  if (!dtype) {
    throw FormatError(
        "{}: tensor {}: dtype \"{}\" is not known to this program (BOOL, U8 ... F64). "
        "Convert the file to one of them.",
        file, Printable(raw.name), Printable(raw.dtype, 40));
  }
  TensorInfo info{.name = std::move(raw.name), .dtype = *dtype};
  uint64_t bytes = DTypeSize(*dtype);
  bool empty = false;
  for (const uint64_t dim : raw.shape) {
    empty = empty || dim == 0;
    if (dim > INT64_MAX || (dim != 0 && bytes > INT64_MAX / dim)) {
      throw FormatError("{}: tensor {}: shape [{}] overflows. {}", file, Printable(info.name),
                        fmt::join(raw.shape, ", "), kRemedy);
    }
    if (dim != 0) bytes *= dim;
    info.shape.push_back(static_cast<int64_t>(dim));
  }
  info.nbytes = empty ? 0 : bytes;
  const uint64_t begin = raw.offsets[0], end = raw.offsets[1];
  if (end < begin || end - begin != info.nbytes) {
    throw FormatError("{}: tensor {}: {} {} needs {} bytes, data_offsets [{}, {}] hold {}. {}",
                      file, Printable(info.name), raw.dtype, ShapeText(info.shape), info.nbytes,
                      begin, end, end < begin ? "none" : fmt::format("{}", end - begin), kRemedy);
  }
  info.offset = begin;  // from the start of the data; made absolute by the caller
  return info;
}

// The tensors, taken by offset, must tile [0, data_bytes) exactly.
void CheckTiling(const std::vector<TensorInfo>& tensors, uint64_t data_bytes,
                 const std::string& file) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(tensors[a].offset, tensors[a].nbytes) <
           std::pair(tensors[b].offset, tensors[b].nbytes);
  });
  uint64_t expected = 0;
  for (const size_t i : order) {
    const TensorInfo& tensor = tensors[i];
    if (tensor.offset > data_bytes || tensor.nbytes > data_bytes - tensor.offset) {
      throw FormatError(
          "{}: tensor {}: its {} bytes at {} lie outside the {} bytes of data: the file "
          "is cut off. {}",
          file, Printable(tensor.name), tensor.nbytes, tensor.offset, data_bytes, kRemedy);
    }
    if (tensor.offset != expected) {
      throw FormatError("{}: tensor {}: its data begins at {}, {} was expected ({}). {}", file,
                        Printable(tensor.name), tensor.offset, expected,
                        tensor.offset < expected ? "it overlaps another tensor"
                                                 : "a hole that belongs to no tensor",
                        kRemedy);
    }
    expected += tensor.nbytes;
  }
  if (expected != data_bytes) {
    throw FormatError(
        "{}: {} bytes of data after the header, the tensors need {}: {} bytes too many. "
        "{}",
        file, data_bytes, expected, data_bytes - expected, kRemedy);
  }
}

}  // namespace

SafetensorsHeader ParseSafetensorsHeader(std::string_view head, uint64_t size,
                                         const std::string& file) {
  const std::string_view text = HeaderText(head, size, file);
  HeaderSax sax(file);
  nlohmann::json::sax_parse(text, &sax);

  SafetensorsHeader header;
  header.metadata = std::move(sax.metadata);
  header.data_bytes = size - 8 - text.size();
  header.tensors.reserve(sax.tensors.size());
  for (RawTensor& raw : sax.tensors) header.tensors.push_back(CheckTensor(std::move(raw), file));
  CheckTiling(header.tensors, header.data_bytes, file);
  for (TensorInfo& tensor : header.tensors) tensor.offset += 8 + text.size();
  return header;
}

}  // namespace ingot
