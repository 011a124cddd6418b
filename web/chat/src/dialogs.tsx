// SPDX-License-Identifier: Apache-2.0
// The dialogs: settings, API key, what is served.
import { useId, useRef } from "preact/hooks";
import { useText, type TextKey, type Translate } from "./i18n";
import { kSamplingFields, parseField, type SamplingField } from "./sampling";
import { kDefaultSettings } from "./storage";
import type { ServerInfo, Settings } from "./types";
import { Dialog } from "./widgets";

const kSides = [448, 768, 1024, 1536, 2048, 0];

function SamplingInput({
  spec,
  typed,
  onInput,
}: {
  spec: SamplingField;
  typed: string;
  onInput: (typed: string) => void;
}) {
  const t = useText();
  const id = useId();
  const wrong = parseField(spec, typed) === undefined;
  return (
    <div class="field">
      <label for={id}>{t(spec.label)}</label>
      <input
        id={id}
        inputMode={spec.integer ? "numeric" : "decimal"}
        autocomplete="off"
        value={typed}
        placeholder={t("byModel")}
        aria-invalid={wrong}
        aria-describedby={`${id}-hint`}
        onInput={(e) => onInput(e.currentTarget.value)}
      />
      <p id={`${id}-hint`} class={wrong ? "hint wrong" : "hint"}>
        {wrong ? t("outOfRange", { range: spec.range }) : t(spec.hint)}
      </p>
    </div>
  );
}

export function SettingsDialog({
  settings,
  appearance,
  onChange,
  onClose,
}: {
  settings: Settings;
  appearance: { label: string; action: () => void }[];
  onChange: (settings: Settings) => void;
  onClose: () => void;
}) {
  const t = useText();
  const id = useId();
  const set = (change: Partial<Settings>) => onChange({ ...settings, ...change });
  return (
    <Dialog title={t("settings")} class="drawer" onClose={onClose}>
      <p class="muted">{t("settingsNote")}</p>
      <div class="field">
        <label for={`${id}-system`}>{t("system")}</label>
        <textarea
          id={`${id}-system`}
          rows={4}
          dir="auto"
          value={settings.system}
          aria-describedby={`${id}-system-hint`}
          onInput={(e) => set({ system: e.currentTarget.value })}
        />
        <p id={`${id}-system-hint`} class="hint">
          {t("systemHint")}
        </p>
      </div>
      <div class="field-grid">
        {kSamplingFields.map((spec) => (
          <SamplingInput
            key={spec.setting}
            spec={spec}
            typed={settings[spec.setting]}
            onInput={(typed) => set({ [spec.setting]: typed })}
          />
        ))}
      </div>
      <div class="field">
        <label for={`${id}-side`}>{t("maxSide")}</label>
        <select
          id={`${id}-side`}
          value={String(settings.maxSide)}
          aria-describedby={`${id}-side-hint`}
          onChange={(e) => set({ maxSide: Number(e.currentTarget.value) })}
        >
          {kSides.map((side) => (
            <option key={side} value={String(side)}>
              {side === 0 ? t("original") : t("pixels", { n: side })}
            </option>
          ))}
        </select>
        <p id={`${id}-side-hint`} class="hint">
          {t("maxSideHint")}
        </p>
      </div>
      <div class="dialog-foot">
        {appearance.map((choice) => (
          <button type="button" class="plain" key={choice.label} onClick={choice.action}>
            {choice.label}
          </button>
        ))}
        <button type="button" class="plain end" onClick={() => onChange({ ...kDefaultSettings })}>
          {t("reset")}
        </button>
      </div>
    </Dialog>
  );
}

export function KeyDialog({
  rejected,
  onKey,
  onClose,
}: {
  rejected: boolean;
  onKey: (key: string) => void;
  onClose: () => void;
}) {
  const t = useText();
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    const key = input.current?.value.trim() ?? "";
    if (key) onKey(key);
    else input.current?.focus();
  };
  return (
    <Dialog title={t("keyTitle")} class="small" onClose={onClose}>
      <form onSubmit={submit}>
        <p>{t("keyText")}</p>
        {rejected && (
          <p class="wrong" role="alert">
            {t("keyWrong")}
          </p>
        )}
        <div class="field">
          <label for={id}>{t("keyLabel")}</label>
          <input
            id={id}
            ref={input}
            type="password"
            autocomplete="off"
            spellcheck={false}
            autofocus
            aria-invalid={rejected}
          />
        </div>
        <div class="dialog-foot">
          <button type="submit" class="primary end">
            {t("keySave")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

// Names of /ingot/info; what is not here is shown as the server writes it.
const kFactNames: Record<string, TextKey> = {
  name: "model",
  version: "factVersion",
  format: "factFormat",
  quantization: "factQuantization",
  emulate: "factEmulate",
  "memory weights": "factWeights",
  "memory kv cache": "factKv",
  "memory picture cache": "factPictures",
};

function factName(name: string, t: Translate): string {
  const second = name.startsWith("other ");
  const plain = second ? name.slice(6) : name;
  const known = kFactNames[plain];
  return `${second ? "B: " : ""}${known ? t(known) : plain}`;
}

export function AboutDialog({ info, onClose }: { info: ServerInfo; onClose: () => void }) {
  const t = useText();
  const facts: [string, string][] = [[t("model"), info.models.join(", ")]];
  if (info.maxModelLen !== null) {
    facts.push([t("contextLength"), t("tokens", { n: info.maxModelLen })]);
  }
  for (const [name, value] of info.facts) facts.push([factName(name, t), value]);
  return (
    <Dialog title={t("aboutModel")} class="small" onClose={onClose}>
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
