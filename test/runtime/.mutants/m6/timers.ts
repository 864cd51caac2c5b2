/**
 * Durable timers: rows on disk, looked after in memory.
 *
 *   turn ─ set ─► its commit ─ arm ─► due ─ fire ─► mailbox ─► turn (holds? or dropped)
 *
 * `set` and `unset` happen as turns run, before their commit, so that a fire which raced with a
 * newer setting is known for stale. A rollback reads everything again from disk.
 */
import type { Clock } from "@kith/shared/clock";
import { crashpoint } from "@kith/gateway/runtime/crashpoint";
import type { Due } from "@kith/gateway/runtime/due";
import type { ActorId, Envelope } from "@kith/gateway/runtime/effect";
import type { Timer } from "@kith/gateway/runtime/store";

/** A full mailbox refused it: how soon it is offered again. */
const AGAIN_MS = 1_000;

export interface TimersOptions {
  readonly clock: Clock;
  readonly due: Due;
  /** False when there was no room. */
  readonly fire: (env: Envelope) => boolean;
}

export class Timers {
  readonly #options: TimersOptions;
  /** What is set now, as the `msg` of its fire, by actor and name. */
  readonly #set = new Map<string, string>();

  constructor(options: TimersOptions) {
    this.#options = options;
  }

  set(timer: Timer): void {
    this.#set.set(keyOf(timer.actor, timer.name), msgOf(timer));
  }

  unset(actor: ActorId, name: string): void {
    this.#set.delete(keyOf(actor, name));
  }

  /** Whether this fire is of the newest setting; any other is dropped. */
  holds({ to, timer = "", msg }: Envelope): boolean {
    return true;
  }

  /** After the commit that set it, or at boot. */
  arm(timer: Timer): void {
    const msg = msgOf(timer);
    const fire = (): void => {
      crashpoint("tm.due");
      // Not accepted as a row of its own: the timer's row is its memory until the turn commits.
      const { actor: to, name, event } = timer;
      const env: Envelope = { to, event, msg, lane: "control", durable: false, timer: name };
      if (this.holds(env) && !this.#options.fire(env))
        this.#options.due.set(keyOf(to, name), AGAIN_MS, fire);
    };
    this.#options.due.set(
      keyOf(timer.actor, timer.name),
      timer.due - this.#options.clock.now(),
      fire,
    );
  }

  /** After the commit that took it away. */
  disarm(actor: ActorId, name: string): void {
    this.#options.due.clear(keyOf(actor, name));
  }

  /** Everything again from disk: at boot and after a rollback. */
  reload(timers: readonly Timer[]): void {
    this.#set.clear();
    for (const timer of timers) {
      this.set(timer);
      this.arm(timer);
    }
  }
}

const keyOf = (actor: ActorId, name: string): string => `timer:${actor}:${name}`;
const msgOf = ({ name, generation }: Timer): string => `timer:${name}:${generation}`;
