// SPDX-License-Identifier: Apache-2.0
// The conversation as the page keeps it, and what it knows about the server.

export interface Picture {
  id: string;
  name: string;
  dataUrl: string;
  width: number;
  height: number;
  bytes: number; // of the file that is sent
  reduced: boolean; // smaller than the original
}

export type ReplyState = "waiting" | "streaming" | "done" | "stopped" | "error";

// Codes that the texts of i18n.ts know; `detail` is what the server itself said.
export type ProblemKind =
  | "offline"
  | "cut"
  | "unauthorized"
  | "busy"
  | "too_large"
  | "rejected"
  | "not_found"
  | "server"
  | "unavailable"
  | "format";

export interface Problem {
  kind: ProblemKind;
  detail: string;
  status?: number;
  retryAfterSeconds?: number;
}

export interface Usage {
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number | null;
}

export interface Reply {
  model: string;
  text: string;
  reasoning: string;
  state: ReplyState;
  problem: Problem | null;
  warning: string | null; // the server's garbage watch
  finishReason: string | null;
  usage: Usage | null;
  // Milliseconds of performance.now().
  startedAt: number;
  firstAt: number | null;
  endAt: number | null;
}

// One try at an answer: one reply per lane (two lanes when two models are compared).
export type Attempt = Reply[];

export interface Turn {
  id: string;
  text: string;
  pictures: Picture[];
  attempts: Attempt[];
  shown: number; // index into attempts
}

export interface Settings {
  system: string;
  temperature: string; // the fields hold what was typed; "" means the model's own default
  topP: string;
  topK: string;
  maxTokens: string;
  repetitionPenalty: string;
  seed: string;
  maxSide: number; // longest side of a sent picture in pixels, 0 = as it is
}

export interface ServerInfo {
  models: string[];
  maxModelLen: number | null;
  compare: { a: string; b: string } | null;
  facts: [string, string][]; // of GET /ingot/info, for people
  badges: string[]; // the few that stand beside the name
  version: string | null;
  warning: string; // for everybody to see, "" for none
}
