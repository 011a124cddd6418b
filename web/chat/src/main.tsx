// SPDX-License-Identifier: Apache-2.0
// The chat page of `ingot serve`: one file, no network beyond its own server.
import { render, type ComponentChildren, type RefObject } from "preact";
import { useEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import { announcement, ProblemBox, TurnView } from "./answer";
import { useLanguage, useTheme, type Theme } from "./appearance";
import { Composer } from "./composer";
import { Conversation, type Context } from "./conversation";
import { AboutDialog, KeyDialog, SettingsDialog } from "./dialogs";
import { useDraft, usePasteAndDrop } from "./draft";
import { download, toJson, toMarkdown } from "./export";
import { Header } from "./header";
import { loadTurns, saveTurns } from "./history";
import { useFollow, usePageEvents, useServer, useSettings } from "./hooks";
import { TextContext, translator, useText } from "./i18n";
import { Icon } from "./icons";
import { setCopyLabel } from "./markdown";
import { loadChoice, loadKey, saveChoice, saveKey } from "./storage";
import type { Settings } from "./types";
import { Welcome } from "./welcome";
import { IconButton, Menu } from "./widgets";
import "./style.css";

type Open = "none" | "settings" | "key" | "about";

function SkipLink({ area }: { area: RefObject<HTMLTextAreaElement | null> }) {
  const t = useText();
  const skip = (event: Event) => {
    event.preventDefault();
    area.current?.focus();
  };
  return (
    <a class="skip" href="#question" onClick={skip}>
      {t("skip")}
    </a>
  );
}

const fileStem = () => `ingot-chat-${new Date().toISOString().slice(0, 16).replace(/[:T]/g, "-")}`;

function ExportMenu({ chat, settings }: { chat: Conversation; settings: Settings }) {
  const t = useText();
  const save = (ending: string, type: string, text: string) =>
    download(`${fileStem()}.${ending}`, type, text);
  const items = [
    {
      label: t("exportMarkdown"),
      action: () => save("md", "text/markdown", toMarkdown(chat.turns, settings)),
    },
    {
      label: t("exportJson"),
      action: () => save("json", "application/json", toJson(chat.turns, settings)),
    },
  ];
  const nothing = chat.turns.length === 0;
  return <Menu icon="download" label={t("export")} disabled={nothing} items={items} />;
}

const themeIcon = (theme: Theme) =>
  theme === "auto" ? "halfMoon" : theme === "dark" ? "moon" : "sun";

interface TurnsProps {
  chat: Conversation;
  context: Context;
  editing: string; // the id of a turn
  setEditing: (id: string) => void;
  onDone: () => void; // the editor was left
  onKey: () => void;
}

function Turns({ chat, context, editing, setEditing, onDone, onKey }: TurnsProps) {
  const t = useText();
  return (
    <section class="turns" aria-label={t("conversation")}>
      <h1 class="sr-only">{t("conversation")}</h1>
      {chat.turns.map((turn, i) => (
        <TurnView
          key={turn.id}
          turn={turn}
          last={i === chat.turns.length - 1}
          chat={chat}
          editing={editing === turn.id}
          setEditing={(on) => {
            setEditing(on ? turn.id : "");
            if (!on) onDone();
          }}
          onEdited={(text, pictures) => {
            setEditing("");
            chat.edit(turn, text.trim(), pictures, context);
            onDone();
          }}
          onRegenerate={() => chat.regenerate(turn, context)}
          onRetry={(lane) => chat.retry(turn, lane, context)}
          onKey={onKey}
        />
      ))}
    </section>
  );
}

// What the server says about itself that everybody must know, for example that it shows garbage on
// purpose.
function Caution({ text }: { text: string }) {
  return (
    <div class="notice warn">
      <Icon name="warning" />
      <p>{text}</p>
    </div>
  );
}

function DropTarget({ children }: { children: ComponentChildren }) {
  return (
    <div class="drop" aria-hidden="true">
      <p>{children}</p>
    </div>
  );
}

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

  const [, changed] = useReducer((n: number, _: void) => n + 1, 0);
  const chat = useMemo(() => new Conversation(), []);
  chat.onChange = () => changed();
  chat.onRest = () => void saveTurns(chat.turns);
  chat.onUnauthorized = (refused) => {
    setRejected(refused !== "");
    setOpen("key");
  };
  const nothing = chat.turns.length === 0;
  const [away, toEnd] = useFollow(!nothing);
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
  useEffect(() => {
    area.current?.focus();
    void loadTurns().then((turns) => chat.restore(turns));
  }, []);

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

  return (
    <TextContext.Provider value={t}>
      <SkipLink area={area} />
      <Header
        info={info}
        model={model}
        onAbout={() => setOpen("about")}
        onModel={(name) => {
          saveChoice("model", name);
          setChosenModel(name);
        }}
      >
        <IconButton
          icon="plus"
          label={t("newChat")}
          showLabel
          class="new-chat"
          disabled={nothing}
          onClick={newChat}
        />
        <ExportMenu chat={chat} settings={settings} />
        <IconButton
          icon={themeIcon(theme)}
          label={themeLabel}
          class="wide-only"
          onClick={nextTheme}
        />
        <IconButton
          icon="globe"
          label={t("otherLanguage")}
          class="wide-only"
          onClick={toggleLanguage}
        />
        <IconButton icon="sliders" label={t("settings")} onClick={() => setOpen("settings")} />
      </Header>
      <main class={info?.compare ? "compare" : ""}>
        {info?.warning && <Caution text={info.warning} />}
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
          <Turns
            chat={chat}
            context={context}
            editing={editing}
            setEditing={setEditing}
            onDone={() => area.current?.focus()}
            onKey={() => setOpen("key")}
          />
        )}
      </main>
      <section class="bottom" aria-label={t("question")}>
        {away && !nothing && (
          <IconButton icon="down" label={t("latest")} class="latest" onClick={toEnd} />
        )}
        <Composer
          draft={draft}
          reading={reading}
          notice={notice}
          busy={chat.busy}
          ready={info !== null}
          area={area}
          onDraft={setDraft}
          onFiles={addFiles}
          onSend={send}
          onStop={() => chat.stop()}
          onDismiss={() => setNotice("")}
          onEditLast={editLast}
        />
      </section>
      {dragging && <DropTarget>{t("dropHere")}</DropTarget>}
      <div class="sr-only" role="status">
        {announcement(chat.turns, t)}
      </div>
      {open === "settings" && (
        <SettingsDialog
          settings={settings}
          onChange={setSettings}
          onClose={() => setOpen("none")}
          appearance={[
            { label: themeLabel, action: nextTheme },
            { label: t("otherLanguage"), action: toggleLanguage },
          ]}
        />
      )}
      {open === "key" && (
        <KeyDialog rejected={rejected} onKey={useKey} onClose={() => setOpen("none")} />
      )}
      {open === "about" && info && <AboutDialog info={info} onClose={() => setOpen("none")} />}
    </TextContext.Provider>
  );
}

const target = document.getElementById("app");
if (target) {
  target.replaceChildren();
  render(<App />, target);
}
