// SPDX-License-Identifier: Apache-2.0
// The command line of serve: vLLM's grammar, the config file, the environment.
#include "cli/serve_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/coded_error.h"
#include "base/error.h"
#include "cli/parser.h"
#include "cli/serve_model.h"

namespace ingot::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ServeSetup Parse(std::vector<std::string> args) {
  args.insert(args.begin(), "serve");
  return ServeSetupOf(ParseCommandLine(args).options);
}

std::string ErrorOf(const std::vector<std::string>& args) {
  try {
    Parse(args);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// One environment variable for the length of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text)
      : path_(std::filesystem::temp_directory_path() / "ingot_serve_options_test.yaml") {
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(ServeOptions, TheOriginalCommandLine) {
  const ServeSetup setup =
      Parse({"--port", "8003", "OUT/", "--gpu-memory-utilization=0.85", "--max_model_len", "4096",
             "--max_num_seqs", "64", "--max_num_batched_tokens", "8192", "--enable_prefix_caching",
             "--quantization", "golden-stick"});
  EXPECT_EQ(setup.http.port, 8003);
  EXPECT_EQ(setup.api.model_dir, "OUT/");
  EXPECT_EQ(setup.engine.memory_utilization, 0.85);
  EXPECT_EQ(setup.engine.max_model_len, 4096);
  EXPECT_EQ(setup.engine.max_num_seqs, 64);
  EXPECT_EQ(setup.engine.max_num_batched_tokens, 8192);
  EXPECT_TRUE(setup.engine.prefix_caching);
  EXPECT_EQ(setup.quantization, "golden-stick");
  EXPECT_THAT(setup.api.served_names, ElementsAre("OUT/"));
}

TEST(ServeOptions, PositionalAnywhereAndLists) {
  EXPECT_EQ(Parse({"M", "--port", "1"}).api.model_dir, "M");
  EXPECT_EQ(Parse({"--port=1", "M"}).api.model_dir, "M");
  EXPECT_EQ(Parse({"--model", "M"}).api.model_dir, "M");
  EXPECT_THAT(Parse({"M", "--served-model-name", "a", "b"}).api.served_names,
              ElementsAre("a", "b"));
  const ServeSetup last = Parse({"--served_model_name", "a", "b", "M", "--port", "1"});
  EXPECT_EQ(last.api.model_dir, "M");
  EXPECT_THAT(last.api.served_names, ElementsAre("a", "b"));
  EXPECT_EQ(Parse({"--served-model-name", "a", "M"}).api.model_dir, "M");
  EXPECT_THAT(Parse({"M", "--api-key", "k1", "--api-key", "k2"}).http.api_keys,
              ElementsAre("k1", "k2"));
  EXPECT_THAT(Parse({"M", "--allowed-origins", "[\"http://a\", \"http://b\"]"}).http.cors.origins,
              ElementsAre("http://a", "http://b"));
}

TEST(ServeOptions, ForeignOptionsAreSaidOnceUnknownOnesRefused) {
  const Invocation invocation = ParseCommandLine(
      {"serve", "M", "--tensor-parallel-size", "1", "--trust_remote_code", "--enforce-eager",
       "--block-size", "128", "-tp", "2", "--enable-chunked-prefill"});
  EXPECT_EQ(invocation.notes.size(), 5u);
  EXPECT_THAT(ErrorOf({"M", "--gpu-memory-utilisation", "0.9"}),
              HasSubstr("--gpu-memory-utilization"));
  EXPECT_THAT(ErrorOf({"M", "--enable_prefix_cachin"}), HasSubstr("--enable-prefix-caching"));
  EXPECT_THAT(ErrorOf({"--port", "1"}), HasSubstr("MODEL"));
}

TEST(ServeOptions, ValuesAreChecked) {
  EXPECT_THAT(ErrorOf({"M", "--port", "70000"}), HasSubstr("--port"));
  EXPECT_THAT(ErrorOf({"M", "--gpu-memory-utilization", "1.5"}), HasSubstr("0.01 to 1"));
  EXPECT_THAT(ErrorOf({"M", "--quantization", "awq"}), HasSubstr("golden-stick"));
  EXPECT_THAT(ErrorOf({"M", "--max-model-len", "many"}), HasSubstr("8192"));
  EXPECT_THAT(ErrorOf({"M", "--limit-mm-per-prompt", "{\"picture\": 1}"}), HasSubstr("picture"));
  EXPECT_THAT(ErrorOf({"M", "--mm-processor-kwargs", "[1]"}), HasSubstr("JSON object"));
  EXPECT_THAT(ErrorOf({"M", "--ssl-keyfile", "k.pem"}), HasSubstr("--ssl-certfile"));
  EXPECT_THAT(ErrorOf({"M", "--enable-auto-tool-choice"}), HasSubstr("--tool-call-parser"));
  EXPECT_THAT(ErrorOf({"M", "--override-generation-config", "{"}), HasSubstr("JSON"));
}

TEST(ServeOptions, UnitsAndJson) {
  EXPECT_EQ(Parse({"M", "--max-model-len", "8k"}).engine.max_model_len, 8000);
  EXPECT_EQ(Parse({"M", "--max-model-len", "8K"}).engine.max_model_len, 8192);
  EXPECT_EQ(Parse({"M", "--max-model-len", "auto"}).engine.max_model_len, 0);
  EXPECT_EQ(Parse({"M", "--kv-cache-memory-bytes", "2GiB"}).engine.kv_bytes, int64_t{2} << 30);
  const ServeSetup setup =
      Parse({"M", "--limit-mm-per-prompt", "image=2,video=0", "--mm-processor-kwargs",
             "{\"min_pixels\": 3136, \"max_pixels\": 100352}"});
  EXPECT_EQ(setup.api.media.max_images, 2);
  EXPECT_EQ(setup.api.media.max_videos, 0);
  EXPECT_EQ(setup.model.prompt.limits.max_pixels, 100352);
  EXPECT_FALSE(Parse({"M", "--no-enable-prefix-caching"}).engine.prefix_caching);
  EXPECT_EQ(Parse({"M", "--dtype", "float32"}).model.precision, Precision::kF32);
}

TEST(ServeOptions, KvCacheDtype) {
  EXPECT_EQ(Parse({"M"}).model.KvTypeInUse(), KvType::kBF16);
  EXPECT_EQ(Parse({"M", "--dtype", "float32"}).model.KvTypeInUse(), KvType::kF32);
  EXPECT_EQ(Parse({"M", "--kv_cache_dtype=int8"}).model.KvTypeInUse(), KvType::kInt8);
  EXPECT_EQ(Parse({"M", "--dtype", "float32", "--kv-cache-dtype", "bfloat16"}).model.KvTypeInUse(),
            KvType::kBF16);
  // vLLM's other types do not exist here; the message says which do.
  EXPECT_THAT(ErrorOf({"M", "--kv-cache-dtype", "fp8"}), HasSubstr("auto, bfloat16, int8"));
}

TEST(ServeOptions, ConfigFileStandsInFrontOfTheLine) {
  const ConfigFile file(
      "# as vLLM has it\nmodel: FROM_FILE\nport: 9000\nhost: \"::1\"\nmax_model_len: 2048\n"
      "enable-prefix-caching: false\nserved-model-name: [a, b]\n"
      "limit-mm-per-prompt: {image: 3}\napi-key: secret\n");
  const ServeSetup setup = Parse({"--config", file.path(), "--port", "9001"});
  EXPECT_EQ(setup.api.model_dir, "FROM_FILE");
  EXPECT_EQ(setup.http.port, 9001);
  EXPECT_EQ(setup.http.host, "::1");
  EXPECT_EQ(setup.engine.max_model_len, 2048);
  EXPECT_FALSE(setup.engine.prefix_caching);
  EXPECT_THAT(setup.api.served_names, ElementsAre("a", "b"));
  EXPECT_EQ(setup.api.media.max_images, 3);
  const ServeSetup other = Parse({"OTHER", "--config=" + file.path(), "--served-model-name", "c"});
  EXPECT_EQ(other.api.model_dir, "OTHER");
  EXPECT_THAT(other.api.served_names, ElementsAre("c"));
}

TEST(ServeOptions, BadConfigFiles) {
  EXPECT_THAT(ErrorOf({"--config", "/no/such/file.yaml"}), HasSubstr("/no/such/file.yaml"));
  EXPECT_THAT(ErrorOf({"--config", ConfigFile("port: [\n").path()}), testing::Ne("no error"));
  const ConfigFile list("- a\n"), unknown("model: M\nprot: 1\n"), broken("a: b: c\n");
  EXPECT_THAT(ErrorOf({"--config", list.path()}), testing::Ne("no error"));
}

TEST(ServeOptions, ConfigErrorsNameTheLine) {
  const ConfigFile unknown("model: M\nmax-num-seq: 1\n");
  EXPECT_THAT(ErrorOf({"--config", unknown.path()}), HasSubstr("line 2"));
  const ConfigFile slip("model: M\nport: 1\nmax_modle_len: 1\n");
  EXPECT_THAT(ErrorOf({"--config", slip.path()}),
              testing::AllOf(HasSubstr("line 3"), HasSubstr("the nearest is max-model-len")));
}

TEST(ServeOptions, Environment) {
  const Variable key("VLLM_API_KEY", "from-environment"), space("VLLM_CPU_KVCACHE_SPACE", "2"),
      order("HCCL_DETERMINISTIC", "true"), device("ASCEND_RT_VISIBLE_DEVICES", "7"),
      fetch("VLLM_IMAGE_FETCH_TIMEOUT", "9");
  const ServeSetup setup = Parse({"M"});
  EXPECT_THAT(setup.http.api_keys, ElementsAre("from-environment"));
  EXPECT_EQ(setup.engine.kv_bytes, int64_t{2} << 30);
  EXPECT_TRUE(setup.engine.deterministic);
  EXPECT_EQ(setup.api.media.image_timeout, std::chrono::seconds(9));
  EXPECT_EQ(setup.notes.size(), 1u);
  EXPECT_THAT(Parse({"M", "--api-key", "typed"}).http.api_keys, ElementsAre("typed"));
  const Variable bad("VLLM_IMAGE_FETCH_TIMEOUT", "soon");
  EXPECT_THAT(ErrorOf({"M"}), HasSubstr("VLLM_IMAGE_FETCH_TIMEOUT"));
}

TEST(ServeOptions, VariablesThatAskForTheSameBits) {
  {
    const Variable off("ATB_MATMUL_SHUFFLE_K_ENABLE", "1"), none("LCCL_DETERMINISTIC", "0");
    EXPECT_FALSE(Parse({"M"}).engine.deterministic);
  }
  const Variable on("ATB_MATMUL_SHUFFLE_K_ENABLE", "0");
  EXPECT_TRUE(Parse({"M"}).engine.deterministic);
}

TEST(ServeModel, FoldersAreCheckedAgainstTheOption) {
  const std::filesystem::path models = std::filesystem::path(INGOT_TEST_DATA) / "models";
  EXPECT_EQ(RequireServable(models / "mini-qwen3-vl", "auto", false), FolderFormat::kFloat);
  EXPECT_EQ(RequireServable(models / "mini-qwen3-vl", "none", false), FolderFormat::kFloat);
  EXPECT_THROW(RequireServable(models / "mini-qwen3-vl", "golden-stick", false), UserError);
  EXPECT_THROW(RequireServable(models / "mini-qwen3-vl", "auto", true), UserError);
  EXPECT_THROW(RequireServable(models / "no-such-model", "auto", false), NoModelError);
  EXPECT_THROW(RequireServable(models, "auto", false), UserError);
}

TEST(ServeOptions, TheModelToCompareWith) {
  EXPECT_FALSE(Parse({"M"}).other);
  const ServeSetup both = Parse({"M", "--compare", "N", "--served-model-name", "m", "--emulate",
                                 "310p", "--dtype", "float32", "--max-logprobs", "3"});
  ASSERT_TRUE(both.other);
  EXPECT_EQ(both.other->api.model_dir, "N");
  EXPECT_THAT(both.other->api.served_names, ElementsAre("N"));
  EXPECT_EQ(both.other->api.max_logprobs, 3);
  EXPECT_EQ(both.other->model.precision, Precision::kF32);
  // About MODEL alone.
  EXPECT_EQ(both.model.emulate, Emulate::k310);
  EXPECT_EQ(both.other->model.emulate, Emulate::kNone);
  const ServeSetup garbage =
      Parse({"M", "--unsafe-load-as-float", "--compare", "M", "--compare-name", "sound"});
  EXPECT_TRUE(garbage.model.codes_as_float);
  EXPECT_FALSE(garbage.other->model.codes_as_float);
  EXPECT_THAT(garbage.other->api.served_names, ElementsAre("sound"));
  EXPECT_THAT(ErrorOf({"M", "--compare", "M"}), HasSubstr("--compare-name"));
  EXPECT_THAT(ErrorOf({"M", "--served-model-name", "a", "b", "--compare", "b"}),
              HasSubstr("would be called \"b\""));
  EXPECT_THAT(ErrorOf({"M", "--compare-name", "b"}), HasSubstr("needs --compare"));
}

}  // namespace
}  // namespace ingot::cli
