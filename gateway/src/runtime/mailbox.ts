/** A bounded queue of one actor. Being full is an answer, not a crash. */
import type { Envelope } from "./effect.ts";

export class Mailbox {
  readonly #normal: number;
  readonly #control: number;
  #items: Envelope[] = [];
  /** Index of the first item: shifting a long array would copy it at every turn. */
  #head = 0;
  #controls = 0;

  constructor(bounds: { readonly normal: number; readonly control: number }) {
    this.#normal = bounds.normal;
    this.#control = bounds.control;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }

  /** False when the lane is full. Control messages may also use free normal places. */
  push(env: Envelope): boolean {
    if (this.size >= this.#normal + this.#control) return false;
    if (env.lane === "normal" && this.size - this.#controls >= this.#normal) return false;
    this.#items.push(env);
    if (env.lane === "control") this.#controls++;
    return true;
  }

  /** Puts back what was taken and not committed, in its old order. Never refused. */
  unshift(envs: readonly Envelope[]): void {
    this.#items = [...envs, ...this.#items.slice(this.#head)];
    this.#head = 0;
    this.#controls = this.#items.filter(({ lane }) => lane === "control").length;
  }

  shift(): Envelope | undefined {
    const env = this.#items[this.#head];
    if (!env) return undefined;
    this.#head++;
    if (env.lane === "control") this.#controls--;
    if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return env;
  }

  /** Removes a waiting message, so that a cancelled ask never runs. */
  remove(match: (env: Envelope) => boolean): Envelope | undefined {
    const at = this.#items.findIndex((env, index) => index >= this.#head && match(env));
    if (at < 0) return undefined;
    const [env] = this.#items.splice(at, 1);
    if (env?.lane === "control") this.#controls--;
    return env;
  }
}
