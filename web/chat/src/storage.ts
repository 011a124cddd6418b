// SPDX-License-Identifier: Apache-2.0
// What the browser remembers: settings, theme and language for good, the API key until the tab is
// closed.
import type { Settings } from "./types";

export const kDefaultSettings: Settings = {
  system: "",
  temperature: "",
  topP: "",
  topK: "",
  maxTokens: "",
  repetitionPenalty: "",
  seed: "",
  maxSide: 1024,
};

// Storage may be forbidden (private windows, policies): then nothing is remembered.
function read(store: () => Storage, name: string): string | null {
  try {
    return store().getItem(`ingot.${name}`);
  } catch {
    return null;
  }
}

function write(store: () => Storage, name: string, value: string | null): void {
  try {
    if (value === null) store().removeItem(`ingot.${name}`);
    else store().setItem(`ingot.${name}`, value);
  } catch {
    // Remembering is a comfort.
  }
}

const local = () => window.localStorage;
const session = () => window.sessionStorage;

export function loadSettings(): Settings {
  let stored: unknown;
  try {
    stored = JSON.parse(read(local, "settings") ?? "{}");
  } catch {
    stored = {};
  }
  const settings = { ...kDefaultSettings };
  if (typeof stored !== "object" || stored === null) return settings;
  const values = stored as Record<string, unknown>;
  for (const name of Object.keys(settings) as (keyof Settings)[]) {
    if (typeof values[name] === typeof settings[name])
      Object.assign(settings, { [name]: values[name] });
  }
  return settings;
}

export const saveSettings = (settings: Settings) =>
  write(local, "settings", JSON.stringify(settings));
export const loadChoice = (name: "theme" | "language" | "model") => read(local, name);
export const saveChoice = (name: "theme" | "language" | "model", value: string | null) =>
  write(local, name, value);
export const loadKey = () => read(session, "key") ?? "";
export const saveKey = (key: string) => write(session, "key", key || null);
