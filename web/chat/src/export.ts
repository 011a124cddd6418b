// SPDX-License-Identifier: Apache-2.0
// The conversation as a file, and text to the clipboard.
import { userMessage } from "./api";
import { samplingFields } from "./sampling";
import type { Reply, Settings, Turn } from "./types";

const replyRecord = (reply: Reply) => ({
  model: reply.model,
  content: reply.text,
  ...(reply.reasoning ? { reasoning_content: reply.reasoning } : {}),
  finish_reason: reply.finishReason,
  state: reply.state,
  ...(reply.warning ? { warning: reply.warning } : {}),
  ...(reply.problem ? { problem: reply.problem } : {}),
  usage: reply.usage,
  seconds_to_first_token: reply.firstAt === null ? null : (reply.firstAt - reply.startedAt) / 1000,
  seconds: reply.endAt === null ? null : (reply.endAt - reply.startedAt) / 1000,
});

// Every question in the form of the server's interface, with all answers that it got; `shown` is
// the one on the page.
export function toJson(turns: Turn[], settings: Settings): string {
  const record = {
    created: new Date().toISOString(),
    system: settings.system,
    sampling: samplingFields(settings),
    turns: turns.map((turn) => ({
      question: userMessage(turn.text, turn.pictures),
      pictures: turn.pictures.map(({ name, width, height, bytes }) => ({
        name,
        width,
        height,
        bytes,
      })),
      answers: turn.attempts.map((attempt) => attempt.map(replyRecord)),
      shown: turn.shown,
    })),
  };
  return JSON.stringify(record, null, 2) + "\n";
}

const quoted = (text: string) =>
  text
    .split("\n")
    .map((line) => `> ${line}`.trimEnd())
    .join("\n");

export function toMarkdown(turns: Turn[], settings: Settings): string {
  const parts: string[] = [];
  if (settings.system.trim()) parts.push(`*System prompt:* ${settings.system.trim()}`);
  for (const turn of turns) {
    const pictures = turn.pictures.map((p) => `*(${p.name}, ${p.width} × ${p.height})*`);
    parts.push(quoted([...pictures, turn.text].filter((line) => line !== "").join("\n")));
    for (const reply of turn.attempts[turn.shown] ?? []) {
      parts.push(`**${reply.model}**`, reply.text.trim() || `*(${reply.state})*`);
    }
  }
  return parts.join("\n\n") + "\n";
}

export function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// Plain http on another machine is no secure context and has no clipboard interface; the old
// command works there.
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr-only";
    const focused = document.activeElement;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return copied;
  }
}
