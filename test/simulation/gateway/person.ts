/** Somebody in a chat: says things until they are heard, reads, answers questions, walks away and comes back. */
import type { ChatMessage } from "@kith/gateway/sessions/words";
import type { KithError } from "@kith/shared/errors";
import { short } from "@kith/gateway/sessions/words";
import type { Mortal, World } from "../../support/world.ts";
import type { Reachable } from "./gateways.ts";
import type { History } from "./history.ts";

const REFUSALS = ["disk-full", "mailbox-full", "gateway-away"];
/** How long one waits before saying the same remedy again. */
const AGAIN_MS = 15_000;

export interface PersonOptions {
  readonly world: World;
  readonly history: Pick<History, "said" | "shown">;
  readonly reachable: () => Reachable | undefined;
  readonly chaos: () => boolean;
  readonly broken: (what: string) => void;
  readonly shown: (message: ChatMessage) => void;
}

export class Person {
  readonly chat: string;
  readonly #options: PersonOptions;
  /** What is still to be said, and whether it was heard. */
  readonly #lines: {
    readonly n: number;
    readonly text: string;
    readonly said: { acked: boolean };
  }[] = [];
  readonly #heard: { readonly n: number; readonly text: string }[] = [];
  readonly #asked = new Map<string, "open" | "answered">();
  readonly #remedies = new Map<string, number>();
  #spoken = 0;
  #speaking: Mortal | undefined;
  #with: Mortal | undefined;
  #leave = () => {};

  constructor(chat: string, options: PersonOptions) {
    this.chat = chat;
    this.#options = options;
    this.#live();
  }

  /** Nothing is left to say. */
  get quiet(): boolean {
    return this.#lines.length === 0;
  }

  say(text: string): void {
    const said = this.#options.history.said(this.chat, text);
    this.#lines.push({ n: ++this.#spoken, text, said });
  }

  /** Comes to the terminal, if there is one. */
  attend(): void {
    const now = this.#options.reachable();
    if (!now || this.#with === now.process) return;
    this.#with = now.process;
    this.#leave = now.core.console.attach(this.chat, {
      terminal: undefined,
      draft: () => {},
      show: ({ id, chat: _, ...message }) => this.#read(id, message, now),
    });
  }

  /** Opens the terminal anew, so that whatever was not noticed is shown once more, and answers every question. */
  settle(): void {
    this.#leave();
    this.#with = undefined;
    this.attend();
    for (const [call, state] of this.#asked) if (state === "open") this.#reply(call);
  }

  #live(): void {
    const { world, chaos } = this.#options;
    const { rng } = world;
    world.in(20 + rng.below(1_500), `${this.chat} looks`, () => {
      this.#live();
      if (chaos() && rng.chance(0.03)) {
        this.#leave();
        this.#with = undefined;
      } else this.attend();
      this.#speak();
    });
  }

  #speak(): void {
    const { world, reachable, broken } = this.#options;
    const now = reachable();
    const [line] = this.#lines;
    if (!now || !line || (this.#speaking && !this.#speaking.dead)) return;
    this.#speaking = now.process;
    world.note(`${this.chat} says ${line.text}`);
    const over = (): void => {
      this.#speaking = undefined;
    };
    this.#offer(now, line).then(
      () => {
        if (now.process.dead) return;
        over();
        line.said.acked = true;
        this.#heard.push(line);
        this.#lines.shift();
      },
      (error: KithError) => {
        if (now.process.dead) return;
        over();
        if (!REFUSALS.includes(error.code)) broken(`“${line.text}” was refused: ${error.message}`);
      },
    );
    // Somebody who is not sure says it once more.
    const old = this.#heard[world.rng.below(this.#heard.length + 1)];
    if (old && world.rng.chance(0.2)) this.#offer(now, old).catch(() => {});
  }

  #offer(
    { core }: Reachable,
    { n, text }: { readonly n: number; readonly text: string },
  ): Promise<void> {
    const { chat } = this;
    const place = { channel: "console", account: "local", chat, from: "owner" };
    return core.receive({ ...place, messageId: `${chat}.${n}`, text });
  }

  #read(id: string, message: ChatMessage, { core, process }: Reachable): void {
    const { world, history, shown, chaos } = this.#options;
    const { rng } = world;
    if (process.dead) return;
    world.note(`${this.chat} reads ${message.text.slice(0, 40).replaceAll("\n", " ")}`);
    history.shown(this.chat, id, message);
    shown(message);
    // Not everything that is on the screen is noticed at once.
    if (!chaos() || rng.chance(0.9))
      world.in(
        rng.below(300),
        `${this.chat} has read`,
        () => core.console.seen(this.chat, id),
        process,
      );
    const { question, error } = message;
    if (question && !this.#asked.has(question.call)) {
      this.#asked.set(question.call, "open");
      if (!chaos() || rng.chance(0.95))
        world.in(rng.below(2_000), `${this.chat} answers`, () => this.#reply(question.call));
    }
    if (error?.code === "safe-mode") this.#remedy("/safe off");
    if (error?.code === "locked") this.#remedy("/unlock");
  }

  #reply(call: string): void {
    const { rng } = this.#options.world;
    if (this.#asked.get(call) !== "open") return;
    this.#asked.set(call, "answered");
    const words = ["/allow once", "/allow once", "/allow 15m", "/allow 1h", "/deny"] as const;
    this.say(`${words[rng.below(words.length)]} ${short(call)}`);
  }

  #remedy(text: string): void {
    const { mono } = this.#options.world;
    if (mono - (this.#remedies.get(text) ?? -AGAIN_MS) < AGAIN_MS) return;
    this.#remedies.set(text, mono);
    this.say(text);
  }
}
