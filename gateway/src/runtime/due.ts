/**
 * Things that fall due: a heap over deadlines, one pending wait for the nearest. Looks again
 * at least every 30 s, so neither a long delay nor a clock step is lost in a timer.
 */
import { type Clock, MAX_AFTER_MS } from "@kith/shared/clock";

interface Entry {
  readonly key: string;
  readonly due: number;
  /** Among equals, the one set first fires first. */
  readonly order: number;
  readonly fire: () => void;
}

/** Below so many entries, cleared ones are not worth looking for. */
const MIN_SWEPT = 128;

const before = (a: Entry, b: Entry): boolean =>
  a.due < b.due || (a.due === b.due && a.order < b.order);

export class Due {
  readonly #clock: Clock;
  #heap: Entry[] = [];
  readonly #current = new Map<string, Entry>();
  #order = 0;
  #stopped = false;
  #cancel = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Fires once after `ms`; setting the same key again replaces. */
  set(key: string, ms: number, fire: () => void): void {
    if (this.#stopped) return;
    const entry = { key, due: this.#clock.mono() + Math.max(0, ms), order: this.#order++, fire };
    this.#current.set(key, entry);
    this.#push(entry);
    if (this.#heap[0] === entry) this.#arm();
  }

  clear(key: string): void {
    // The heap entry stays until it surfaces or too many do; without its place in the map it does nothing.
    this.#current.delete(key);
    if (this.#heap.length < MIN_SWEPT || this.#heap.length < this.#current.size * 2) return;
    const kept = [...this.#current.values()];
    this.#heap = [];
    for (const entry of kept) this.#push(entry);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
    this.#heap = [];
    this.#current.clear();
  }

  #arm(): void {
    this.#cancel();
    const first = this.#heap[0];
    if (!first) return;
    const wait = Math.min(MAX_AFTER_MS, Math.max(0, first.due - this.#clock.mono()));
    this.#cancel = this.#clock.after(wait, () => this.#run());
  }

  #run(): void {
    const now = this.#clock.mono();
    for (let first = this.#heap[0]; first && first.due <= now; first = this.#heap[0]) {
      this.#pop();
      if (this.#current.get(first.key) !== first) continue;
      this.#current.delete(first.key);
      first.fire();
    }
    this.#arm();
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!before(entry, heap[up] as Entry)) break;
      heap[at] = heap[up] as Entry;
      at = up;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = at * 2 + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && before(heap[down + 1] as Entry, heap[down] as Entry)) down++;
      if (!before(heap[down] as Entry, last)) break;
      heap[at] = heap[down] as Entry;
      at = down;
    }
    heap[at] = last;
  }
}
