// SPDX-License-Identifier: Apache-2.0
// report.html: the embedded page of web/report with the report's JSON put into it.
#include "base/error.h"
#include "eval/report.h"

namespace ingot {

std::string_view ReportPageTemplate();  // made by cmake/EmbedFile.cmake

std::string EscapeJsonForScript(std::string_view json) {
  std::string out;
  out.reserve(json.size() + json.size() / 16);
  for (size_t i = 0; i < json.size(); ++i) {
    const std::string_view rest = json.substr(i);
    if (json[i] == '<') {
      out += "\\u003c";
    } else if (rest.starts_with("\xe2\x80\xa8")) {
      out += "\\u2028";
      i += 2;
    } else if (rest.starts_with("\xe2\x80\xa9")) {
      out += "\\u2029";
      i += 2;
    } else {
      out += json[i];
    }
  }
  return out;
}

std::string RenderReportPage(const CompareReport& report) {
  static constexpr std::string_view kPlace = "__INGOT_REPORT__";
  const std::string_view page = ReportPageTemplate();
  const size_t at = page.find(kPlace);
  if (at == std::string_view::npos) throw InternalError("the embedded page has no place for data");
  std::string html(page.substr(0, at));
  html += EscapeJsonForScript(CompareReportJson(report, false));
  html += page.substr(at + kPlace.size());
  return html;
}

}  // namespace ingot
