// SPDX-License-Identifier: Apache-2.0
#include "quant/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "base/atomic_file.h"
#include "base/error.h"

namespace ingot {
namespace {

using testing::HasSubstr;

class PlanTest : public testing::Test {
 protected:
  PlanTest()
      : config_(LoadModelConfig(INGOT_TEST_DATA "/models/mini-qwen3-vl-untied")),
        file_(std::filesystem::temp_directory_path() / ("ingot_plan_" + std::to_string(getpid()) + ".json")) {}
  ~PlanTest() override { std::filesystem::remove(file_); }

  QuantPlan Make(Target target) const {
    return MakeDefaultPlan(config_, DefaultLayout(target, config_), Method::kBalanced);
  }
  std::string ErrorOf(const std::function<void()>& body) const {
    try {
      body();
    } catch (const UserError& error) {
      return error.what();
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  }

  ModelConfig config_;
  std::filesystem::path file_;
};

TEST_F(PlanTest, DefaultsQuantizeTheTextLinearsBehindNorms) {
  const QuantPlan plan = Make(Target::kAscend);
  EXPECT_EQ(plan.TypeOf("model.language_model.layers.2.self_attn.q_proj"), LinearType::kStatic);
  EXPECT_EQ(plan.TypeOf("model.language_model.layers.2.mlp.up_proj"), LinearType::kStatic);
  EXPECT_EQ(plan.TypeOf("model.language_model.layers.2.mlp.down_proj"), LinearType::kFloat);
  EXPECT_EQ(plan.TypeOf("lm_head"), LinearType::kFloat);
  EXPECT_FALSE(plan.Quantizes(TensorPart::kVision));
  EXPECT_NO_THROW(ValidatePlan(plan));
  for (const auto& linear : plan.linears) EXPECT_FALSE(linear.reason.empty()) << linear.spec.module;
}

TEST_F(PlanTest, RulesMatchByWildcard) {
  QuantPlan plan = Make(Target::kAscend);
  ApplyLayerRule(&plan, "*.down_proj=dynamic");
  EXPECT_EQ(plan.TypeOf("model.language_model.layers.0.mlp.down_proj"), LinearType::kDynamic);
  ApplyLayerRule(&plan, "model.language_model.layers.1.*=float");
  EXPECT_EQ(plan.TypeOf("model.language_model.layers.1.self_attn.v_proj"), LinearType::kFloat);
  EXPECT_EQ(plan.TypeOf("model.language_model.layers.0.self_attn.v_proj"), LinearType::kStatic);
}

TEST_F(PlanTest, BadRulesNameTheNearestLinear) {
  QuantPlan plan = Make(Target::kAscend);
  const std::string error = ErrorOf([&] { ApplyLayerRule(&plan, "layers.1.mlp.up_prj=float"); });
  EXPECT_THAT(error, HasSubstr("layers.1.mlp.up_prj"));
  EXPECT_THAT(ErrorOf([&] { ApplyLayerRule(&plan, "x.layers.1.mlp.up_proj=float"); }),
              HasSubstr("model.language_model.layers.1.mlp.up_proj"));
  EXPECT_THAT(ErrorOf([&] { ApplyLayerRule(&plan, "no-equals"); }), HasSubstr("PATTERN=TYPE"));
  EXPECT_NE(ErrorOf([&] { ApplyLayerRule(&plan, "*=int3"); }), "");
}

TEST_F(PlanTest, SharedInputsShareTheType) {
  QuantPlan plan = Make(Target::kAscend);
  ApplyLayerRule(&plan, "*.layers.0.self_attn.k_proj=float");
  EXPECT_THAT(ErrorOf([&] { ValidatePlan(plan); }), HasSubstr("same type"));
}

TEST_F(PlanTest, TargetsRefuseWhatTheyCannotStore) {
  QuantPlan plan = Make(Target::kGoldenStick310);
  ApplyLayerRule(&plan, "*.down_proj=dynamic");
  EXPECT_THAT(ErrorOf([&] { ValidatePlan(plan); }), HasSubstr("golden-stick-310"));
  QuantPlan nothing = Make(Target::kAscend);
  ApplyLayerRule(&nothing, "*=float");
  EXPECT_THAT(ErrorOf([&] { ValidatePlan(nothing); }), HasSubstr("nothing to quantize"));
}

TEST_F(PlanTest, PlanFileRoundTrips) {
  QuantPlan plan = Make(Target::kAscend);
  ApplyLayerRule(&plan, "*.layers.3.self_attn.o_proj=float");
  WriteFileAtomically(file_, PlanJson(plan));
  QuantPlan back = Make(Target::kAscend);
  ApplyPlanFile(&back, file_);
  EXPECT_EQ(PlanJson(back), PlanJson(plan));
}

TEST_F(PlanTest, BadPlanFiles) {
  QuantPlan plan = Make(Target::kAscend);
  const auto error_of = [&](const std::string& text) {
    WriteFileAtomically(file_, text);
    return ErrorOf([&] { ApplyPlanFile(&plan, file_); });
  };
  EXPECT_THAT(error_of("{"), HasSubstr("JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("linears"));
  EXPECT_THAT(error_of(R"({"linears":[{"module":"a.b.up_proj","type":"float"}]})"), HasSubstr("no linear named a.b.up_proj"));
  EXPECT_THAT(error_of(R"({"linears":[{"module":3}]})"), HasSubstr("module"));
  EXPECT_THAT(error_of(R"({"target":"golden-stick-910","linears":[]})"), HasSubstr("golden-stick-910"));
}

}  // namespace
}  // namespace ingot
