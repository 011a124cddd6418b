// SPDX-License-Identifier: Apache-2.0
// The conversation and the requests under way. A lane is one model; with two lanes both get every
// question, each with its own answers as history.
import { ApiError, streamChat, userMessage, type Message } from "./api";
import { splitThinking } from "./markdown";
import type { Picture, Problem, Reply, Settings, Turn } from "./types";

const kNotifyMs = 40; // at most 25 repaints a second, however fast the tokens come

export interface Context {
  lanes: string[]; // model names
  settings: Settings;
  key: string;
}

const newId = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;

const emptyReply = (model: string): Reply => ({
  model,
  text: "",
  reasoning: "",
  state: "waiting",
  problem: null,
  warning: null,
  finishReason: null,
  usage: null,
  startedAt: performance.now(),
  firstAt: null,
  endAt: null,
});

export const isRunning = (reply: Reply) => reply.state === "waiting" || reply.state === "streaming";

// What goes back to the model: the answer without its thinking.
export const answerText = (reply: Reply) => splitThinking(reply.text).answer;

export class Conversation {
  turns: Turn[] = [];
  onChange: () => void = () => undefined;
  onRest: () => void = () => undefined; // an answer has ended, or the conversation was cleared
  onUnauthorized: (rejectedKey: string) => void = () => undefined;
  private running = new Map<Reply, AbortController>();
  private timer = 0;

  // Nothing has been asked yet, or it was asked before a reload.
  restore(turns: Turn[]): void {
    if (this.turns.length > 0 || turns.length === 0) return;
    this.turns = turns;
    this.notify();
  }

  get busy(): boolean {
    return this.running.size > 0;
  }

  send(text: string, pictures: Picture[], context: Context): void {
    this.stop();
    this.turns = [...this.turns, { id: newId(), text, pictures, attempts: [], shown: 0 }];
    this.attempt(this.turns.length - 1, context);
  }

  // Asks the question of a turn again; what came after it would no longer follow, so it goes.
  regenerate(turn: Turn, context: Context): void {
    const index = this.turns.indexOf(turn);
    if (index < 0) return;
    this.stop();
    this.turns = this.turns.slice(0, index + 1);
    this.attempt(index, context);
  }

  // Only the lane that failed is asked again.
  retry(turn: Turn, lane: number, context: Context): void {
    const index = this.turns.indexOf(turn);
    const attempt = turn.attempts[turn.shown];
    if (index < 0 || !attempt?.[lane]) return;
    const reply = emptyReply(context.lanes[lane] ?? attempt[lane].model);
    attempt[lane] = reply;
    this.ask(index, lane, reply, context);
    this.notify();
  }

  edit(turn: Turn, text: string, pictures: Picture[], context: Context): void {
    const index = this.turns.indexOf(turn);
    if (index < 0) return;
    this.stop();
    this.turns = [
      ...this.turns.slice(0, index),
      { id: newId(), text, pictures, attempts: [], shown: 0 },
    ];
    this.attempt(index, context);
  }

  show(turn: Turn, attempt: number): void {
    turn.shown = Math.max(0, Math.min(turn.attempts.length - 1, attempt));
    this.notify();
  }

  stop(): void {
    for (const controller of this.running.values()) controller.abort();
  }

  clear(): void {
    this.stop();
    this.turns = [];
    this.notify();
    this.onRest();
  }

  messages(lane: number, before: number, system: string): Message[] {
    const messages: Message[] = system.trim() ? [{ role: "system", content: system }] : [];
    for (const turn of this.turns.slice(0, before)) {
      const reply = turn.attempts[turn.shown]?.[lane];
      const answer = reply ? answerText(reply) : "";
      if (!answer) continue; // a question without an answer would put two questions in a row
      messages.push(userMessage(turn.text, turn.pictures), { role: "assistant", content: answer });
    }
    return messages;
  }

  private attempt(index: number, context: Context): void {
    const turn = this.turns[index];
    const replies = context.lanes.map(emptyReply);
    turn.attempts.push(replies);
    turn.shown = turn.attempts.length - 1;
    replies.forEach((reply, lane) => this.ask(index, lane, reply, context));
    this.notify();
  }

  private ask(index: number, lane: number, reply: Reply, context: Context): void {
    const controller = new AbortController();
    this.running.set(reply, controller);
    const { settings, key } = context;
    const turn = this.turns[index];
    const messages = [
      ...this.messages(lane, index, settings.system),
      userMessage(turn.text, turn.pictures),
    ];
    const arrived = () => {
      reply.firstAt ??= performance.now();
      reply.endAt = performance.now();
      reply.state = "streaming";
      this.notifySoon();
    };
    streamChat(
      { model: reply.model, messages, settings, key, signal: controller.signal },
      {
        text: (piece) => {
          reply.text += piece;
          arrived();
        },
        reasoning: (piece) => {
          reply.reasoning += piece;
          arrived();
        },
        finish: (reason) => (reply.finishReason = reason),
        warning: (message) => (reply.warning = message),
        usage: (usage) => (reply.usage = usage),
      },
    )
      .then(() => (reply.state = "done"))
      .catch((error: unknown) => this.failed(reply, error, controller.signal.aborted, key))
      .finally(() => {
        this.running.delete(reply);
        this.notify();
        this.onRest();
      });
  }

  private failed(reply: Reply, error: unknown, aborted: boolean, key: string): void {
    if (aborted) {
      reply.state = "stopped";
      return;
    }
    const problem: Problem =
      error instanceof ApiError ? error.problem : { kind: "format", detail: String(error) };
    reply.state = "error";
    reply.problem = problem;
    if (problem.kind === "unauthorized") this.onUnauthorized(key);
  }

  private notify(): void {
    window.clearTimeout(this.timer);
    this.timer = 0;
    this.onChange();
  }

  private notifySoon(): void {
    if (this.timer === 0) this.timer = window.setTimeout(() => this.notify(), kNotifyMs);
  }
}
