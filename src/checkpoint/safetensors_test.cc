// SPDX-License-Identifier: Apache-2.0
// The reader believes nothing: every rule of the format broken one at a time, then many random
// mutations of a sound file, none of which may crash or be read as something it is not.
#include "checkpoint/safetensors.h"

#include <cstring>
#include <numeric>
#include <random>

#include "checkpoint/safetensors_header.h"
#include "checkpoint/test_files.h"

namespace ingot {
namespace {

using testing::AllOf;
using testing::HasSubstr;

SafetensorsHeader Parse(const std::string& bytes) {
  return ParseSafetensorsHeader(bytes, bytes.size(), "f.safetensors");
}

// A sound file of two tensors: a F32 [2] and b I8 [3], in this order of data.
std::string SoundHeader() {
  return R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
         R"("b":{"dtype":"I8","shape":[3],"data_offsets":[8,11]}})";
}
std::string SoundFile() {
  return WithLength(SoundHeader()) + std::string("\0\0\x80\x3f\0\0\0\xc0\x01\xff\x7f", 11);
}

TEST(Safetensors, ReadsASoundFile) {
  ScratchDir dir;
  const SafetensorsFile file(dir.Write("m.safetensors", SoundFile()));
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.data_bytes(), 11u);
  EXPECT_EQ(file.tensors()[1].name, "b");
  EXPECT_EQ(file.tensors()[1].dtype, DType::kI8);
  EXPECT_THAT(file.View("a").As<float>(), testing::ElementsAre(1.0f, -2.0f));
  EXPECT_THAT(file.View("b").As<int8_t>(), testing::ElementsAre(1, -1, 127));
  EXPECT_EQ(file.Find("c"), nullptr);
  ExpectError<FormatError>([&] { file.View("c"); },
                           AllOf(HasSubstr("tensor c"), HasSubstr("2 tensors")));
}

TEST(Safetensors, MissingFileIsAUserError) {
  ExpectError<UserError>([] { SafetensorsFile file("/nowhere/m.safetensors"); },
                         HasSubstr("/nowhere"));
}

TEST(Safetensors, MisalignedTensorsAreReadThroughACopy) {
  // 1 byte of I8 before an F32: its data begins at an odd address.
  const std::string header = R"({"b":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},)"
                             R"("a":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  ScratchDir dir;
  const SafetensorsFile file(dir.Write(
      "m.safetensors", WithLength(header) + std::string("\x05\0\0\x80\x3f\0\0\0\xc0", 9)));
  const TensorView view = file.View("a");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(view.bytes.data()) % 4, 0u);
  EXPECT_THAT(view.As<float>(), testing::ElementsAre(1.0f, -2.0f));
  file.Drop(*file.Find("a"));
  EXPECT_THAT(file.View("a").As<float>(), testing::ElementsAre(1.0f, -2.0f));
}

TEST(Safetensors, MetadataEmptyTensorsScalarsAndPadding) {
  const std::string header =
      "{\"__metadata__\":{\"format\":\"pt\",\"k\":\"v\"},"
      "\"e\":{\"dtype\":\"F16\",\"shape\":[0,1152921504606846976],\"data_offsets\":[2,2]},"
      "\"s\":{\"data_offsets\":[0,2],\"shape\":[],\"dtype\":\"BF16\"}}   \n";
  const auto parsed = Parse(WithLength(header) + "ab");
  EXPECT_EQ(parsed.metadata.at("format"), "pt");
  EXPECT_EQ(parsed.tensors[0].nbytes, 0u);
  EXPECT_EQ(parsed.tensors[1].shape, Shape{});
  EXPECT_EQ(parsed.tensors[1].nbytes, 2u);
  EXPECT_EQ(Parse(WithLength("{}")).tensors.size(), 0u);
}

struct Hostile {
  const char* name;
  std::string bytes;
  const char* message;
};

std::string Entry(const std::string& fields) { return WithLength("{\"a\":{" + fields + "}}"); }
std::string Shaped(const std::string& shape, const std::string& offsets,
                   const char* dtype = "F32") {
  return Entry(
      fmt::format("\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":{}", dtype, shape, offsets));
}

std::vector<Hostile> HostileFiles() {
  const std::string eight(8, 'x');
  const auto length = [](uint64_t n) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &n, 8);
    return bytes;
  };
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100000; ++i) deep += "[";
  const std::string one = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  return {
      {"empty file", "", "has 0 bytes"},
      {"seven bytes", "1234567", "has 7 bytes"},
      {"length of 2^64-1", length(UINT64_MAX) + "{}",
       "header length field says 18446744073709551615"},
      {"length over the cap", length((100u << 20) + 1) + "{}", "at most 104857600"},
      {"length beyond the file", length(100) + "{}", "it is cut off"},
      {"length zero", length(0) + "{}", "header begins with"},
      {"a zip archive", "PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0", "f.safetensors: "},
      {"git lfs pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS"},
      {"leading blank", WithLength(" {}"), "header begins with"},
      {"byte order mark", WithLength("\xEF\xBB\xBF{}"), "header begins with"},
      {"an array", WithLength("[1]"), "header begins with"},
      {"no json", WithLength("{hello}"), "not valid JSON"},
      {"cut json", WithLength("{\"a\":"), "not valid JSON"},
      {"two documents", WithLength("{}{}"), "not valid JSON"},
      {"zero padding", WithLength(std::string("{}\0\0", 4)), "zero byte"},
      {"zero byte hides the rest", WithLength(std::string("{}\0{\"a\":1}", 10)), "zero byte"},
      {"bad utf-8", WithLength("{\"\xff\":1}"), "not valid JSON"},
      {"overlong utf-8", WithLength("{\"\xc0\xaf\":1}"), "not valid JSON"},
      {"lone surrogate", WithLength("{\"\\ud800\":1}"), "not valid JSON"},
      {"depth", WithLength(deep), "a list where an object"},
      {"deep metadata", WithLength("{\"__metadata__\":{\"a\":{\"b\":{}}}}"),
       "an object where a string"},
      {"metadata number", WithLength("{\"__metadata__\":{\"a\":1}}"),
       "the number 1 where a string"},
      {"metadata list", WithLength("{\"__metadata__\":[]}"), "a list where"},
      {"two metadata", WithLength("{\"__metadata__\":{},\"__metadata__\":{}}"), "two __metadata__"},
      {"metadata key twice", WithLength(R"({"__metadata__":{"a":"b","a":"c"}})"), "stands twice"},
      {"entry is null", WithLength("{\"a\":null}"), "null where an object"},
      {"entry is a list", WithLength("{\"a\":[]}"), "a list where an object"},
      {"name twice", WithLength("{\"a\":" + one + ",\"a\":" + one + "}") + eight,
       "tensor a: stands twice"},
      {"name twice by escape", WithLength("{\"a\":" + one + ",\"\\u0061\":" + one + "}") + eight,
       "stands twice"},
      {"empty name", WithLength("{\"\":" + one + "}") + eight, "tensor name of 0 bytes"},
      {"control characters", WithLength("{\"a\\u001b[2J\":" + one + "}") + eight, "a\\x1b[2J"},
      {"zero in a name", WithLength("{\"a\\u0000b\":" + one + "}") + eight, "control characters"},
      {"long name", WithLength("{\"" + std::string(5000, 'n') + "\":" + one + "}") + eight,
       "5000 bytes"},
      {"no dtype", Entry(R"("shape":[2],"data_offsets":[0,8])") + eight, "no dtype"},
      {"no shape", Entry(R"("dtype":"F32","data_offsets":[0,8])") + eight, "no shape"},
      {"no offsets", Entry(R"("dtype":"F32","shape":[2])") + eight, "no data_offsets"},
      {"unknown field", Entry(R"("dtype":"F32","strides":[1])"),
       "unknown header field \"strides\""},
      {"dtype twice", Entry(R"("dtype":"F32","dtype":"I32")"), "dtype stands twice"},
      {"shape twice", Entry(R"("shape":[1],"shape":[2])"), "shape stands twice"},
      {"dtype is a number", Entry(R"("dtype":7)"), "the number 7 where a string as dtype"},
      {"unknown dtype", Shaped("[2]", "[0,8]", "F31") + eight, "dtype \"F31\" is not known"},
      {"dtype in small letters", Shaped("[2]", "[0,8]", "f32") + eight,
       "dtype \"f32\" is not known"},
      {"shape is a string", Entry(R"("dtype":"F32","shape":"2")"), "the string \"2\""},
      {"negative dimension", Shaped("[-2]", "[0,8]") + eight, "-2 where whole numbers"},
      {"fractional dimension", Shaped("[2.0]", "[0,8]") + eight, "2.0 where whole numbers"},
      {"exponent dimension", Shaped("[1e2]", "[0,8]") + eight, "1e2 where whole numbers"},
      {"dimension of 2^64", Shaped("[18446744073709551616]", "[0,8]") + eight,
       "where whole numbers"},
      {"dimension of 2^63", Shaped("[9223372036854775808]", "[0,8]") + eight, "overflows"},
      {"product overflows", Shaped("[4294967296,4294967296]", "[0,0]") + eight, "overflows"},
      {"product wraps to 8", Shaped("[4611686018427387906]", "[0,8]") + eight, "overflows"},
      {"nested shape", Shaped("[[2]]", "[0,8]") + eight, "a list where whole numbers"},
      {"seventeen dimensions", Shaped("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]", "[0,8]") + eight,
       "more than 16"},
      {"one offset", Shaped("[2]", "[8]") + eight, "data_offsets has 1"},
      {"three offsets", Shaped("[2]", "[0,8,8]") + eight, "more than 2"},
      {"offsets swapped", Shaped("[2]", "[8,0]") + eight, "needs 8 bytes"},
      {"too few bytes", Shaped("[2]", "[0,4]") + eight,
       "needs 8 bytes, data_offsets [0, 4] hold 4"},
      {"too many bytes", Shaped("[1]", "[0,8]") + eight, "needs 4 bytes"},
      {"beyond the data", Shaped("[4]", "[0,16]") + eight, "cut off"},
      {"offset near 2^64", Shaped("[2]", "[18446744073709551600,18446744073709551608]") + eight,
       "lie outside"},
      {"begins late", Shaped("[1]", "[4,8]") + eight, "a hole that belongs to no tensor"},
      {"data left over", Shaped("[1]", "[0,4]") + eight, "4 bytes too many"},
      {"data without tensors", WithLength("{}") + eight, "8 bytes too many"},
      {"overlap",
       WithLength(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                  R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})") +
           eight,
       "overlaps another tensor"},
      {"same bytes twice",
       WithLength(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                  R"("b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})") +
           eight,
       "overlaps another tensor"},
      {"hole",
       WithLength(R"({"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},)"
                  R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})") +
           eight,
       "a hole that belongs to no tensor"},
  };
}

TEST(Safetensors, RefusesHostileFiles) {
  for (const Hostile& hostile : HostileFiles()) {
    SCOPED_TRACE(hostile.name);
    ExpectError<FormatError>([&] { Parse(hostile.bytes); },
                             AllOf(HasSubstr("f.safetensors"), HasSubstr(hostile.message)));
  }
}

TEST(Safetensors, RefusesEveryTruncationAndExtension) {
  const std::string sound = SoundFile();
  ASSERT_EQ(Parse(sound).tensors.size(), 2u);
  for (size_t size = 0; size < sound.size(); ++size) {
    EXPECT_THROW(Parse(sound.substr(0, size)), FormatError) << size;
  }
  EXPECT_THROW(Parse(sound + "x"), FormatError);
}

// Whatever is accepted must hold what it promises: tensors that tile the data, sizes that agree.
void CheckPromises(const SafetensorsHeader& header, size_t file_size) {
  uint64_t bytes = 0;
  for (const auto& tensor : header.tensors) {
    uint64_t elements = 1;
    for (const int64_t dim : tensor.shape) elements *= static_cast<uint64_t>(dim);
    ASSERT_EQ(tensor.nbytes, elements * DTypeSize(tensor.dtype));
    ASSERT_LE(tensor.nbytes, file_size);
    ASSERT_LE(tensor.offset, file_size - tensor.nbytes);
    bytes += tensor.nbytes;
  }
  ASSERT_EQ(bytes, header.data_bytes);
}

std::string Mutate(std::string bytes, std::mt19937* random) {
  const auto pick = [&](size_t count) { return static_cast<size_t>((*random)() % count); };
  for (size_t edits = 1 + pick(3); edits > 0 && !bytes.empty(); --edits) {
    const size_t at = pick(bytes.size());
    switch (pick(6)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << pick(8)));
        break;
      case 1:
        bytes.erase(at, 1 + pick(8));
        break;
      case 2:
        bytes.insert(at, 1, "0123456789{}[],:\"-e."[pick(20)]);
        break;
      case 3:
        bytes[at] = "0123456789{}[],:\"-e."[pick(20)];
        break;
      case 4:
        bytes.insert(at, bytes.substr(pick(bytes.size()), 1 + pick(40)));
        break;
      default:
        bytes.resize(at);
        break;
    }
  }
  return bytes;
}

TEST(Safetensors, SurvivesMutations) {
  const std::string sound = SoundFile();
  size_t accepted = 0, refused = 0;
  const auto run = [&](const std::string& bytes) {
    // A copy of the exact size, so that a sanitizer sees reads past the end.
    const std::vector<char> exact(bytes.begin(), bytes.end());
    try {
      const auto header = ParseSafetensorsHeader({exact.data(), exact.size()}, exact.size(), "f");
      CheckPromises(header, exact.size());
      ++accepted;
    } catch (const FormatError&) {
      ++refused;
    }
  };
  for (size_t bit = 0; bit < 8 * (sound.size() - 11); ++bit) {  // every bit before the data
    std::string flipped = sound;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    run(flipped);
  }
  std::mt19937 random(20240229);
  for (int i = 0; i < 3000; ++i) run(Mutate(sound, &random));
  for (int i = 0; i < 1000; ++i) {  // mutations of the header alone, with a fitting length field
    run(WithLength(Mutate(SoundHeader(), &random)) + sound.substr(sound.size() - 11));
  }
  // Flips inside names keep a file sound; nearly everything else breaks it.
  EXPECT_GT(accepted, 10u);
  EXPECT_GT(refused, 4000u);
}

}  // namespace
}  // namespace ingot
