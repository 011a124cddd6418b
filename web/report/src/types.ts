// SPDX-License-Identifier: Apache-2.0
// report.json as `ingot compare` writes it (src/eval/report.h).

export interface ModelFigures {
  dir: string;
  name: string;
  format: string;
  precision: string;
  emulate: string;
  weight_bytes: number;
  peak_bytes: number;
  load_s: number;
  total_s: number;
  prefill_tokens_per_s: number | null;
  decode_tokens_per_s: number | null;
  accuracy: number | null;
  exact_match: number | null;
  anls: number | null;
}

export interface PerModality {
  text: number | null;
  vision: number | null;
}

export interface Stage {
  name: string;
  part: "text" | "vision";
  layer: number;
  sqnr_db: PerModality;
}

export interface LinearFigures {
  module: string;
  kind: string;
  part: "text" | "vision";
  layer: number;
  exec: string;
  sqnr_db: PerModality;
  calibration_sqnr_db: PerModality | null;
  reason: string;
}

export interface Picture {
  name: string;
  width: number;
  height: number;
  thumbnail: string;
}

export interface Sample {
  id: string;
  kind: string;
  question: string;
  references: string[];
  pictures: Picture[];
  text_a: string;
  text_b: string;
  tokens: string[];
  kl: (number | null)[];
  agree: boolean[];
  first_divergence: number | null;
  kl_mean: number | null;
  kl_max: number | null;
  top1_agree: number | null;
  score_a: number | null;
  score_b: number | null;
}

export interface Kind {
  kind: string;
  n: number;
  accuracy_a: number;
  accuracy_b: number;
}

export interface Totals {
  n_samples: number;
  n_scored: number;
  n_tokens: number;
  kl_mean: number | null;
  kl_p50: number | null;
  kl_p90: number | null;
  kl_p99: number | null;
  kl_max: number | null;
  top1_agree: number | null;
  n_diverged: number;
  first_divergence_median: number | null;
  identical_texts: number;
}

export interface Report {
  format: string;
  version: number;
  ingot: string;
  created: string;
  command: string[];
  data: { path: string; description: string };
  settings: { max_tokens: number; layer_samples: number; metric: string };
  verdict: { ok: boolean; findings: string[]; remarks: string[] };
  models: { a: ModelFigures; b: ModelFigures };
  totals: Totals;
  kinds: Kind[];
  stages: Stage[];
  linears: LinearFigures[];
  samples: Sample[];
  notes: string[];
}
