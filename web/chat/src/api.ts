// SPDX-License-Identifier: Apache-2.0
// The server's HTTP interface: what is served, and one streamed answer. Addresses are relative, so
// a path prefix works.
import { samplingFields } from "./sampling";
import { SseParser } from "./sse";
import type { Picture, Problem, ProblemKind, ServerInfo, Settings, Usage } from "./types";

export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.kind);
  }
}

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const asString = (value: unknown): string => (typeof value === "string" ? value : "");
const asNumber = (value: unknown): number | null =>
  typeof value === "number" && Number.isFinite(value) ? value : null;

const headersFor = (key: string): Record<string, string> =>
  key ? { Authorization: `Bearer ${key}` } : {};

function kindOf(status: number): ProblemKind {
  if (status === 401 || status === 403) return "unauthorized";
  if (status === 404) return "not_found";
  if (status === 413) return "too_large";
  if (status === 429) return "busy";
  if (status === 503 || status === 502 || status === 504) return "unavailable";
  return status >= 500 ? "server" : "rejected";
}

// The message of {"error": {"message": ...}}, {"error": "..."} or {"message": ...}.
function messageOf(body: unknown): string {
  if (!isObject(body)) return "";
  const error = body.error;
  if (isObject(error)) return asString(error.message);
  return asString(error) || asString(body.message);
}

async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text().catch(() => "");
  let detail = "";
  try {
    detail = messageOf(JSON.parse(text));
  } catch {
    detail = text.startsWith("<") ? "" : text.slice(0, 300);
  }
  const retryAfter = Number(response.headers.get("Retry-After"));
  return {
    kind: kindOf(response.status),
    detail,
    status: response.status,
    retryAfterSeconds: Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : undefined,
  };
}

async function getJson(path: string, key: string): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(path, { headers: headersFor(key), cache: "no-store" });
  } catch (error) {
    throw new ApiError({ kind: "offline", detail: String((error as Error).message ?? "") });
  }
  if (!response.ok) throw new ApiError(await problemOf(response));
  try {
    return await response.json();
  } catch {
    throw new ApiError({ kind: "format", detail: path, status: response.status });
  }
}

// "memory.weights_bytes" → "memory weights", 4300000000 → "4.3 GB".
function factsOf(info: Json): [string, string][] {
  const facts: [string, string][] = [];
  const visit = (prefix: string, value: unknown) => {
    if (value === null || value === undefined || value === "" || facts.length >= 40) return;
    if (isObject(value)) {
      for (const [name, inner] of Object.entries(value))
        visit(prefix ? `${prefix} ${name}` : name, inner);
      return;
    }
    const bytes = /bytes$/.test(prefix) ? asNumber(value) : null;
    const name = prefix.replace(/_?bytes$/, "").replaceAll("_", " ");
    facts.push([
      name,
      bytes === null
        ? Array.isArray(value)
          ? value.join(", ")
          : String(value)
        : formatBytes(bytes),
    ]);
  };
  const { compare: _compare, name: _name, warning: _warning, ...rest } = info;
  visit("", rest);
  return facts;
}

export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
}

function badgesOf(info: Json): string[] {
  const emulate = asString(info.emulate);
  const badges = [
    asString(info.quantization),
    asString(info.format),
    emulate && emulate !== "none" ? `as on ${emulate}` : "",
  ];
  return badges.filter(
    (badge, i) => badge !== "" && badge !== "none" && badges.indexOf(badge) === i,
  );
}

function compareOf(info: Json, models: string[]): { a: string; b: string } | null {
  if (!isObject(info.compare)) return null;
  const [a, b] = [asString(info.compare.a), asString(info.compare.b)];
  return a && b && a !== b && (models.length === 0 || (models.includes(a) && models.includes(b)))
    ? { a, b }
    : null;
}

export async function loadServer(key: string): Promise<ServerInfo> {
  const list = await getJson("v1/models", key);
  const cards = isObject(list) && Array.isArray(list.data) ? list.data.filter(isObject) : [];
  const models = cards.map((card) => asString(card.id)).filter((id) => id !== "");
  if (models.length === 0) throw new ApiError({ kind: "format", detail: "v1/models" });
  // Only ingot has this page; another server with the same interface works without it.
  const answer = await getJson("ingot/info", key).catch(() => ({}));
  const info = isObject(answer) ? answer : {};
  return {
    models,
    maxModelLen: asNumber(cards[0].max_model_len),
    compare: compareOf(info, models),
    facts: factsOf(info),
    badges: badgesOf(info),
    version: asString(info.version) || null,
    warning: asString(info.warning),
  };
}

export type Message =
  | { role: "system" | "assistant"; content: string }
  | {
      role: "user";
      content:
        | string
        | ({ type: "text"; text: string } | { type: "image_url"; image_url: { url: string } })[];
    };

// Pictures stand before the question, as in the model's own examples.
export function userMessage(text: string, pictures: Picture[]): Message {
  if (pictures.length === 0) return { role: "user", content: text };
  const parts = pictures.map((p) => ({
    type: "image_url" as const,
    image_url: { url: p.dataUrl },
  }));
  return { role: "user", content: text ? [...parts, { type: "text" as const, text }] : parts };
}

export interface StreamEvents {
  text(piece: string): void;
  reasoning(piece: string): void;
  finish(reason: string): void;
  warning(message: string): void;
  usage(usage: Usage): void;
}

function warningOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (isObject(value))
    return (
      asString(value.message) ||
      asString(value.detail) ||
      asString(value.kind) ||
      JSON.stringify(value)
    );
  return value === true ? "garbage" : "";
}

// One event of the stream. Throws on an error object.
function dispatch(chunk: unknown, events: StreamEvents): void {
  if (!isObject(chunk)) return;
  if (chunk.error !== undefined && chunk.error !== null) {
    const code = isObject(chunk.error) ? asNumber(chunk.error.code) : null;
    throw new ApiError({
      kind: kindOf(code ?? 500),
      detail: messageOf(chunk),
      status: code ?? undefined,
    });
  }
  const choice =
    Array.isArray(chunk.choices) && isObject(chunk.choices[0]) ? chunk.choices[0] : null;
  if (choice) {
    const delta = isObject(choice.delta) ? choice.delta : {};
    const reasoning = asString(delta.reasoning_content) || asString(delta.reasoning);
    if (reasoning) events.reasoning(reasoning);
    if (asString(delta.content)) events.text(asString(delta.content));
    if (asString(choice.finish_reason)) events.finish(asString(choice.finish_reason));
  }
  const warning = warningOf(chunk.ingot_warning ?? choice?.ingot_warning);
  if (warning) events.warning(warning);
  if (isObject(chunk.usage)) {
    const details = isObject(chunk.usage.prompt_tokens_details)
      ? chunk.usage.prompt_tokens_details
      : {};
    events.usage({
      promptTokens: asNumber(chunk.usage.prompt_tokens) ?? 0,
      completionTokens: asNumber(chunk.usage.completion_tokens) ?? 0,
      cachedTokens: asNumber(details.cached_tokens),
    });
  }
}

async function readEvents(
  body: ReadableStream<Uint8Array>,
  events: StreamEvents,
): Promise<boolean> {
  const reader = body.getReader();
  const parser = new SseParser();
  const handle = (data: string): boolean => {
    if (data === "[DONE]") return true;
    let chunk: unknown;
    try {
      chunk = JSON.parse(data);
    } catch {
      throw new ApiError({ kind: "format", detail: data.slice(0, 120) });
    }
    dispatch(chunk, events);
    return false;
  };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      const complete = done ? parser.finish() : parser.push(value);
      for (const data of complete) if (handle(data)) return true;
      if (done) return false;
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

// Streams one answer into `events`. Throws ApiError, or an AbortError when `signal` stopped it.
export async function streamChat(
  request: {
    model: string;
    messages: Message[];
    settings: Settings;
    key: string;
    signal: AbortSignal;
  },
  events: StreamEvents,
): Promise<void> {
  const { model, messages, settings, key, signal } = request;
  const body = {
    model,
    messages,
    ...samplingFields(settings),
    stream: true,
    stream_options: { include_usage: true },
  };
  let finished = false;
  try {
    const response = await fetch("v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headersFor(key) },
      body: JSON.stringify(body),
      signal,
    });
    if (!response.ok) throw new ApiError(await problemOf(response));
    if (!response.body) throw new ApiError({ kind: "format", detail: "no body" });
    const ended = await readEvents(response.body, {
      ...events,
      finish: (reason) => {
        finished = true;
        events.finish(reason);
      },
    });
    if (!ended && !finished) throw new ApiError({ kind: "cut", detail: "" });
  } catch (error) {
    if (error instanceof ApiError || signal.aborted) throw error;
    // fetch and read throw TypeError for every failure of the network.
    throw new ApiError({ kind: "offline", detail: String((error as Error).message ?? "") });
  }
}
