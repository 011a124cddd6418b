// SPDX-License-Identifier: Apache-2.0
// The report as JSON and back. A number that JSON cannot hold (infinite, NaN) and a missing one are
// null or left out.
#include "quant/report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/json_fields.h"
#include "checkpoint/json_value.h"

namespace ingot {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kFormatVersion = 1;
constexpr double kAnyNumber = std::numeric_limits<double>::max();
constexpr int64_t kMostTokens = int64_t{1} << 50;
constexpr std::array<Modality, kModalities> kAllModalities = {Modality::kText, Modality::kVision};

size_t At(Modality modality) { return static_cast<size_t>(modality); }

template <typename T>
void Put(Json* json, const char* key, const std::optional<T>& value) {
  if (value && std::isfinite(*value)) (*json)[key] = *value;
}

// {"text": ..., "vision": ...} with what is there; nothing when both are missing.
template <typename T>
void PutByModality(Json* json, const char* key,
                   const std::array<std::optional<T>, kModalities>& values) {
  Json object = Json::object();
  for (const Modality m : kAllModalities)
    Put(&object, std::string(ModalityName(m)).c_str(), values[At(m)]);
  if (!object.empty()) (*json)[key] = std::move(object);
}

Json ToJson(const SiteReport& site) {
  Json json = {{"site", site.site}};
  for (const Modality m : kAllModalities)
    json["tokens"][std::string(ModalityName(m))] = site.tokens[At(m)];
  PutByModality(&json, "min", site.min);
  PutByModality(&json, "max", site.max);
  return json;
}

Json ToJson(const LinearReport& linear) {
  Json json = {{"module", linear.module},
               {"kind", std::string(LinearKindName(linear.kind))},
               {"layer", linear.layer},
               {"site", linear.site},
               {"type", std::string(LinearTypeName(linear.type))}};
  if (!linear.reason.empty()) json["reason"] = linear.reason;
  Put(&json, "range_lo", linear.range_lo);
  Put(&json, "range_hi", linear.range_hi);
  Put(&json, "scale", linear.scale);
  Put(&json, "offset", linear.offset);
  if (linear.quality) {
    PutByModality(&json, "sqnr_db", linear.quality->sqnr_db);
    PutByModality(&json, "clip_share", linear.quality->clip_share);
    Put(&json, "weight_sqnr_db", std::optional<double>(linear.quality->weight_sqnr_db));
  }
  return json;
}

Json ToJson(const KindSummary& kind) {
  Json json = {{"kind", std::string(LinearKindName(kind.kind))},
               {"float", kind.n_float},
               {"static", kind.n_static},
               {"dynamic", kind.n_dynamic}};
  PutByModality(&json, "mean_sqnr_db", kind.mean_sqnr_db);
  PutByModality(&json, "worst_sqnr_db", kind.worst_sqnr_db);
  for (const Modality m : kAllModalities) {
    if (!kind.worst_module[At(m)].empty()) {
      json["worst_module"][std::string(ModalityName(m))] = kind.worst_module[At(m)];
    }
  }
  Put(&json, "mean_weight_sqnr_db", kind.mean_weight_sqnr_db);
  return json;
}

template <typename T>
Json ArrayOf(const std::vector<T>& items) {
  Json array = Json::array();
  for (const T& item : items) array.push_back(ToJson(item));
  return array;
}

Json Totals(const QuantReport& report) {
  std::array<int64_t, 3> types{};
  for (const LinearReport& linear : report.linears) ++types[static_cast<size_t>(linear.type)];
  Json json = {{"linears_float", types[0]},
               {"linears_static", types[1]},
               {"linears_dynamic", types[2]},
               {"source_bytes", report.source_bytes},
               {"output_bytes", report.output_bytes}};
  for (const Modality m : kAllModalities) {
    int64_t tokens = 0;  // a decoder site sees every token once
    for (const SiteReport& site : report.sites) {
      if (site.site.starts_with("text.")) tokens = std::max(tokens, site.tokens[At(m)]);
    }
    json["tokens"][std::string(ModalityName(m))] = tokens;
  }
  return json;
}

// ---- reading

std::optional<double> NumberIf(const JsonFields& fields, const std::string& key) {
  if (!fields.Has(key)) return std::nullopt;
  return fields.Number(key, -kAnyNumber, kAnyNumber);
}

std::optional<float> FloatIf(const JsonFields& fields, const std::string& key) {
  const auto value = NumberIf(fields, key);
  return value ? std::optional<float>(static_cast<float>(*value)) : std::nullopt;
}

template <typename T>
std::array<std::optional<T>, kModalities> ByModality(const JsonFields& fields,
                                                     const std::string& key) {
  std::array<std::optional<T>, kModalities> values{};
  const auto object = fields.ObjectIf(key);
  if (!object) return values;
  for (const Modality m : kAllModalities) {
    if (const auto number = NumberIf(*object, std::string(ModalityName(m))))
      values[At(m)] = static_cast<T>(*number);
  }
  return values;
}

std::string RequiredString(const JsonFields& fields, const std::string& key) {
  if (!fields.Has(key)) fields.Fail(key, "is missing", "a string");
  return fields.StringOr(key, "");
}

LinearKind ParseKind(const JsonFields& fields) {
  const std::string name = RequiredString(fields, "kind");
  for (int k = 0; k <= static_cast<int>(LinearKind::kLmHead); ++k) {
    if (LinearKindName(static_cast<LinearKind>(k)) == name) return static_cast<LinearKind>(k);
  }
  fields.Fail("kind", "is " + JsonQuote(Printable(name, 60)),
              "a kind of linear such as \"q_proj\"");
}

LinearType ParseType(const JsonFields& fields) {
  const std::string name = RequiredString(fields, "type");
  for (const LinearType type : {LinearType::kFloat, LinearType::kStatic, LinearType::kDynamic}) {
    if (LinearTypeName(type) == name) return type;
  }
  fields.Fail("type", "is " + JsonQuote(Printable(name, 60)), "float, static or dynamic");
}

SiteReport SiteFrom(const JsonValue& value, const std::string& file) {
  const JsonFields fields(value, file, "");
  SiteReport site;
  site.site = RequiredString(fields, "site");
  const JsonFields tokens = fields.Object("tokens");
  for (const Modality m : kAllModalities) {
    site.tokens[At(m)] = tokens.Int(std::string(ModalityName(m)), 0, kMostTokens);
  }
  site.min = ByModality<float>(fields, "min");
  site.max = ByModality<float>(fields, "max");
  return site;
}

LinearReport LinearFrom(const JsonValue& value, const std::string& file) {
  const JsonFields fields(value, file, "");
  LinearReport linear;
  linear.module = RequiredString(fields, "module");
  linear.kind = ParseKind(fields);
  linear.layer = fields.Int("layer", -1, 1 << 20);
  linear.site = fields.StringOr("site", "");
  linear.type = ParseType(fields);
  linear.reason = fields.StringOr("reason", "");
  linear.range_lo = FloatIf(fields, "range_lo");
  linear.range_hi = FloatIf(fields, "range_hi");
  linear.scale = FloatIf(fields, "scale");
  linear.offset = FloatIf(fields, "offset");
  if (const auto weight = NumberIf(fields, "weight_sqnr_db")) {
    LinearQuality quality;
    quality.weight_sqnr_db = *weight;
    quality.sqnr_db = ByModality<double>(fields, "sqnr_db");
    quality.clip_share = ByModality<double>(fields, "clip_share");
    linear.quality = quality;
  }
  return linear;
}

JsonValue ParseObject(std::string_view json, const std::string& file) {
  JsonValue value = ParseJson(json, file);
  if (!value.IsObject()) {
    throw FormatError("{}: {} was found, an object was expected. Run quantize again.", file,
                      JsonKindName(value.kind));
  }
  return value;
}

const std::vector<JsonValue>& ArrayOrEmpty(const JsonFields& fields, const std::string& key) {
  static const std::vector<JsonValue> kEmpty;
  const JsonValue* value = fields.Find(key);
  if (value == nullptr) return kEmpty;
  if (value->kind != JsonValue::Kind::kArray) {
    fields.Fail(key, "is " + std::string(JsonKindName(value->kind)), "an array");
  }
  return value->items;
}

// Running mean and minimum of one figure.
struct Figure {
  double sum = 0, worst = 0;
  int64_t count = 0;
  std::string worst_module;
  void Add(double value, const std::string& module) {
    if (count == 0 || value < worst) {
      worst = value;
      worst_module = module;
    }
    sum += value;
    ++count;
  }
  std::optional<double> Mean() const {
    return count > 0 ? std::optional<double>(sum / static_cast<double>(count)) : std::nullopt;
  }
};

}  // namespace

SiteReport ReportOf(const std::string& site, const SiteStatistics& statistics) {
  SiteReport report;
  report.site = site;
  for (const Modality m : kAllModalities) {
    const auto& part = statistics.of(m);
    report.tokens[At(m)] = part.tokens;
    if (part.tokens == 0) continue;
    report.min[At(m)] = part.min;
    report.max[At(m)] = part.max;
  }
  return report;
}

LinearReport ReportOf(const LinearSpec& spec, const QuantizedLinear& linear,
                      std::optional<LinearQuality> quality) {
  LinearReport report;
  report.module = spec.module;
  report.kind = spec.kind;
  report.layer = spec.layer;
  report.site = spec.site;
  report.type = linear.type;
  if (linear.type == LinearType::kStatic) {
    report.range_lo = linear.input.lo;
    report.range_hi = linear.input.hi;
    report.scale = linear.input.scale;
    report.offset = linear.input.offset;
  }
  report.quality = std::move(quality);
  return report;
}

std::vector<KindSummary> SqnrByKind(const std::vector<LinearReport>& linears) {
  struct Collected {
    KindSummary summary;
    std::array<Figure, kModalities> sqnr;
    Figure weight;
  };
  std::map<LinearKind, Collected> kinds;
  for (const LinearReport& linear : linears) {
    Collected& kind = kinds[linear.kind];
    kind.summary.n_float += linear.type == LinearType::kFloat;
    kind.summary.n_static += linear.type == LinearType::kStatic;
    kind.summary.n_dynamic += linear.type == LinearType::kDynamic;
    if (!linear.quality) continue;
    kind.weight.Add(linear.quality->weight_sqnr_db, linear.module);
    for (size_t m = 0; m < kModalities; ++m) {
      if (linear.quality->sqnr_db[m]) kind.sqnr[m].Add(*linear.quality->sqnr_db[m], linear.module);
    }
  }
  std::vector<KindSummary> summaries;
  for (auto& [kind, collected] : kinds) {
    KindSummary& summary = collected.summary;
    summary.kind = kind;
    summary.mean_weight_sqnr_db = collected.weight.Mean();
    for (size_t m = 0; m < kModalities; ++m) {
      const Figure& figure = collected.sqnr[m];
      summary.mean_sqnr_db[m] = figure.Mean();
      if (figure.count > 0) summary.worst_sqnr_db[m] = figure.worst;
      summary.worst_module[m] = figure.worst_module;
    }
    summaries.push_back(std::move(summary));
  }
  return summaries;
}

void RequireModalities(const QuantReport& report) {
  for (const SiteReport& site : report.sites) {
    const bool decoder = site.site.starts_with("text.");
    if (site.tokens[0] + site.tokens[1] == 0) {
      throw UserError(
          "calibration: no token at all reached {}. Give at least one sample (--calib).",
          site.site);
    }
    if (report.pictures > 0 && site.tokens[At(Modality::kVision)] == 0) {
      throw UserError(
          "calibration: {} pictures were given, but no vision token reached {} ({} text tokens "
          "did). The ranges would be "
          "wrong. Check that the chat template has the picture placeholders.",
          report.pictures, site.site, site.tokens[At(Modality::kText)]);
    }
    if (decoder && site.tokens[At(Modality::kText)] == 0) {
      throw UserError(
          "calibration: no text token reached {} ({} vision tokens did). The ranges would be "
          "wrong. Check the chat "
          "template and the questions.",
          site.site, site.tokens[At(Modality::kVision)]);
    }
  }
}

std::string ReportJson(const QuantReport& report) {
  Json json = {{"format_version", kFormatVersion}, {"source", report.source},
               {"method", report.method},          {"target", report.target},
               {"run_dtype", report.run_dtype},    {"samples", report.samples},
               {"pictures", report.pictures},      {"totals", Totals(report)}};
  json["kinds"] = ArrayOf(SqnrByKind(report.linears));
  json["linears"] = ArrayOf(report.linears);
  json["sites"] = ArrayOf(report.sites);
  if (!report.stages.empty()) {
    json["stages"] = Json::array();
    for (const StageTime& stage : report.stages) {
      json["stages"].push_back({{"stage", stage.stage}, {"seconds", stage.seconds}});
    }
  }
  if (report.total_seconds > 0) json["total_seconds"] = report.total_seconds;
  if (report.peak_bytes > 0) json["peak_bytes"] = report.peak_bytes;
  json["notes"] = report.notes;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

QuantReport ParseReport(std::string_view json, const std::string& file) {
  const JsonValue value = ParseObject(json, file);
  const JsonFields fields(value, file, "");
  if (const int64_t version = fields.Int("format_version", 1, 1 << 20); version != kFormatVersion) {
    throw FormatError(
        "{}: format_version {} was found, {} was expected. Use the version of ingot that wrote it.",
        file, version, kFormatVersion);
  }
  QuantReport report;
  report.source = fields.StringOr("source", "");
  report.method = fields.StringOr("method", "");
  report.target = fields.StringOr("target", "");
  report.run_dtype = fields.StringOr("run_dtype", "");
  report.samples = fields.Int("samples", 0, kMostTokens);
  report.pictures = fields.Int("pictures", 0, kMostTokens);
  for (const JsonValue& site : ArrayOrEmpty(fields, "sites"))
    report.sites.push_back(SiteFrom(site, file));
  for (const JsonValue& linear : ArrayOrEmpty(fields, "linears"))
    report.linears.push_back(LinearFrom(linear, file));
  for (const JsonValue& stage : ArrayOrEmpty(fields, "stages")) {
    const JsonFields entry(stage, file, "stages");
    report.stages.push_back(
        {RequiredString(entry, "stage"), entry.Number("seconds", 0, kAnyNumber)});
  }
  report.total_seconds = fields.NumberOr("total_seconds", 0, 0, kAnyNumber);
  report.peak_bytes = static_cast<uint64_t>(fields.IntOr("peak_bytes", 0, 0, INT64_MAX));
  if (const auto totals = fields.ObjectIf("totals")) {
    report.source_bytes = static_cast<uint64_t>(totals->IntOr("source_bytes", 0, 0, INT64_MAX));
    report.output_bytes = static_cast<uint64_t>(totals->IntOr("output_bytes", 0, 0, INT64_MAX));
  }
  for (const JsonValue& note : ArrayOrEmpty(fields, "notes")) report.notes.push_back(note.text);
  return report;
}

std::string SiteReportLine(const SiteReport& site) {
  return ToJson(site).dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string LinearReportLine(const LinearReport& linear) {
  return ToJson(linear).dump(-1, ' ', true, Json::error_handler_t::replace);
}

SiteReport ParseSiteReport(std::string_view json, const std::string& file) {
  return SiteFrom(ParseObject(json, file), file);
}

LinearReport ParseLinearReport(std::string_view json, const std::string& file) {
  return LinearFrom(ParseObject(json, file), file);
}

}  // namespace ingot
