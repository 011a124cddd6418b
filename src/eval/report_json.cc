// SPDX-License-Identifier: Apache-2.0
// report.json: written in full, read back with every field checked.
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "eval/report.h"

namespace ingot {
namespace {

using Json = nlohmann::ordered_json;

Json Maybe(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json ToJson(const PerModality& figures) {
  return {{"text", Maybe(figures.text)}, {"vision", Maybe(figures.vision)}};
}

Json ToJson(const ModelFigures& model) {
  return {{"dir", model.dir},
          {"name", model.name},
          {"format", model.format},
          {"precision", model.precision},
          {"emulate", model.emulate},
          {"weight_bytes", model.weight_bytes},
          {"peak_bytes", model.peak_bytes},
          {"load_s", model.load_seconds},
          {"total_s", model.total_seconds},
          {"prefill_tokens_per_s", Maybe(model.prefill_tokens_per_second)},
          {"decode_tokens_per_s", Maybe(model.decode_tokens_per_second)},
          {"accuracy", Maybe(model.accuracy)},
          {"exact_match", Maybe(model.exact_match)},
          {"anls", Maybe(model.anls)}};
}

Json ToJson(const StageFigures& stage) {
  return {{"name", stage.name},
          {"part", stage.part},
          {"layer", stage.layer},
          {"sqnr_db", ToJson(stage.sqnr_db)}};
}

Json ToJson(const LinearFigures& linear) {
  return {{"module", linear.module},
          {"kind", linear.kind},
          {"part", linear.part},
          {"layer", linear.layer},
          {"exec", linear.exec},
          {"sqnr_db", ToJson(linear.sqnr_db)},
          {"calibration_sqnr_db",
           linear.calibration_sqnr_db ? ToJson(*linear.calibration_sqnr_db) : Json(nullptr)},
          {"reason", linear.reason}};
}

Json ToJson(const PictureFigures& picture) {
  return {{"name", picture.name},
          {"width", picture.width},
          {"height", picture.height},
          {"thumbnail", picture.thumbnail}};
}

Json ToJson(const KindFigures& kind) {
  return {{"kind", kind.kind},
          {"n", kind.n},
          {"accuracy_a", kind.accuracy_a},
          {"accuracy_b", kind.accuracy_b}};
}

Json ToJson(const SampleFigures& sample);

template <typename T>
Json ListJson(const std::vector<T>& items) {
  Json list = Json::array();
  for (const T& item : items) list.push_back(ToJson(item));
  return list;
}

Json ToJson(const SampleFigures& sample) {
  Json kl = Json::array();
  for (const auto& value : sample.kl) kl.push_back(Maybe(value));
  return {{"id", sample.id},
          {"kind", sample.kind},
          {"question", sample.question},
          {"references", sample.references},
          {"pictures", ListJson(sample.pictures)},
          {"text_a", sample.text_a},
          {"text_b", sample.text_b},
          {"tokens", sample.tokens},
          {"kl", kl},
          {"agree", sample.agree},
          {"first_divergence",
           sample.first_divergence ? Json(*sample.first_divergence) : Json(nullptr)},
          {"kl_mean", Maybe(sample.kl_mean)},
          {"kl_max", Maybe(sample.kl_max)},
          {"top1_agree", Maybe(sample.top1_agree)},
          {"score_a", Maybe(sample.score_a)},
          {"score_b", Maybe(sample.score_b)}};
}

Json ToJson(const CompareTotals& totals) {
  return {{"n_samples", totals.n_samples},
          {"n_scored", totals.n_scored},
          {"n_tokens", totals.n_tokens},
          {"kl_mean", Maybe(totals.kl_mean)},
          {"kl_p50", Maybe(totals.kl_p50)},
          {"kl_p90", Maybe(totals.kl_p90)},
          {"kl_p99", Maybe(totals.kl_p99)},
          {"kl_max", Maybe(totals.kl_max)},
          {"top1_agree", Maybe(totals.top1_agree)},
          {"n_diverged", totals.n_diverged},
          {"first_divergence_median", Maybe(totals.first_divergence_median)},
          {"identical_texts", totals.identical_texts}};
}

// Reads the fields of one object; every message names the file and the way to the field.
class Reader {
 public:
  Reader(const Json& json, std::string file, std::string path)
      : json_(json), file_(std::move(file)), path_(std::move(path)) {
    if (!json_.is_object()) Fail("", "an object", json_);
  }

  std::string Text(const char* name) const {
    const Json& value = At(name);
    if (!value.is_string()) Fail(name, "a string", value);
    return value.get<std::string>();
  }
  int64_t Integer(const char* name) const {
    const Json& value = At(name);
    if (!value.is_number_integer()) Fail(name, "a whole number", value);
    return value.get<int64_t>();
  }
  uint64_t Size(const char* name) const {
    const Json& value = At(name);
    if (!value.is_number_unsigned()) Fail(name, "a size", value);
    return value.get<uint64_t>();
  }
  double Number(const char* name) const {
    const Json& value = At(name);
    if (!value.is_number()) Fail(name, "a number", value);
    return value.get<double>();
  }
  std::optional<double> MaybeNumber(const char* name) const {
    return At(name).is_null() ? std::nullopt : std::optional(Number(name));
  }
  bool Bool(const char* name) const {
    const Json& value = At(name);
    if (!value.is_boolean()) Fail(name, "true or false", value);
    return value.get<bool>();
  }
  Reader Object(const char* name) const { return Reader(At(name), file_, Path(name)); }
  bool IsNull(const char* name) const { return At(name).is_null(); }
  PerModality Modalities(const char* name) const {
    const Reader object = Object(name);
    return {object.MaybeNumber("text"), object.MaybeNumber("vision")};
  }
  std::vector<std::string> Texts(const char* name) const {
    std::vector<std::string> texts;
    for (const Json& item : List(name)) {
      if (!item.is_string()) Fail(name, "strings", item);
      texts.push_back(item.get<std::string>());
    }
    return texts;
  }
  const Json& List(const char* name) const {
    const Json& value = At(name);
    if (!value.is_array()) Fail(name, "a list", value);
    return value;
  }
  template <typename T, typename Read>
  std::vector<T> Objects(const char* name, Read read) const {
    std::vector<T> items;
    for (const Json& item : List(name)) {
      items.push_back(read(Reader(item, file_, fmt::format("{}[{}]", Path(name), items.size()))));
    }
    return items;
  }
  [[noreturn]] void Fail(const char* name, const char* expected, const Json& found) const {
    throw FormatError("{}: {} is {}; expected {}. Make the report again with ingot compare.", file_,
                      Path(name), found.is_null() ? "null" : found.type_name(), expected);
  }

 private:
  std::string Path(const char* name) const {
    if (path_.empty()) return *name == '\0' ? "the document" : name;
    return *name == '\0' ? path_ : path_ + "." + name;
  }
  const Json& At(const char* name) const {
    const auto it = json_.find(name);
    if (it == json_.end()) {
      throw FormatError("{}: {} is missing. Make the report again with ingot compare.", file_,
                        Path(name));
    }
    return *it;
  }
  const Json& json_;
  std::string file_, path_;
};

ModelFigures ReadModel(const Reader& r) {
  ModelFigures model;
  model.dir = r.Text("dir");
  model.name = r.Text("name");
  model.format = r.Text("format");
  model.precision = r.Text("precision");
  model.emulate = r.Text("emulate");
  model.weight_bytes = r.Size("weight_bytes");
  model.peak_bytes = r.Size("peak_bytes");
  model.load_seconds = r.Number("load_s");
  model.total_seconds = r.Number("total_s");
  model.prefill_tokens_per_second = r.MaybeNumber("prefill_tokens_per_s");
  model.decode_tokens_per_second = r.MaybeNumber("decode_tokens_per_s");
  model.accuracy = r.MaybeNumber("accuracy");
  model.exact_match = r.MaybeNumber("exact_match");
  model.anls = r.MaybeNumber("anls");
  return model;
}

StageFigures ReadStage(const Reader& r) {
  return {r.Text("name"), r.Text("part"), r.Integer("layer"), r.Modalities("sqnr_db")};
}

LinearFigures ReadLinear(const Reader& r) {
  LinearFigures linear;
  linear.module = r.Text("module");
  linear.kind = r.Text("kind");
  linear.part = r.Text("part");
  linear.layer = r.Integer("layer");
  linear.exec = r.Text("exec");
  linear.sqnr_db = r.Modalities("sqnr_db");
  if (!r.IsNull("calibration_sqnr_db")) {
    linear.calibration_sqnr_db = r.Modalities("calibration_sqnr_db");
  }
  linear.reason = r.Text("reason");
  return linear;
}

PictureFigures ReadPicture(const Reader& r) {
  PictureFigures picture{r.Text("name"), r.Integer("width"), r.Integer("height"),
                         r.Text("thumbnail")};
  // The page shows it as an image source: nothing but an embedded picture may stand there.
  if (!picture.thumbnail.empty() && !picture.thumbnail.starts_with("data:image/")) {
    r.Fail("thumbnail", "empty or begin with data:image/", "another text");
  }
  return picture;
}

SampleFigures ReadSample(const Reader& r) {
  SampleFigures sample;
  sample.id = r.Text("id");
  sample.kind = r.Text("kind");
  sample.question = r.Text("question");
  sample.references = r.Texts("references");
  sample.pictures = r.Objects<PictureFigures>("pictures", ReadPicture);
  sample.text_a = r.Text("text_a");
  sample.text_b = r.Text("text_b");
  sample.tokens = r.Texts("tokens");
  for (const Json& item : r.List("kl")) {
    if (!item.is_null() && !item.is_number()) r.Fail("kl", "numbers or null", item);
    sample.kl.push_back(item.is_null() ? std::nullopt : std::optional(item.get<double>()));
  }
  for (const Json& item : r.List("agree")) {
    if (!item.is_boolean()) r.Fail("agree", "true or false", item);
    sample.agree.push_back(item.get<bool>());
  }
  if (sample.kl.size() != sample.tokens.size() || sample.agree.size() != sample.tokens.size()) {
    r.Fail("tokens", "as long as kl and agree", r.List("tokens"));
  }
  if (!r.IsNull("first_divergence")) sample.first_divergence = r.Integer("first_divergence");
  sample.kl_mean = r.MaybeNumber("kl_mean");
  sample.kl_max = r.MaybeNumber("kl_max");
  sample.top1_agree = r.MaybeNumber("top1_agree");
  sample.score_a = r.MaybeNumber("score_a");
  sample.score_b = r.MaybeNumber("score_b");
  return sample;
}

CompareTotals ReadTotals(const Reader& r) {
  CompareTotals totals;
  totals.n_samples = r.Integer("n_samples");
  totals.n_scored = r.Integer("n_scored");
  totals.n_tokens = r.Integer("n_tokens");
  totals.kl_mean = r.MaybeNumber("kl_mean");
  totals.kl_p50 = r.MaybeNumber("kl_p50");
  totals.kl_p90 = r.MaybeNumber("kl_p90");
  totals.kl_p99 = r.MaybeNumber("kl_p99");
  totals.kl_max = r.MaybeNumber("kl_max");
  totals.top1_agree = r.MaybeNumber("top1_agree");
  totals.n_diverged = r.Integer("n_diverged");
  totals.first_divergence_median = r.MaybeNumber("first_divergence_median");
  totals.identical_texts = r.Integer("identical_texts");
  return totals;
}

CompareReport ReadReport(const Reader& r) {
  CompareReport report;
  report.program_version = r.Text("ingot");
  report.created = r.Text("created");
  report.command = r.Texts("command");
  const Reader data = r.Object("data");
  report.data_path = data.Text("path");
  report.data_description = data.Text("description");
  const Reader settings = r.Object("settings");
  report.max_tokens = settings.Integer("max_tokens");
  report.layer_samples = settings.Integer("layer_samples");
  report.metric = settings.Text("metric");
  const Reader verdict = r.Object("verdict");
  report.ok = verdict.Bool("ok");
  report.findings = verdict.Texts("findings");
  const Reader models = r.Object("models");
  report.a = ReadModel(models.Object("a"));
  report.b = ReadModel(models.Object("b"));
  report.totals = ReadTotals(r.Object("totals"));
  report.kinds = r.Objects<KindFigures>("kinds", [](const Reader& kind) {
    return KindFigures{kind.Text("kind"), kind.Integer("n"), kind.Number("accuracy_a"),
                       kind.Number("accuracy_b")};
  });
  report.stages = r.Objects<StageFigures>("stages", ReadStage);
  report.linears = r.Objects<LinearFigures>("linears", ReadLinear);
  report.samples = r.Objects<SampleFigures>("samples", ReadSample);
  report.notes = r.Texts("notes");
  return report;
}

}  // namespace

std::string CompareReportJson(const CompareReport& report, bool pretty) {
  Json json = {{"format", kCompareFormat},
               {"version", kCompareVersion},
               {"ingot", report.program_version},
               {"created", report.created},
               {"command", report.command},
               {"data", {{"path", report.data_path}, {"description", report.data_description}}},
               {"settings",
                {{"max_tokens", report.max_tokens},
                 {"layer_samples", report.layer_samples},
                 {"metric", report.metric}}},
               {"verdict",
                {{"ok", report.ok},
                 {"findings", report.findings},
                 {"remarks", RemarksOn(report)}}},
               {"models", {{"a", ToJson(report.a)}, {"b", ToJson(report.b)}}},
               {"totals", ToJson(report.totals)},
               {"kinds", ListJson(report.kinds)},
               {"stages", ListJson(report.stages)},
               {"linears", ListJson(report.linears)},
               {"samples", ListJson(report.samples)},
               {"notes", report.notes}};
  return json.dump(pretty ? 1 : -1, ' ', false, Json::error_handler_t::replace);
}

CompareReport ParseCompareReport(std::string_view json, const std::string& file) {
  const Json document = Json::parse(json, nullptr, false);
  if (document.is_discarded()) {
    throw FormatError("{}: is no JSON; expected a report.json of ingot compare.", file);
  }
  const Reader reader(document, file, "");
  if (reader.Text("format") != kCompareFormat || reader.Integer("version") != kCompareVersion) {
    throw FormatError("{}: format {} version {}; expected {} version {}.", file,
                      reader.Text("format"), reader.Integer("version"), kCompareFormat,
                      kCompareVersion);
  }
  return ReadReport(reader);
}

}  // namespace ingot
