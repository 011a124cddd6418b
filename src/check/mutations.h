// SPDX-License-Identifier: Apache-2.0
// A table of damage to sound folders, and what check must say of each. Private to the tests of
// check/.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "check/check.h"
#include "convert/test_folders.h"

namespace ingot::check_test {

namespace fs = std::filesystem;
using namespace ingot::testing;  // NOLINT

inline const std::string kLayer = "model.language_model.layers.0.";
inline const std::string kQ = kLayer + "self_attn.q_proj";
inline const std::string kK = kLayer + "self_attn.k_proj";
inline const std::string kO = kLayer + "self_attn.o_proj";
inline const std::string kDown = kLayer + "mlp.down_proj";
inline const std::string kDescription(kDescriptionName);

// The sound folders that the mutations start from, made once: "float", "v0", "v1", "tied", "gs310",
// "tiny310", "gs910", "ct", "ctdyn".
const fs::path& SoundFolder(const std::string& name);

std::set<int> RulesOf(const CheckReport& report, Severity severity);
const Finding* FindingOf(const CheckReport& report, int rule, Severity severity);

struct Mutation {
  const char* what;
  int rule;
  Severity severity;
  const char* base;
  std::function<void(const fs::path&)> apply;
  std::set<int> also = {};  // other rules that may report errors
  const char* found = "";   // part of the finding
  bool with_source = false;
};

// What a mutation does: edit tensors, replace text, remove a file or a line of a description or
// index.
std::function<void(const fs::path&)> OnTensors(std::function<void(Tensors&)> edit);
std::function<void(const fs::path&)> OnText(const std::string& file, const std::string& from,
                                            const std::string& to);
std::function<void(const fs::path&)> Without(const std::string& file);
std::function<void(const fs::path&)> WithoutLine(const std::string& file, const std::string& key);

inline constexpr Severity kE = Severity::kError, kW = Severity::kWarning, kN = Severity::kNote;
inline constexpr const char* kGsIndex = "model.safetensors.index.json";

std::vector<Mutation> FileMutations();    // file_mutations_test.cc
std::vector<Mutation> LabelMutations();   // there too
std::vector<Mutation> LinearMutations();  // linear_mutations_test.cc
std::vector<Mutation> ConfigMutations();  // config_mutations_test.cc
void RunTable(const std::vector<Mutation>& table);

}  // namespace ingot::check_test
