/**
 * The independent judge of a run: it knows what people said and were shown, and what devices
 * really did. Nothing of the gateway's memory; its rows only to learn which call was for what.
 */
import type { ChatMessage } from "@kith/gateway/sessions/words";

interface Said {
  readonly text: string;
  acked: boolean;
}

interface Shown {
  readonly id: string;
  readonly message: ChatMessage;
}

interface Chat {
  /** In the order in which they were said first. */
  readonly said: Said[];
  /** Each answer once, in the order in which it was shown first. */
  readonly shown: Shown[];
}

/** What the gateway says of a call, as the last word about it. */
interface Told {
  readonly call: string;
  readonly states: readonly string[];
  readonly last: NonNullable<ChatMessage["result"]>;
}

export class History {
  readonly #chats = new Map<string, Chat>();
  /** How often each mark was done, over all devices. */
  readonly #ran = new Map<string, { cap: string; times: number }>();
  readonly #broken: (what: string) => void;

  constructor(broken: (what: string) => void) {
    this.#broken = broken;
  }

  #chat(name: string): Chat {
    let chat = this.#chats.get(name);
    if (!chat) this.#chats.set(name, (chat = { said: [], shown: [] }));
    return chat;
  }

  /** Somebody will say it until it is acknowledged. Call `acked` on what it returns. */
  said(chat: string, text: string): Said {
    const said = { text, acked: false };
    this.#chat(chat).said.push(said);
    return said;
  }

  shown(chat: string, id: string, message: ChatMessage): void {
    const { shown } = this.#chat(chat);
    const before = shown.find((one) => one.id === id);
    if (!before) shown.push({ id, message });
    else if (JSON.stringify(before.message) !== JSON.stringify(message))
      this.#broken(`answer ${id} changed from ${before.message.text} to ${message.text}`);
  }

  ran(cap: string, mark: string): void {
    const known = this.#ran.get(mark) ?? { cap, times: 0 };
    this.#ran.set(mark, known);
    known.times++;
    const once = cap === "sim.act" || cap === "sim.shot";
    if (once && known.times > 1) this.#broken(`${cap} ${mark} was done ${known.times} times`);
  }

  /** How each call ended, as its owner was told, by state. */
  get ends(): Record<string, number> {
    const ends: Record<string, number> = {};
    for (const { shown } of this.#chats.values())
      for (const { last } of calls(shown)) ends[last.state] = (ends[last.state] ?? 0) + 1;
    return ends;
  }

  /** When all is quiet. `markOf`: what a call was for; undefined where it never became one. */
  finish(markOf: (call: string) => string | undefined): void {
    for (const [name, { said, shown }] of this.#chats) {
      for (const { text, acked } of said)
        if (!acked) this.#broken(`${name} could not say “${text}”`);
      const told = calls(shown);
      const questions = shown.filter(({ message }) => message.question);
      const asked = new Set(questions.map(({ message }) => message.question?.call));
      if (asked.size !== questions.length) this.#broken(`a question was put twice in ${name}`);
      const rest = shown.filter(({ message }) => !message.question && !message.result);
      if (told.length + rest.length !== said.length)
        this.#broken(
          `${said.length} messages of ${name} have ${told.length} ends of calls and ${rest.length} other answers`,
        );
      this.#echoes(name, said, rest);
      for (const one of told) this.#judge(one, markOf(one.call));
    }
  }

  /** What only comes back comes back once, in the order in which it was said. */
  #echoes(name: string, said: readonly Said[], rest: readonly Shown[]): void {
    const wanted = said
      .filter(({ text }) => text.startsWith("echo "))
      .map(({ text }) => text.slice(5));
    const found = rest.map(({ message }) => message.text).filter((text) => wanted.includes(text));
    if (found.join() !== wanted.join())
      this.#broken(`${name} heard ${found.join()} instead of ${wanted.join()}`);
  }

  #judge({ call, states, last }: Told, mark: string | undefined): void {
    // Doubt may be followed by evidence, and nothing else by anything.
    if (states.length > 2 || (states.length === 2 && states[0] !== "unknown"))
      this.#broken(`call ${call} ended as ${states.join(", then ")}`);
    const times = (mark === undefined ? undefined : this.#ran.get(mark)?.times) ?? 0;
    if (last.state === "done" && times === 0)
      this.#broken(`call ${call} is done, but ${mark} never was`);
    const effect = last.state === "done" ? undefined : last.failure?.effect;
    if (effect === "none" && last.cap !== "sim.read" && times > 0)
      this.#broken(
        `call ${call} ended with ${last.failure?.code} and no effect, but ${mark} was done`,
      );
  }
}

/** Ends of calls, each call once. */
function calls(shown: readonly Shown[]): Told[] {
  const told = new Map<string, Told>();
  for (const { message } of shown) {
    const { result } = message;
    if (!result) continue;
    const before = told.get(result.call)?.states ?? [];
    told.set(result.call, { call: result.call, states: [...before, result.state], last: result });
  }
  return [...told.values()];
}
