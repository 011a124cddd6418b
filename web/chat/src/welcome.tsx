// SPDX-License-Identifier: Apache-2.0
// The empty page: what this is, and a few questions to begin with.
import { useRef } from "preact/hooks";
import { useText, type TextKey } from "./i18n";
import { Icon } from "./icons";
import { shortName } from "./names";
import type { ServerInfo } from "./types";

const kExamples: { icon: string; title: TextKey; text: TextKey; picture: boolean }[] = [
  { icon: "picture", title: "exampleDescribe", text: "exampleDescribeText", picture: true },
  { icon: "document", title: "exampleRead", text: "exampleReadText", picture: true },
  { icon: "table", title: "exampleTable", text: "exampleTableText", picture: true },
  { icon: "idea", title: "exampleAsk", text: "exampleAskText", picture: false },
];

export function Welcome({
  info,
  hasPicture,
  onExample,
}: {
  info: ServerInfo | null;
  hasPicture: boolean;
  onExample: (text: string, files: File[]) => void;
}) {
  const t = useText();
  const files = useRef<HTMLInputElement>(null);
  const chosen = useRef("");
  const compare = info?.compare && {
    a: shortName(info.compare.a, info.models),
    b: shortName(info.compare.b, info.models),
  };
  const start = (text: string, picture: boolean) => {
    chosen.current = text;
    onExample(text, []);
    if (picture && !hasPicture) files.current?.click();
  };
  return (
    <div class="welcome">
      <h1>{compare ? t("greetingCompare") : t("greeting")}</h1>
      <p class="lead">{compare ? t("hintCompare", compare) : t("hint")}</p>
      <ul class="examples">
        {kExamples.map((example) => (
          <li key={example.title}>
            <button type="button" onClick={() => start(t(example.text), example.picture)}>
              <Icon name={example.icon} />
              <span class="example-title">{t(example.title)}</span>
              <span class="example-text">{t(example.text)}</span>
            </button>
          </li>
        ))}
      </ul>
      <input
        ref={files}
        type="file"
        accept="image/*"
        multiple
        hidden
        onChange={(event) => {
          onExample(chosen.current, [...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
    </div>
  );
}
