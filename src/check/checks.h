// SPDX-License-Identifier: Apache-2.0
// The rules, grouped by what they look at. Each function reports to `findings` and never throws for
// bad content.
#pragma once

#include <fmt/format.h>

#include <vector>

#include "check/check.h"
#include "check/folder.h"
#include "check/rules.h"

namespace ingot {

// Rules 3, 4, 5: description, index and files against the tensors.
void CheckFiles(const CheckedFolder& folder, Findings* findings);
// Rule 6 without a source: the tensors that config.json implies.
void CheckTensorTable(const CheckedFolder& folder, Findings* findings);
// Rules 7, 8, 9.
void CheckLabels(const CheckedFolder& folder, Findings* findings);
// Rules 10 to 18 and 20. `quick` leaves out what needs the codes (12, 16).
void CheckLinears(const CheckedFolder& folder, bool quick, Findings* findings);
// Rules 21 and 22.
void CheckConfig(const CheckedFolder& folder, Findings* findings);
// Rule 23 without a source: finite values.
void CheckFloatValues(const CheckedFolder& folder, Findings* findings);
// Rules 6, 19 and 23 against the float model.
void CheckAgainstSource(const CheckedFolder& folder, const CheckedFolder& source, bool quick,
                        Findings* findings);
// Rule 24.
void CheckCompressedTensors(const CheckedFolder& folder, Findings* findings);

// Which engines read the folder as it stands.
std::vector<EngineVerdict> JudgeEngines(const CheckedFolder& folder, const Findings& findings);

// q/k/v and gate/up of one parent: names of the modules that engines join. Only groups with at
// least two modules present.
std::vector<std::vector<const CheckedModule*>> FusedGroups(const CheckedFolder& folder);

// The name that a tensor of a Qwen2.5-VL may have instead: "model.layers.0..." <->
// "model.language_model.layers.0...".
std::string OtherStyle(const std::string& name);

}  // namespace ingot
