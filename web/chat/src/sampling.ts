// SPDX-License-Identifier: Apache-2.0
// The sampling settings: one row per field of the request. The ranges are those that the server
// checks.
import type { TextKey } from "./i18n";
import type { Settings } from "./types";

export interface SamplingField {
  setting: "temperature" | "topP" | "topK" | "maxTokens" | "repetitionPenalty" | "seed";
  field: string; // of the request
  label: TextKey;
  hint: TextKey;
  min: number;
  max: number;
  step: number;
  integer: boolean;
  range: string;
}

export const kSamplingFields: SamplingField[] = [
  {
    setting: "temperature",
    field: "temperature",
    label: "temperature",
    hint: "temperatureHint",
    min: 0,
    max: 2,
    step: 0.1,
    integer: false,
    range: "0 – 2",
  },
  {
    setting: "topP",
    field: "top_p",
    label: "topP",
    hint: "topPHint",
    min: 0.001,
    max: 1,
    step: 0.05,
    integer: false,
    range: "0.001 – 1",
  },
  {
    setting: "topK",
    field: "top_k",
    label: "topK",
    hint: "topKHint",
    min: 0,
    max: 1e6,
    step: 1,
    integer: true,
    range: "0, 1, 2, …",
  },
  {
    setting: "maxTokens",
    field: "max_completion_tokens",
    label: "maxTokens",
    hint: "maxTokensHint",
    min: 1,
    max: 1e6,
    step: 1,
    integer: true,
    range: "1, 2, 3, …",
  },
  {
    setting: "repetitionPenalty",
    field: "repetition_penalty",
    label: "repetitionPenalty",
    hint: "repetitionPenaltyHint",
    min: 0.01,
    max: 2,
    step: 0.05,
    integer: false,
    range: "0.01 – 2",
  },
  {
    setting: "seed",
    field: "seed",
    label: "seed",
    hint: "seedHint",
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    step: 1,
    integer: true,
    range: "0, 1, 2, …",
  },
];

// null: nothing typed, the model's default. undefined: not a value of this field.
export function parseField(spec: SamplingField, typed: string): number | null | undefined {
  if (typed.trim() === "") return null;
  const value = Number(typed.trim().replace(",", "."));
  if (!Number.isFinite(value) || value < spec.min || value > spec.max) return undefined;
  return spec.integer && !Number.isInteger(value) ? undefined : value;
}

// The fields of a request. A value out of range is left out; the settings say so beside the field.
export function samplingFields(settings: Settings): Record<string, number> {
  const fields: Record<string, number> = {};
  for (const spec of kSamplingFields) {
    const value = parseField(spec, settings[spec.setting]);
    if (typeof value === "number") fields[spec.field] = value;
  }
  return fields;
}
