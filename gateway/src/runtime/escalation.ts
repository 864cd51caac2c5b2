/**
 * When it is not one actor but its kind: too many stopped within a minute, or several by the same
 * error. Then none of the kind is woken but one a minute, to see whether it is over; and the
 * owner hears of it once, not once for each.
 *
 *   well ── 21 actors down in 60 s, or 5 by the same error ──► degraded ── a probe's turn succeeds ──► well
 */
const WITHIN_MS = 60_000;
const MOST_DOWN = 20;
const SAME_ERROR = 5;

interface Down {
  readonly at: number;
  readonly id: string;
  readonly error: string;
}

export class Escalation {
  readonly #downs = new Map<string, Down[]>();
  readonly #degraded = new Set<string>();

  get any(): boolean {
    return this.#degraded.size > 0;
  }

  degraded(kind: string): boolean {
    return this.#degraded.has(kind);
  }

  /** One was stopped. True when that made its kind degraded. */
  down(kind: string, id: string, error: string, now: number): boolean {
    const recent = (this.#downs.get(kind) ?? []).filter(
      (one) => now - one.at < WITHIN_MS && one.id !== id,
    );
    recent.push({ at: now, id, error });
    this.#downs.set(kind, recent.slice(-(MOST_DOWN + 1)));
    if (this.#degraded.has(kind)) return false;
    const same = recent.filter((one) => one.error === error).length;
    if (recent.length <= MOST_DOWN && same < SAME_ERROR) return false;
    this.#degraded.add(kind);
    return true;
  }

  /** A probe's turn succeeded, or an operator says so. True when the kind was degraded. */
  over(kind: string): boolean {
    this.#downs.delete(kind);
    return this.#degraded.delete(kind);
  }
}
