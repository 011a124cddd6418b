// SPDX-License-Identifier: Apache-2.0
// Figures as JSON lines and back.
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "bench/figure.h"

namespace ingot::bench {
namespace {

using Json = nlohmann::ordered_json;

// Reads fields of one line; the messages name file, line and field.
class Fields {
 public:
  Fields(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  std::string Text(const char* name) const {
    const Json& value = Get(name);
    if (!value.is_string()) Fail(name, "a string", value);
    return value.get<std::string>();
  }
  double Number(const char* name) const {
    const Json& value = Get(name);
    if (!value.is_number() || !std::isfinite(value.get<double>())) Fail(name, "a number", value);
    return value.get<double>();
  }
  Samples Numbers(const char* name) const {
    const Json& list = Get(name);
    if (!list.is_array() || list.empty()) Fail(name, "a list of numbers", list);
    Samples samples;
    for (const Json& value : list) {
      if (!value.is_number() || !(value.get<double>() > 0)) Fail(name, "numbers above 0", value);
      samples.Add(value.get<double>());
    }
    return samples;
  }

 private:
  const Json& Get(const char* name) const {
    const auto found = json_.find(name);
    if (found == json_.end()) {
      throw FormatError("{}: field \"{}\" is missing. Expected lines of `ingot bench --json`.",
                        where_, name);
    }
    return *found;
  }
  [[noreturn]] void Fail(const char* name, const char* expected, const Json& found) const {
    throw FormatError("{}: field \"{}\" is {}, expected {}.", where_, name,
                      found.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 40),
                      expected);
  }
  const Json& json_;
  std::string where_;
};

Record ParseRecord(const std::string& line, const std::string& where) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    throw FormatError("{}: no JSON object. Expected lines of `ingot bench --json`.", where);
  }
  const Fields fields(json, where);
  Record record;
  record.origin = {
      .commit = fields.Text("commit"),
      .compiler = fields.Text("compiler"),
      .date = fields.Text("date"),
      .cpu = fields.Text("cpu"),
      .isa = fields.Text("isa"),
      .threads = static_cast<int>(std::min(1e6, std::max(0.0, fields.Number("threads"))))};
  record.disturbance = fields.Number("disturbance");
  record.figure.name = fields.Text("figure");
  record.figure.unit = fields.Text("unit");
  record.figure.samples = fields.Numbers("samples");
  if (json.contains("busy")) record.figure.busy = fields.Numbers("busy");
  if (json.contains("paired")) record.figure.paired = fields.Numbers("paired");
  if (json.contains("limit")) {
    record.figure.limit = fields.Number("limit");
    record.figure.bound_by = fields.Text("bound_by");
  }
  return record;
}

// Enough digits to compare, few enough to read.
double Rounded(double value) { return std::stod(fmt::format("{:.6g}", value)); }

}  // namespace

std::string JsonLines(const Report& report) {
  std::string text;
  for (const Figure& figure : report.figures) {
    Json json = {{"commit", report.origin.commit},
                 {"date", report.origin.date},
                 {"compiler", report.origin.compiler},
                 {"cpu", report.origin.cpu},
                 {"isa", report.origin.isa},
                 {"threads", report.origin.threads},
                 {"figure", figure.name},
                 {"unit", figure.unit},
                 {"value", Rounded(figure.Best())},
                 {"median", Rounded(figure.samples.Median())},
                 {"worst", Rounded(figure.Worst())}};
    if (figure.limit > 0) {
      json["limit"] = Rounded(figure.limit);
      json["bound_by"] = figure.bound_by;
      json["share"] = Rounded(figure.Share());
      if (!figure.paired.empty()) json["paired_share"] = Rounded(figure.PairedShare());
      if (figure.BusyShare() > 0) json["busy_share"] = Rounded(figure.BusyShare());
    }
    if (!figure.note.empty()) json["note"] = figure.note;
    json["disturbance"] = Rounded(report.disturbance);
    for (const double value : figure.samples.values()) json["samples"].push_back(Rounded(value));
    for (const double value : figure.busy.values()) json["busy"].push_back(Rounded(value));
    for (const double value : figure.paired.values()) json["paired"].push_back(Rounded(value));
    text += json.dump() + "\n";
  }
  return text;
}

std::vector<Record> ReadJsonLines(const std::filesystem::path& path) {
  std::istringstream lines(ReadFile(path));
  std::vector<Record> records;
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    records.push_back(ParseRecord(line, fmt::format("{}: line {}", path.string(), number)));
  }
  if (records.empty()) throw FormatError("{}: holds no figures.", path.string());
  return records;
}

}  // namespace ingot::bench
