/** People who write at a steady pace, and how long each of them waits. */
import type { ActorId } from "@kith/gateway/runtime/effect";
import { quickChat, quickModel, Rig, type RigOptions, say } from "./rig.ts";

const TICK_MS = 5;

/** A rig with a number of chats in which people write as often as they are told to. */
export class Town implements AsyncDisposable {
  readonly rig: Rig;
  readonly #chats: number;
  /** When each chat's message was said, while it has no answer. */
  readonly #said: Map<string, number>;
  /** Ms from said to answered, and from said to "received", since `forget`. */
  answers: number[] = [];
  acks: number[] = [];
  #last = 0;

  private constructor(rig: Rig, chats: number, said: Map<string, number>) {
    this.rig = rig;
    this.#chats = chats;
    this.#said = said;
  }

  static async start(chats: number, options: RigOptions = {}): Promise<Town> {
    const said = new Map<string, number>();
    let town: Town;
    const heard = (chat: string): void => {
      const began = said.get(chat);
      said.delete(chat);
      if (began !== undefined) town.answers.push(performance.now() - began);
    };
    const rig = await Rig.start({ ...options, performers: [quickModel, quickChat(heard)] });
    town = new Town(rig, chats, said);
    return town;
  }

  forget(): void {
    this.answers = [];
    this.acks = [];
  }

  /** `perSecond` messages, each in the next chat that has none under way, for so long. */
  async talk(perSecond: number, ms: number): Promise<void> {
    const began = performance.now();
    let sent = 0;
    for (let now = began; now - began < ms; now = performance.now()) {
      const due = Math.floor(((now - began) * perSecond) / 1_000);
      for (; sent < due; sent++) this.#speak();
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
  }

  #speak(): void {
    for (let tries = 0; tries < this.#chats; tries++) {
      const chat: ActorId = `session/${this.#last++ % this.#chats}`;
      if (this.#said.has(chat)) continue;
      const began = performance.now();
      this.#said.set(chat, began);
      say(this.rig, chat).then(
        () => void this.acks.push(performance.now() - began),
        () => {}, // the gateway stops: nobody waits for that one any more
      );
      return;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rig[Symbol.asyncDispose]();
  }
}
