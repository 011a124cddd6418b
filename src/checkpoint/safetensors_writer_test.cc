// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors_writer.h"

#include <algorithm>
#include <random>

#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/test_files.h"

namespace ingot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ShardPlan OneFile(const std::vector<PlannedTensor>& tensors) {
  return PlanShards(tensors, {.single_name = "m.safetensors"});
}

Tensor Counting(const PlannedTensor& planned, int seed) {
  Tensor tensor(planned.dtype, planned.shape);
  for (size_t i = 0; i < tensor.bytes().size(); ++i) {
    tensor.bytes()[i] = static_cast<std::byte>(i * 7 + static_cast<size_t>(seed));
  }
  return tensor;
}

const std::vector<PlannedTensor> kMixed = {
    {"z.weight", DType::kI8, {3}},      {"b.scale", DType::kF32, {1}},
    {"a.weight", DType::kF16, {2, 1}},  {"c.weight", DType::kBF16, {1}},
    {"d.bias", DType::kI32, {1}},       {"e.deq", DType::kI64, {1}},
    {"a\"q\\.weight", DType::kI8, {1}},
};

// dtype by rank (I64, F32, I32, BF16, F16, I8), then name; data in the same order; padded to 8.
TEST(SafetensorsWriter, WritesTheReferenceOrder) {
  ScratchDir dir;
  SafetensorsWriter writer(dir.path(), OneFile(kMixed), {.metadata = {{"format", "ms"}}});
  for (size_t i = 0; i < kMixed.size(); ++i) writer.Write(kMixed[i].name, Counting(kMixed[i], 1));
  writer.Commit();
  std::string header = R"({"__metadata__":{"format":"ms"},)"
                       R"("e.deq":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
                       R"("b.scale":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
                       R"("d.bias":{"dtype":"I32","shape":[1],"data_offsets":[12,16]},)"
                       R"("c.weight":{"dtype":"BF16","shape":[1],"data_offsets":[16,18]},)"
                       R"("a.weight":{"dtype":"F16","shape":[2,1],"data_offsets":[18,22]},)"
                       R"("a\"q\\.weight":{"dtype":"I8","shape":[1],"data_offsets":[22,23]},)"
                       R"("z.weight":{"dtype":"I8","shape":[3],"data_offsets":[23,26]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string bytes = Slurp(dir.path() / "m.safetensors");
  EXPECT_EQ(bytes.substr(0, bytes.size() - 26), WithLength(header));
  EXPECT_EQ(bytes.substr(bytes.size() - 3), "\x01\x08\x0f");  // z.weight
}

TEST(SafetensorsWriter, BytesDoNotDependOnTheOrderOfWriting) {
  ScratchDir dir;
  std::string first;
  for (int order = 0; order < 4; ++order) {
    std::vector<size_t> sequence(kMixed.size());
    for (size_t i = 0; i < sequence.size(); ++i) sequence[i] = i;
    std::shuffle(sequence.begin(), sequence.end(), std::mt19937(static_cast<unsigned>(order)));
    SafetensorsWriter writer(dir.path(), OneFile(kMixed), {});
    for (const size_t i : sequence) writer.Write(kMixed[i].name, Counting(kMixed[i], 3));
    writer.Commit();
    const std::string bytes = Slurp(dir.path() / "m.safetensors");
    if (first.empty()) first = bytes;
    EXPECT_EQ(bytes, first);
  }
}

TEST(SafetensorsWriter, KeepsThePlannedOrderOnRequest) {
  ScratchDir dir;
  SafetensorsWriter writer(dir.path(), OneFile(kMixed), {.order = TensorOrder::kAsPlanned});
  for (const auto& planned : kMixed) writer.Write(planned.name, Counting(planned, 0));
  writer.Commit();
  const SafetensorsFile file(dir.path() / "m.safetensors");
  for (size_t i = 0; i < kMixed.size(); ++i) {
    EXPECT_EQ(file.tensors()[i].name, kMixed[i].name);
    const auto view = file.View(kMixed[i].name);
    const Tensor expected = Counting(kMixed[i], 0);
    EXPECT_TRUE(std::ranges::equal(view.bytes, expected.bytes())) << kMixed[i].name;
  }
}

// Headers of the files that the original quantizer (v0) and converter (gs310, gs910) wrote: fed
// with the same tensors in any order, this writer gives the same bytes.
TEST(SafetensorsWriterGolden, HeadersOfTheOriginalPrograms) {
  for (const char* name : {"v0", "gs310", "gs910"}) {
    SCOPED_TRACE(name);
    const std::string golden = Slurp(TestData(fmt::format("checkpoint/{}.header", name)));
    ScratchDir dir;
    // A file of that header with empty data, grown as a sparse file.
    const auto path = dir.Write("golden.safetensors", golden);
    uint64_t data = 0;
    for (size_t at = golden.find("data_offsets"); at != std::string::npos;
         at = golden.find("data_offsets", at + 1)) {
      data = std::max<uint64_t>(data, std::stoull(golden.substr(golden.find(',', at) + 1)));
    }
    std::filesystem::resize_file(path, golden.size() + data);
    const SafetensorsFile original(path);
    std::vector<PlannedTensor> plan;
    for (const auto& tensor : original.tensors()) {
      plan.push_back({tensor.name, tensor.dtype, tensor.shape});
    }
    std::shuffle(plan.begin(), plan.end(), std::mt19937(5));
    SafetensorsWriter::Options options;
    if (!original.metadata().empty()) options.metadata = *original.metadata().begin();
    SafetensorsWriter writer(dir.path(), OneFile(plan), options);
    for (const auto& tensor : plan) writer.MarkWritten(tensor.name);
    writer.Commit();
    const std::string written = Slurp(dir.path() / "m.safetensors");
    EXPECT_EQ(written.size(), golden.size() + data);
    EXPECT_EQ(written.substr(0, golden.size()), golden);
  }
}

TEST(SafetensorsWriter, RefusesWhatWasNotPlanned) {
  ScratchDir dir;
  SafetensorsWriter writer(dir.path(), OneFile({{"a", DType::kF32, {2}}}), {});
  ExpectError<InternalError>([&] { writer.Write("b", Tensor(DType::kF32, {2})); },
                             HasSubstr("tensor b"));
  ExpectError<InternalError>([&] { writer.Write("a", Tensor(DType::kF16, {2})); },
                             HasSubstr("F16"));
  ExpectError<InternalError>([&] { writer.Write("a", Tensor(DType::kF32, {3})); },
                             HasSubstr("[3]"));
  ExpectError<InternalError>([&] { writer.Commit(); }, HasSubstr("never written"));
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "m.safetensors"));
  writer.Discard();
  EXPECT_TRUE(ListFiles(dir.path()).empty());
}

TEST(SafetensorsWriter, ResumesWherePartialFilesWereLeft) {
  const std::vector<PlannedTensor> plan = {{"a", DType::kI8, {4}}, {"b", DType::kI8, {4}}};
  const ShardPolicy policy{4, "m.safetensors", "m-{:05}-of-{:05}.safetensors", false};
  ScratchDir dir;
  {
    SafetensorsWriter writer(dir.path(), PlanShards(plan, policy), {});
    writer.Write("a", Counting(plan[0], 1));
    writer.Sync();
  }
  // As if Commit had been stopped between two renames: the first file has its final name.
  std::filesystem::rename(dir.path() / "m-00001-of-00002.safetensors.partial",
                          dir.path() / "m-00001-of-00002.safetensors");
  SafetensorsWriter writer(dir.path(), PlanShards(plan, policy),
                           {.mode = AtomicFile::Mode::kResume});
  EXPECT_FALSE(writer.IsWritten("a"));
  writer.MarkWritten("a");
  EXPECT_TRUE(writer.IsWritten("a"));
  writer.WritePart("b", 0, Counting(plan[1], 2).bytes().first(1));
  writer.WritePart("b", 1, Counting(plan[1], 2).bytes().subspan(1));
  ExpectError<InternalError>([&] { writer.WritePart("b", 3, Counting(plan[1], 2).bytes()); },
                             HasSubstr("outside"));
  writer.MarkWritten("b");
  writer.Commit();
  const SafetensorsFile first(dir.path() / "m-00001-of-00002.safetensors");
  const SafetensorsFile second(dir.path() / "m-00002-of-00002.safetensors");
  EXPECT_THAT(first.View("a").As<int8_t>(), ElementsAre(1, 8, 15, 22));
  EXPECT_THAT(second.View("b").As<int8_t>(), ElementsAre(2, 9, 16, 23));
  EXPECT_EQ(writer.WeightMap().at("b"), "m-00002-of-00002.safetensors");
}

TEST(PlanShards, CutsBeforeTheLimitIsExceeded) {
  const ShardPolicy policy{10, "s", "m-{:05}-of-{:05}", false};
  const auto plan = PlanShards({{"a", DType::kI8, {6}},
                                {"b", DType::kI8, {4}},
                                {"c", DType::kI8, {1}},
                                {"d", DType::kI8, {20}},
                                {"e", DType::kI8, {0}}},
                               policy);
  ASSERT_EQ(plan.shards.size(), 4u);
  EXPECT_EQ(plan.shards[0].data_bytes, 10u);
  EXPECT_EQ(plan.shards[1].tensors[0].name, "c");
  EXPECT_EQ(plan.shards[2].tensors[0].name, "d") << "a tensor is never split";
  EXPECT_EQ(plan.shards[3].tensors[0].name, "e") << "the limit is passed already";
  EXPECT_EQ(plan.shards[0].file_name, "m-00001-of-00004");
  EXPECT_EQ(plan.data_bytes, 31u);
}

TEST(PlanShards, NamesOfASingleFile) {
  const std::vector<PlannedTensor> one = {{"a", DType::kI8, {6}}};
  EXPECT_EQ(PlanShards(one, {10, "s", "m-{}-of-{}", false}).shards[0].file_name, "s");
  EXPECT_EQ(PlanShards(one, {10, "s", "m-{}-of-{}", true}).shards[0].file_name, "m-1-of-1");
  EXPECT_EQ(PlanShards(one, {0, "s", "m-{}-of-{}", true}).shards[0].file_name, "s");
  ExpectError<UserError>(
      [&] {
        PlanShards({one[0], one[0]}, {0, "s", "", false});
      },
      HasSubstr("tensor a: is planned twice"));
}

TEST(IndexJson, IndentTwo) {
  EXPECT_EQ(
      IndexJson(7, {{"b", "f1"}, {"a", "f2"}}),
      "{\n  \"metadata\": {\n    \"total_size\": 7\n  },\n  \"weight_map\": {\n    \"b\": \"f1\",\n"
      "    \"a\": \"f2\"\n  }\n}");
}

}  // namespace
}  // namespace ingot
