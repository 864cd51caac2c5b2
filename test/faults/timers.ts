/** Two hundred durable timers on the real store, a clock that jumps, and starts in between. */
import type { ActorId } from "@kith/gateway/runtime/effect";
import { Runtime } from "@kith/gateway/runtime/runtime";
import type { Store } from "@kith/gateway/runtime/store";
import { openStore } from "@kith/gateway/store/store";
import { FakeClock } from "../node/world.ts";
import { diary, note, timer } from "../runtime/diary.ts";
import { tempHome } from "../store/home.ts";
import { Seeded } from "../support/world.ts";

const ACTORS = 20;
const TIMERS_EACH = 10;
const HOUR_MS = 3_600_000;
const LONGEST_MS = 10 * 24 * HOUR_MS;
/** At the end: far behind every due time, whatever the clock says. */
const AFTER_HOURS = 24 * 21;

const actorOf = (n: number): ActorId => `diary/d${n}`;

/** One process after the other on one home. */
class Place implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly #home = tempHome();
  readonly #rng: Seeded;
  store: Store;
  runtime: Runtime;

  constructor(rng: Seeded) {
    this.#rng = rng;
    [this.store, this.runtime] = this.#make();
  }

  #make(): [Store, Runtime] {
    const store = openStore(this.#home.path);
    const runtime = new Runtime({
      store,
      clock: this.clock,
      rng: this.#rng,
      scheduler: { soon: (fn) => void setImmediate(fn) },
      kinds: [{ ...diary, mailbox: { normal: 64, control: 64 } }],
      fatal: (error) => {
        throw error;
      },
      notice: () => {},
      report: () => {},
    });
    return [store, runtime];
  }

  async open(): Promise<void> {
    this.runtime.recover(await this.store.open());
    await this.calm();
  }

  async restart(): Promise<void> {
    await this.runtime.stop();
    await this.store.close();
    [this.store, this.runtime] = this.#make();
    await this.open();
  }

  /** Until the turns that are ready have run and are on disk. */
  async calm(): Promise<void> {
    for (let look = 0; look < 3; look++) {
      await new Promise((resolve) => setImmediate(resolve));
      await this.runtime.settled();
    }
  }

  async hours(n: number): Promise<void> {
    for (let hour = 0; hour < n; hour++) {
      this.clock.pass(HOUR_MS);
      await this.calm();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runtime.stop();
    await this.store.close();
    this.#home[Symbol.dispose]();
  }
}

/** How many timers were set, and how many of them did not fire exactly once. */
export async function firings(
  jumps: readonly number[],
  seed: number,
): Promise<{ set: number; wrong: number }> {
  const rng = new Seeded(seed);
  await using place = new Place(rng);
  await place.open();
  const names: string[] = [];
  for (let actor = 0; actor < ACTORS; actor++) {
    const effects = Array.from({ length: TIMERS_EACH }, (_, n) => {
      const name = `t${actor}-${n}`;
      names.push(name);
      return timer(name, 1_000 + rng.below(LONGEST_MS));
    });
    await place.runtime.accept(actorOf(actor), note("set", ...effects), `set${actor}`);
  }
  await place.calm();
  for (const jump of jumps) {
    await place.hours(6);
    place.clock.offset += jump;
    await place.hours(1);
    if (rng.chance(0.5)) await place.restart();
  }
  await place.hours(AFTER_HOURS);

  const fired = new Map<string, number>();
  for (let actor = 0; actor < ACTORS; actor++)
    for (const { event } of place.store.journal(actorOf(actor), 1_000)) {
      const { text = "" } = event as { text?: string };
      fired.set(text, (fired.get(text) ?? 0) + 1);
    }
  return { set: names.length, wrong: names.filter((name) => fired.get(name) !== 1).length };
}
