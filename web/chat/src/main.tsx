// SPDX-License-Identifier: Apache-2.0
// The chat page of `ingot serve`: one file, no network beyond its own server.
import { render } from "preact";
import { useEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import { announcement, ProblemBox, TurnView } from "./answer";
import { ApiError, loadServer } from "./api";
import { useLanguage, useTheme } from "./appearance";
import { Composer } from "./composer";
import { Conversation, type Context } from "./conversation";
import { AboutDialog, KeyDialog, SettingsDialog } from "./dialogs";
import { useDraft, usePasteAndDrop } from "./draft";
import { copyText, download, toJson, toMarkdown } from "./export";
import { Header } from "./header";
import { TextContext, translator } from "./i18n";
import { setCopyLabel } from "./markdown";
import { loadChoice, loadKey, loadSettings, saveChoice, saveKey, saveSettings } from "./storage";
import type { Problem, ServerInfo, Settings } from "./types";
import { Welcome } from "./welcome";
import { IconButton, Menu } from "./widgets";
import "./style.css";

type Open = "none" | "settings" | "key" | "about";

function useServer(key: string) {
  const [info, setInfo] = useState<ServerInfo | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [tries, setTries] = useState(0);
  useEffect(() => {
    let current = true;
    const take = (loaded: ServerInfo | null, failure: Problem | null) => {
      if (!current) return;
      if (loaded) setInfo(loaded);
      setProblem(failure);
    };
    loadServer(key).then(
      (loaded) => take(loaded, null),
      (error: unknown) =>
        take(null, error instanceof ApiError ? error.problem : { kind: "format", detail: String(error) }),
    );
    return () => {
      current = false;
    };
  }, [key, tries]);
  return { info, problem, retry: () => setTries(tries + 1) };
}

// Keeps the end in view while an answer grows, unless somebody scrolled up to read. Returns whether the end is out of view.
function useFollow(version: number): [boolean, () => void] {
  const following = useRef(true);
  const [away, setAway] = useState(false);
  const toEnd = () => window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
  useEffect(() => {
    const onScroll = () => {
      const root = document.documentElement;
      const rest = root.scrollHeight - root.clientHeight - window.scrollY;
      following.current = rest < 60;
      setAway(rest > 200);
    };
    window.addEventListener("scroll", onScroll, { passive: true });
    return () => window.removeEventListener("scroll", onScroll);
  }, []);
  useEffect(() => {
    if (following.current) toEnd();
  }, [version]);
  const follow = () => {
    following.current = true;
    toEnd();
  };
  return [away, follow];
}

// Esc stops the answer; a click on the button of a code block copies it.
function usePageEvents(chat: Conversation, copied: string): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.isComposing || document.querySelector("dialog[open]")) return;
      if (chat.busy) chat.stop();
    };
    const onClick = async (event: MouseEvent) => {
      const button = (event.target as Element).closest?.("button[data-copy]");
      const code = button?.closest(".code")?.querySelector("code");
      if (!button || !code || !(await copyText(code.textContent ?? ""))) return;
      const label = button.textContent;
      button.textContent = copied;
      window.setTimeout(() => (button.textContent = label), 1800);
    };
    document.addEventListener("keydown", onKey);
    document.addEventListener("click", onClick);
    return () => {
      document.removeEventListener("keydown", onKey);
      document.removeEventListener("click", onClick);
    };
  }, [chat, copied]);
}

function useSettings(): [Settings, (settings: Settings) => void] {
  const [settings, setSettings] = useState(loadSettings);
  return [settings, (changed) => {
    saveSettings(changed);
    setSettings(changed);
  }];
}

const fileStem = () => `ingot-chat-${new Date().toISOString().slice(0, 16).replace(/[:T]/g, "-")}`;

function App() {
  const [language, toggleLanguage] = useLanguage();
  const [theme, nextTheme] = useTheme();
  const t = useMemo(() => {
    const translate = translator(language);
    setCopyLabel(translate("copy"));
    return translate;
  }, [language]);

  const [settings, setSettings] = useSettings();
  const [key, setKey] = useState(loadKey);
  const [rejected, setRejected] = useState(false);
  const [open, setOpen] = useState<Open>("none");
  const [editing, setEditing] = useState("");
  const [chosenModel, setChosenModel] = useState(() => loadChoice("model") ?? "");
  const { info, problem, retry } = useServer(key);
  const { draft, setDraft, reading, notice, setNotice, addFiles } = useDraft(settings.maxSide, t);
  const dragging = usePasteAndDrop(addFiles);
  const area = useRef<HTMLTextAreaElement>(null);

  const [version, changed] = useReducer((n: number, _: void) => n + 1, 0);
  const chat = useMemo(() => new Conversation(), []);
  chat.onChange = () => changed();
  chat.onUnauthorized = (refused) => {
    setRejected(refused !== "");
    setOpen("key");
  };
  const [away, toEnd] = useFollow(version);
  usePageEvents(chat, t("copied"));

  const model = info ? (info.models.includes(chosenModel) ? chosenModel : info.models[0]) : "";
  const lanes = info?.compare ? [info.compare.a, info.compare.b] : [model];
  const context: Context = { lanes, settings, key };

  useEffect(() => {
    document.title = model ? `${lanes.join(" · ")} – ingot` : "ingot";
  }, [lanes.join("\n")]);
  useEffect(() => {
    if (problem?.kind !== "unauthorized") return;
    setRejected(key !== "");
    setOpen("key");
  }, [problem]);
  useEffect(() => area.current?.focus(), []);

  const send = () => {
    setEditing("");
    setNotice("");
    chat.send(draft.text.trim(), draft.pictures, context);
    setDraft({ text: "", pictures: [] });
    toEnd();
    area.current?.focus();
  };
  const newChat = () => {
    chat.clear();
    setEditing("");
    area.current?.focus();
  };
  const useKey = (entered: string) => {
    saveKey(entered);
    setKey(entered);
    setOpen("none");
    if (entered === key) retry();
  };
  const example = (text: string, files: File[]) => {
    setDraft((old) => ({ ...old, text }));
    void addFiles(files);
    area.current?.focus();
  };
  const editLast = () => {
    const last = chat.turns[chat.turns.length - 1];
    if (last && !chat.busy) setEditing(last.id);
  };
  const themeLabel = t("theme", { mode: t(theme) });
  const nothing = chat.turns.length === 0;
  const exports = [
    { label: t("exportMarkdown"), action: () => download(`${fileStem()}.md`, "text/markdown", toMarkdown(chat.turns, settings)) },
    { label: t("exportJson"), action: () => download(`${fileStem()}.json`, "application/json", toJson(chat.turns, settings)) },
  ];

  return (
    <TextContext.Provider value={t}>
      <a class="skip" href="#question" onClick={(e) => {
        e.preventDefault();
        area.current?.focus();
      }}>{t("skip")}</a>
      <Header info={info} model={model} onAbout={() => setOpen("about")}
        onModel={(name) => {
          saveChoice("model", name);
          setChosenModel(name);
        }}>
        <IconButton icon="plus" label={t("newChat")} showLabel class="new-chat" disabled={nothing} onClick={newChat} />
        <Menu icon="download" label={t("export")} disabled={nothing} items={exports} />
        <IconButton icon={theme === "auto" ? "halfMoon" : theme === "dark" ? "moon" : "sun"} label={themeLabel} class="wide-only"
          onClick={nextTheme} />
        <IconButton icon="globe" label={t("otherLanguage")} class="wide-only" onClick={toggleLanguage} />
        <IconButton icon="sliders" label={t("settings")} onClick={() => setOpen("settings")} />
      </Header>
      <main class={info?.compare ? "compare" : ""}>
        {problem && problem.kind !== "unauthorized" && (
          <div class="page-problem">
            <p class="muted">{t("cannotLoad")}</p>
            <ProblemBox problem={problem} onRetry={retry} />
          </div>
        )}
        {problem?.kind === "unauthorized" && nothing && (
          <div class="page-problem">
            <ProblemBox problem={problem} onRetry={retry} onKey={() => setOpen("key")} />
          </div>
        )}
        {nothing ? (
          <Welcome info={info} hasPicture={draft.pictures.length > 0} onExample={example} />
        ) : (
          <section class="turns" aria-label={t("conversation")}>
            {chat.turns.map((turn, i) => (
              <TurnView key={turn.id} turn={turn} last={i === chat.turns.length - 1} chat={chat} editing={editing === turn.id}
                setEditing={(on) => {
                  setEditing(on ? turn.id : "");
                  if (!on) area.current?.focus();
                }}
                onEdited={(text, pictures) => {
                  setEditing("");
                  chat.edit(turn, text.trim(), pictures, context);
                  area.current?.focus();
                }}
                onRegenerate={() => chat.regenerate(turn, context)} onRetry={(lane) => chat.retry(turn, lane, context)}
                onKey={() => setOpen("key")} />
            ))}
          </section>
        )}
      </main>
      <div class="bottom">
        {away && !nothing && <IconButton icon="down" label={t("latest")} class="latest" onClick={toEnd} />}
        <Composer draft={draft} reading={reading} notice={notice} busy={chat.busy} ready={info !== null} area={area}
          onDraft={setDraft} onFiles={addFiles} onSend={send} onStop={() => chat.stop()} onDismiss={() => setNotice("")}
          onEditLast={editLast} />
      </div>
      {dragging && <div class="drop" aria-hidden="true"><p>{t("dropHere")}</p></div>}
      <div class="sr-only" role="status">{announcement(chat.turns, t)}</div>
      {open === "settings" && (
        <SettingsDialog settings={settings} onChange={setSettings} onClose={() => setOpen("none")}
          appearance={[{ label: themeLabel, action: nextTheme }, { label: t("otherLanguage"), action: toggleLanguage }]} />
      )}
      {open === "key" && <KeyDialog rejected={rejected} onKey={useKey} onClose={() => setOpen("none")} />}
      {open === "about" && info && <AboutDialog info={info} onClose={() => setOpen("none")} />}
    </TextContext.Provider>
  );
}

const target = document.getElementById("app");
if (target) {
  target.replaceChildren();
  render(<App />, target);
}
