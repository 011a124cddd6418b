// SPDX-License-Identifier: Apache-2.0
// The line at the top: which model answers, how it is stored, and the tools.
import type { ComponentChildren } from "preact";
import { useText } from "./i18n";
import { Logo } from "./icons";
import { shortName } from "./names";
import type { ServerInfo } from "./types";
import { IconButton } from "./widgets";

export function Header({
  info,
  model,
  onModel,
  onAbout,
  children,
}: {
  info: ServerInfo | null;
  model: string;
  onModel: (model: string) => void;
  onAbout: () => void;
  children: ComponentChildren;
}) {
  const t = useText();
  const choose = info !== null && !info.compare && info.models.length > 1;
  return (
    <header class="top">
      <Logo />
      <div class="served">
        {info?.compare && (
          <span class="compared">
            <span class="model-name" title={info.compare.a}>
              <b class="lane-a">A</b> {shortName(info.compare.a, info.models)}
            </span>
            <span class="model-name" title={info.compare.b}>
              <b class="lane-b">B</b> {shortName(info.compare.b, info.models)}
            </span>
          </span>
        )}
        {choose && (
          <select
            aria-label={t("model")}
            value={model}
            onChange={(e) => onModel(e.currentTarget.value)}
          >
            {info.models.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        )}
        {!info?.compare && !choose && (
          <span class="model-name" title={model}>
            {model ? shortName(model, info?.models ?? []) : "ingot"}
          </span>
        )}
        {!info?.compare &&
          info?.badges.map((badge) => (
            <span class="badge" key={badge}>
              {badge}
            </span>
          ))}
        {info && <IconButton icon="info" label={t("aboutModel")} onClick={onAbout} />}
      </div>
      <div class="tools">{children}</div>
    </header>
  );
}
