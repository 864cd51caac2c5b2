/**
 * Things that fall due: a heap over deadlines, one pending wait for the nearest. Looks again
 * at least every 30 s, so neither a long delay nor a clock step is lost in a timer.
 *
 *   after, set ─► young ── still wanted after a second ─► heap ── due ─► fire
 *                   └─ cancelled: it was never sorted
 *
 * Nearly all deadlines are of calls that end within milliseconds.
 */
import { type Clock, MAX_AFTER_MS } from "@kith/shared/clock";

/** What `after` returns, for `cancel`. */
export interface Deadline {
  readonly due: number;
  /** Among equals, the one set first fires first. */
  readonly order: number;
  readonly key: string | undefined;
  /** Undefined once it fired or was cancelled. */
  fire: (() => void) | undefined;
  young: boolean;
}

/** With so few in the heap, one more is sorted at once, and cancelled ones are not worth looking for. */
const FEW = 128;
/** How long an entry is young; what falls due sooner never is. */
const YOUNG_MS = 1_000;

const before = (a: Deadline, b: Deadline): boolean =>
  a.due < b.due || (a.due === b.due && a.order < b.order);
const alive = ({ fire }: Deadline): boolean => fire !== undefined;

export class Due {
  readonly #clock: Clock;
  #young: Deadline[] = [];
  #youngAlive = 0;
  /** When the oldest of the young was set. */
  #youngSince = 0;
  #heap: Deadline[] = [];
  #heapAlive = 0;
  readonly #keys = new Map<string, Deadline>();
  #order = 0;
  #stopped = false;
  #cancel = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Fires once after `ms`; setting the same key again replaces. */
  set(key: string, ms: number, fire: () => void): void {
    this.clear(key);
    this.#keys.set(key, this.#add(key, ms, fire));
  }

  clear(key: string): void {
    const entry = this.#keys.get(key);
    this.#keys.delete(key);
    if (entry) this.cancel(entry);
  }

  /** Fires once after `ms`. */
  after(ms: number, fire: () => void): Deadline {
    return this.#add(undefined, ms, fire);
  }

  /** Its place is taken away when it surfaces, or when too many are cancelled. */
  cancel(entry: Deadline): void {
    if (!entry.fire) return;
    entry.fire = undefined;
    if (entry.young) {
      this.#youngAlive--;
      if (crowded(this.#young, this.#youngAlive)) this.#young = this.#young.filter(alive);
      return;
    }
    this.#heapAlive--;
    if (!crowded(this.#heap, this.#heapAlive)) return;
    const kept = this.#heap.filter(alive);
    this.#heap = [];
    for (const one of kept) this.#push(one);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
    this.#heap = [];
    this.#young = [];
    this.#keys.clear();
  }

  #add(key: string | undefined, ms: number, fire: () => void): Deadline {
    const now = this.#clock.mono();
    const young = this.#heap.length >= FEW && ms > YOUNG_MS;
    const due = now + Math.max(0, ms);
    const entry: Deadline = { due, order: this.#order++, key, fire, young };
    if (this.#stopped) return entry;
    if (young) {
      this.#youngAlive++;
      if (this.#young.push(entry) > 1) return entry;
      this.#youngSince = now;
    } else {
      this.#heapAlive++;
      this.#push(entry);
      if (this.#heap[0] !== entry) return entry;
    }
    this.#arm();
    return entry;
  }

  #arm(): void {
    this.#cancel();
    const first = this.#heap[0]?.due ?? Infinity;
    const grown = this.#young.length > 0 ? this.#youngSince + YOUNG_MS : Infinity;
    if (first === Infinity && grown === Infinity) return;
    const wait = Math.min(first, grown) - this.#clock.mono();
    this.#cancel = this.#clock.after(Math.min(MAX_AFTER_MS, Math.max(0, wait)), () => this.#run());
  }

  #run(): void {
    const now = this.#clock.mono();
    if (now >= this.#youngSince + YOUNG_MS) this.#growUp();
    for (let first = this.#heap[0]; first && first.due <= now; first = this.#heap[0]) {
      this.#pop();
      const { key, fire } = first;
      if (!fire) continue;
      this.#heapAlive--;
      first.fire = undefined;
      if (key !== undefined) this.#keys.delete(key);
      fire();
    }
    this.#arm();
  }

  #growUp(): void {
    for (const entry of this.#young) {
      if (!entry.fire) continue;
      entry.young = false;
      this.#heapAlive++;
      this.#push(entry);
    }
    this.#young = [];
    this.#youngAlive = 0;
  }

  #push(entry: Deadline): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!before(entry, heap[up] as Deadline)) break;
      heap[at] = heap[up] as Deadline;
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
      if (down + 1 < heap.length && before(heap[down + 1] as Deadline, heap[down] as Deadline))
        down++;
      if (!before(heap[down] as Deadline, last)) break;
      heap[at] = heap[down] as Deadline;
      at = down;
    }
    heap[at] = last;
  }
}

/** More than half of many are cancelled. */
const crowded = (entries: readonly Deadline[], count: number): boolean =>
  entries.length >= FEW && entries.length >= count * 2;
