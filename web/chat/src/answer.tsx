// SPDX-License-Identifier: Apache-2.0
// One turn: the question, its answer or the answers of two models, what they cost and what can be
// done with them.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Conversation } from "./conversation";
import { answerText, isRunning } from "./conversation";
import { firstDifference } from "./diff";
import { useText, type Translate } from "./i18n";
import { Icon } from "./icons";
import { renderBlocks, splitThinking, type SafeHtml } from "./markdown";
import { markText, unmark, visibleText } from "./mark";
import { shortName } from "./names";
import type { Picture, Problem, Reply, Turn } from "./types";
import { CopyButton, GrowingArea, IconButton, Thumbnails } from "./widgets";

// Preact never looks inside, so that marks can be put into the text.
function Block({ html }: { html: SafeHtml }) {
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (ref.current) ref.current.innerHTML = html as string;
  }, [html]);
  return <div class="block" ref={ref} />;
}

function Rendered({
  text,
  onBody,
}: {
  text: string;
  onBody?: (element: HTMLElement | null) => void;
}) {
  return (
    <div class="prose" dir="auto" ref={onBody}>
      {renderBlocks(text).map((html, i) => (
        <Block key={i} html={html} />
      ))}
    </div>
  );
}

function useSeconds(running: boolean, since: number): number {
  const [now, setNow] = useState(since);
  useEffect(() => {
    if (!running) return undefined;
    const timer = window.setInterval(() => setNow(performance.now()), 500);
    return () => window.clearInterval(timer);
  }, [running]);
  return Math.max(0, Math.floor((now - since) / 1000));
}

function Waiting({ reply }: { reply: Reply }) {
  const t = useText();
  const seconds = useSeconds(true, reply.startedAt);
  return (
    <p class="waiting">
      <span class="pulse" aria-hidden="true" />
      {seconds < 4 ? t("waiting") : t("waitingLong")}
      {seconds > 0 && <span class="seconds">{t("elapsed", { s: seconds })}</span>}
    </p>
  );
}

export function ProblemBox({
  problem,
  onRetry,
  onKey,
}: {
  problem: Problem;
  onRetry: () => void;
  onKey?: () => void;
}) {
  const t = useText();
  const showDetail =
    problem.detail !== "" && problem.kind !== "unauthorized" && problem.kind !== "offline";
  return (
    <div class="notice bad">
      <Icon name="warning" />
      <div>
        <p class="notice-title">{t(problem.kind)}</p>
        {showDetail && <p class="notice-detail">{problem.detail}</p>}
        {problem.retryAfterSeconds !== undefined && (
          <p>{t("tryAgainIn", { n: Math.ceil(problem.retryAfterSeconds) })}</p>
        )}
        <p class="notice-actions">
          {problem.kind === "unauthorized" && onKey && (
            <button type="button" class="plain" onClick={onKey}>
              {t("keyEnter")}
            </button>
          )}
          <button type="button" class="plain" onClick={onRetry}>
            {t("retry")}
          </button>
        </p>
      </div>
    </div>
  );
}

function Warning({ message }: { message: string }) {
  const t = useText();
  return (
    <div class="notice warn">
      <Icon name="warning" />
      <div>
        <p class="notice-title">{t("garbageTitle")}</p>
        {message !== "garbage" && <p class="notice-detail">{message}</p>}
        <p>
          {t("garbageHelp")} <code>ingot check DIR --run</code>
        </p>
      </div>
    </div>
  );
}

const kMinRateMs = 30; // an answer that came in one piece has no rate
const seconds = (ms: number) => (ms < 9950 ? (ms / 1000).toFixed(2) : (ms / 1000).toFixed(1));

function Figures({ reply }: { reply: Reply }) {
  const t = useText();
  const figures: [string, string][] = [];
  const { firstAt, endAt, usage } = reply;
  if (firstAt !== null)
    figures.push([t("toFirst", { s: seconds(firstAt - reply.startedAt) }), t("toFirstHint")]);
  if (
    usage &&
    firstAt !== null &&
    endAt !== null &&
    usage.completionTokens > 1 &&
    endAt - firstAt > kMinRateMs
  ) {
    const rate = (usage.completionTokens - 1) / ((endAt - firstAt) / 1000);
    figures.push([
      t("perSecond", { n: rate < 100 ? rate.toFixed(1) : Math.round(rate) }),
      t("perSecondHint"),
    ]);
  }
  if (usage) {
    figures.push([t("answerTokens", { n: usage.completionTokens }), ""]);
    const prompt = { n: usage.promptTokens, cached: usage.cachedTokens ?? 0 };
    figures.push([
      prompt.cached > 0 ? t("promptTokensCached", prompt) : t("promptTokens", prompt),
      "",
    ]);
  }
  if (figures.length === 0) return null;
  return (
    <ul class="figures">
      {figures.map(([text, hint]) => (
        <li key={text} title={hint || undefined}>
          {text}
        </li>
      ))}
    </ul>
  );
}

function Thinking({ text, running }: { text: string; running: boolean }) {
  const t = useText();
  return (
    <details class="thinking">
      <summary>
        {t("thinking")}
        {running && <span class="pulse" aria-hidden="true" />}
      </summary>
      <Rendered text={text} />
    </details>
  );
}

function Answer({
  reply,
  onRetry,
  onKey,
  onBody,
}: {
  reply: Reply;
  onRetry: () => void;
  onKey: () => void;
  onBody?: (element: HTMLElement | null) => void;
}) {
  const t = useText();
  const { thinking, answer } = splitThinking(reply.text);
  const thoughts = [reply.reasoning, thinking].filter((part) => part !== "").join("\n\n");
  const running = isRunning(reply);
  const nothing = reply.state === "done" && answer.trim() === "" && thoughts === "";
  return (
    <div class={`answer-body ${running ? "running" : ""}`} aria-busy={running}>
      {reply.state === "waiting" && <Waiting reply={reply} />}
      {thoughts !== "" && <Thinking text={thoughts} running={running && answer === ""} />}
      <Rendered text={answer} onBody={onBody} />
      {nothing && <p class="muted">{t("emptyAnswer")}</p>}
      {reply.state === "stopped" && <p class="muted end-note">{t("stopped")}</p>}
      {reply.state === "done" && reply.finishReason === "length" && (
        <p class="muted end-note">{t("limitReached")}</p>
      )}
      {reply.warning !== null && <Warning message={reply.warning} />}
      {reply.problem && <ProblemBox problem={reply.problem} onRetry={onRetry} onKey={onKey} />}
    </div>
  );
}

function Verdict({ replies }: { replies: Reply[] }) {
  const t = useText();
  const [a, b] = replies;
  const growing = replies.some(isRunning);
  if (growing && (a.text === "" || b.text === "")) return null;
  if (!growing && replies.some((reply) => reply.state === "error"))
    return <p class="verdict">{t("missingHalf")}</p>;
  // Blanks at the beginning do not show on the page.
  const parting = firstDifference(
    answerText(a).trimStart(),
    answerText(b).trimStart(),
    growing,
  );
  if (!parting) {
    const words = (answerText(a).match(/\S+/g) ?? []).length;
    const identical = words === 1 ? t("identicalOne") : t("identical", { n: words });
    return <p class="verdict same">{growing ? t("identicalSoFar") : identical}</p>;
  }
  const word = (text: string) =>
    text.trim() === "" ? (text === "" ? t("ended") : JSON.stringify(text)) : text;
  const common = parting.wordsBefore;
  return (
    <p class="verdict differs">
      {common === 0 && t("differsAtOnce")}
      {common === 1 && t("differsAfterOne")}
      {common > 1 && t("differs", { n: common })}{" "}
      <span class="lane-a">
        <b>A</b> {word(parting.a)}
      </span>{" "}
      <span class="lane-b">
        <b>B</b> {word(parting.b)}
      </span>
    </p>
  );
}

// Marks the first differing word in both answers as they stand on the page.
function markParting(bodies: (HTMLElement | null)[], growing: boolean): void {
  const [a, b] = bodies;
  if (!a || !b) return;
  unmark(a);
  unmark(b);
  const [textA, textB] = [visibleText(a), visibleText(b)];
  if (textA === "" || textB === "") return;
  const parting = firstDifference(textA, textB, growing);
  if (!parting) return;
  markText(a, parting.same.length, parting.a.length);
  markText(b, parting.same.length, parting.b.length);
}

function Versions({ turn, chat }: { turn: Turn; chat: Conversation }) {
  const t = useText();
  const n = turn.attempts.length;
  if (n < 2) return null;
  return (
    <span class="versions" role="group" aria-label={t("version", { i: turn.shown + 1, n })}>
      <IconButton
        icon="left"
        label={t("previous")}
        disabled={turn.shown === 0}
        onClick={() => chat.show(turn, turn.shown - 1)}
      />
      <span aria-hidden="true">
        {turn.shown + 1} / {n}
      </span>
      <IconButton
        icon="right"
        label={t("next")}
        disabled={turn.shown === n - 1}
        onClick={() => chat.show(turn, turn.shown + 1)}
      />
    </span>
  );
}

function QuestionEditor({
  turn,
  onSend,
  onCancel,
}: {
  turn: Turn;
  onSend: (text: string, pictures: Picture[]) => void;
  onCancel: () => void;
}) {
  const t = useText();
  const [text, setText] = useState(turn.text);
  const [pictures, setPictures] = useState(turn.pictures);
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    area.current?.focus();
    area.current?.setSelectionRange(text.length, text.length);
  }, []);
  const empty = text.trim() === "" && pictures.length === 0;
  const send = () => !empty && onSend(text, pictures);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.stopPropagation();
    onCancel();
  };
  return (
    <div class="editor" onKeyDown={onKeyDown}>
      <Thumbnails
        pictures={pictures}
        onRemove={(id) => setPictures(pictures.filter((p) => p.id !== id))}
      />
      <GrowingArea area={area} value={text} label={t("question")} onText={setText} onEnter={send} />
      <div class="editor-actions">
        <span class="muted">{t("editNote")}</span>
        <button type="button" class="plain" onClick={onCancel}>
          {t("cancel")}
        </button>
        <button type="button" class="primary" disabled={empty} onClick={send}>
          {t("sendAgain")}
        </button>
      </div>
    </div>
  );
}

function Question({
  turn,
  editing,
  onEdit,
  onSend,
  onCancel,
}: {
  turn: Turn;
  editing: boolean;
  onEdit: () => void;
  onSend: (text: string, pictures: Picture[]) => void;
  onCancel: () => void;
}) {
  const t = useText();
  if (editing) return <QuestionEditor turn={turn} onSend={onSend} onCancel={onCancel} />;
  return (
    <div class="question">
      <h2 class="sr-only">{t("you")}</h2>
      <Thumbnails pictures={turn.pictures} />
      <div class="question-row">
        {turn.text !== "" && (
          <div class="bubble" dir="auto">
            {turn.text}
          </div>
        )}
        <div class="actions">
          {turn.text !== "" && <CopyButton text={() => turn.text} />}
          <IconButton icon="pencil" label={t("edit")} onClick={onEdit} />
        </div>
      </div>
    </div>
  );
}

interface TurnProps {
  turn: Turn;
  last: boolean;
  chat: Conversation;
  editing: boolean;
  setEditing: (editing: boolean) => void;
  onEdited: (text: string, pictures: Picture[]) => void;
  onRegenerate: () => void;
  onRetry: (lane: number) => void;
  onKey: () => void;
}

export function TurnView(props: TurnProps) {
  const { turn, last, chat, editing, setEditing, onEdited, onRegenerate, onRetry, onKey } = props;
  const t = useText();
  const bodies = useRef<(HTMLElement | null)[]>([]);
  const replies = turn.attempts[turn.shown] ?? [];
  const two = replies.length === 2;
  const names = replies.map((reply) => reply.model);
  const running = replies.some(isRunning);
  useLayoutEffect(() => {
    if (two) markParting(bodies.current, running);
  });
  return (
    <article class={two ? "turn two" : "turn"}>
      <Question
        turn={turn}
        editing={editing}
        onEdit={() => setEditing(true)}
        onCancel={() => setEditing(false)}
        onSend={onEdited}
      />
      <div class="lanes">
        {replies.map((reply, lane) => (
          <section key={lane} class={`answer ${two ? (lane === 0 ? "a" : "b") : ""}`}>
            <h2 class={two ? "lane-name" : "sr-only"} title={reply.model}>
              {two && <b>{lane === 0 ? "A" : "B"}</b>} {shortName(reply.model, names)}
            </h2>
            <Answer
              reply={reply}
              onRetry={() => onRetry(lane)}
              onKey={onKey}
              onBody={(element) => (bodies.current[lane] = element)}
            />
            <footer class="answer-foot">
              {reply.state === "streaming" && <span class="pulse" aria-hidden="true" />}
              {!isRunning(reply) && (
                <div class="actions">
                  {reply.text !== "" && <CopyButton text={() => answerText(reply)} />}
                  {last && !two && (
                    <IconButton icon="again" label={t("regenerate")} onClick={onRegenerate} />
                  )}
                  {!two && <Versions turn={turn} chat={chat} />}
                </div>
              )}
              <Figures reply={reply} />
            </footer>
          </section>
        ))}
      </div>
      {two && (
        <div class="lanes-foot">
          <Verdict replies={replies} />
          {!running && (
            <div class="actions">
              {last && <IconButton icon="again" label={t("regenerate")} onClick={onRegenerate} />}
              <Versions turn={turn} chat={chat} />
            </div>
          )}
        </div>
      )}
    </article>
  );
}

// What a screen reader hears about the last answer.
export function announcement(turns: Turn[], t: Translate): string {
  const turn = turns[turns.length - 1];
  const replies = turn?.attempts[turn.shown] ?? [];
  if (replies.length === 0) return "";
  if (replies.some(isRunning))
    return replies.every((r) => r.state === "waiting") ? t("waiting") : t("writing");
  return replies
    .map((reply) =>
      reply.problem
        ? t(reply.problem.kind)
        : t("finished", { text: answerText(reply).slice(0, 1500) }),
    )
    .join(" ");
}
