/**
 * The independent judge of a run with models: what they read, what was done for them, what people were asked and
 * told. It knows rows only to see whether an answer was on disk before anything was done for it.
 */
import type { StoredItem } from "@kith/gateway/model/model";
import type { ModelRequest } from "@kith/gateway/model/provider";
import type { Write } from "@kith/gateway/runtime/store";
import { type ChatMessage, short } from "@kith/gateway/sessions/words";
import type { Invoke } from "@kith/shared/protocol/call";
import { CHARS_PER_TOKEN } from "@kith/gateway/model/history";
import { MARK, marksIn } from "./mark.ts";

interface Chat {
  readonly said: { readonly text: string; acked: boolean }[];
  /** Message by its id, once. */
  readonly shown: Map<string, ChatMessage>;
}

export interface JudgeOptions {
  readonly broken: (what: string) => void;
  /** Tokens of all questions together, at most; undefined: as many as you like. */
  readonly budget: number | undefined;
  /** What a model reads at once, in tokens. */
  readonly window: number;
}

export class Judge {
  readonly counts = { summaries: 0, tainted: 0, asked: 0, sent: 0, cancelled: 0, refused: 0 };
  readonly #options: JudgeOptions;
  readonly #chats = new Map<string, Chat>();
  /** Marks of calls whose answer is on disk. */
  readonly #journalled = new Set<string>();
  readonly #ran = new Map<string, number>();
  readonly #sent = new Map<string, string>();
  readonly #cancelled = new Set<string>();
  /** What was asked, by the call's short name. */
  readonly #questions = new Map<string, string>();
  readonly #allowed = new Set<string>();
  /** Capability and device that were permitted for longer than once. */
  readonly #standing = new Set<string>();
  #spent = 0;

  constructor(options: JudgeOptions) {
    this.#options = options;
  }

  #broken(what: string): void {
    this.#options.broken(what);
  }

  #chat(name: string): Chat {
    let chat = this.#chats.get(name);
    if (!chat) this.#chats.set(name, (chat = { said: [], shown: new Map() }));
    return chat;
  }

  committed(writes: readonly Write[]): void {
    for (const write of writes) {
      if (write.k !== "put" || write.table !== "item") continue;
      const item = write.body as StoredItem;
      if (item.role !== "assistant") continue;
      for (const { args = {} } of item.calls) this.#journalled.add(String(args.mark ?? args.text));
    }
  }

  /** A model is asked this. */
  asked(agent: string, { items, system }: ModelRequest): void {
    const home = agent === "main" ? "home" : agent;
    const text = JSON.stringify(items);
    if (!system.includes(`(the assistant ${agent})`))
      this.#broken(`the model of ${agent} works for another: ${system.slice(-40)}`);
    for (const [mark, whose] of text.matchAll(MARK))
      if (whose !== home) this.#broken(`${agent} reads ${mark} of another`);
    for (const mark of this.#cancelled)
      if (text.includes(`result ${mark}`)) this.#broken(`${mark} was cancelled and is read`);
    if (text.length > this.#options.window * CHARS_PER_TOKEN * 1.5)
      this.#broken(`${agent} is asked ${text.length} characters`);
    this.#paired(agent, items);
  }

  /** After an answer with calls comes one result of each of them, before anything else. */
  #paired(agent: string, items: ModelRequest["items"]): void {
    const open = new Set<string>();
    for (const item of items) {
      if (item.role === "tool") {
        if (!open.delete(item.call))
          this.#broken(`${agent} reads a result of nothing: ${item.call}`);
      } else if (open.size > 0) this.#broken(`${agent} reads no result of ${[...open].join()}`);
      if (item.role === "assistant") for (const { id } of item.calls) open.add(id);
    }
  }

  summed(): void {
    this.counts.summaries++;
  }

  spent(tokens: number): void {
    this.#spent += tokens;
    const { budget = Infinity } = this.#options;
    if (this.#spent > budget) this.#broken(`${this.#spent} tokens are more than its budget`);
  }

  /** Something is done for this call of a model. */
  acts(mark: string): void {
    if (!this.#journalled.has(mark)) this.#broken(`${mark} was acted on before it was journalled`);
  }

  noted(text: string, call: string): void {
    this.#once(text, call);
  }

  sends(mark: string, call: string): void {
    this.counts.sent++;
    this.#once(mark, call);
    if (!this.#allowed.has(short(call))) this.#broken(`${mark} was sent without a yes`);
  }

  /** Again under the same name is the same; under another it is a second one. */
  #once(mark: string, call: string): void {
    const before = this.#sent.get(mark) ?? call;
    this.#sent.set(mark, before);
    if (before !== call) this.#broken(`${mark} was done for two calls`);
  }

  cancelled(mark: string): void {
    this.counts.cancelled++;
    this.#cancelled.add(mark);
  }

  /** A call arrived at its device. */
  invoked(device: string, { call, cap, args }: Invoke): void {
    const mark = String(args.mark);
    this.acts(mark);
    if (cap === "sim.read") return;
    const tainted = mark.endsWith("t");
    if (tainted) this.counts.tainted++;
    if (this.#allowed.has(short(call))) return;
    if (tainted) return this.#broken(`${mark} was done without a question, although it read EVIL`);
    if (!this.#standing.has(`${cap} ${device}`))
      this.#broken(`${mark} was done without a permission`);
  }

  ran(cap: string, mark: string): void {
    const times = (this.#ran.get(mark) ?? 0) + 1;
    this.#ran.set(mark, times);
    if (cap === "sim.act" && times > 1) this.#broken(`${mark} was done ${times} times`);
  }

  /** Somebody will say it until it is acknowledged. */
  said(chat: string, text: string): { text: string; acked: boolean } {
    const said = { text, acked: false };
    this.#chat(chat).said.push(said);
    const [, term, call] = /^\/allow (\S+) (\S+)/.exec(text) ?? [];
    if (term !== undefined && call !== undefined) {
      this.#allowed.add(call);
      const what = this.#questions.get(call);
      if (term !== "once" && what !== undefined) this.#standing.add(what);
    }
    return said;
  }

  shown(chat: string, id: string, message: ChatMessage): void {
    const { shown } = this.#chat(chat);
    if (shown.has(id)) return;
    shown.set(id, message);
    const { question, error } = message;
    if (error) this.counts.refused++;
    if (!question) return;
    this.counts.asked++;
    this.#questions.set(short(question.call), `${question.cap} ${question.device}`);
  }

  /** When all is quiet. `echo`: a last word to each chat, which must have been answered. */
  finish(echo: (chat: string) => string | undefined): void {
    for (const [name, { said, shown }] of this.#chats) {
      for (const { text, acked } of said)
        if (!acked) this.#broken(`${name} could not say “${text}”`);
      const messages = [...shown.values()];
      const answers = messages.filter(({ text }) => text.startsWith("answer "));
      const answered = answers.flatMap(({ text }) => marksIn(text));
      if (new Set(answered).size !== answered.length)
        this.#broken(`${name} was answered twice: ${answered.join()}`);
      const marks = said.flatMap(({ text }) => (text.startsWith("please") ? marksIn(text) : []));
      const left = marks.filter((mark) => !answered.includes(mark));
      // A turn that failed, was stopped or forgotten leaves what was asked in it.
      const excused = messages.some(
        ({ text, error }) =>
          error !== undefined ||
          text === "Stopped." ||
          text.startsWith("I begin anew") ||
          text.startsWith("Too much at once"),
      );
      if (left.length > 0 && !excused) this.#broken(`${name} has no answer to ${left.join()}`);
      const last = echo(name);
      if (last !== undefined && !answered.includes(last))
        this.#broken(`${name} has no answer to its last word ${last}`);
    }
  }

  /** Marks that were answered so far. */
  answers(chat: string): number {
    return [...this.#chat(chat).shown.values()].filter(({ text }) => text.startsWith("answer "))
      .length;
  }
}
