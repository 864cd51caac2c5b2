/**
 * Several models as one: the first that is well answers. What failed before a word of its answer is asked of the next.
 *
 *   well ── busy, away ──► resting: retry-after or 60 s, each time twice as long, at most 15 min ──► well
 *     └──── key or name not accepted ──► out, until the gateway starts again
 *
 * What broke off in the middle of an answer is the session's to ask again; then the next one is asked.
 */
import type { Clock } from "@kith/shared/clock";
import { type Choice, ModelFailure, type ModelRequest, type Provider } from "../provider.ts";

const REST_MS = 60_000;
const LONGEST_REST_MS = 15 * 60_000;

interface Member extends Omit<Choice, "state" | "why" | "restMs"> {
  /** Why it was not well at last; forgotten when it answers. */
  why?: ModelFailure;
  /** On the monotonic clock; Infinity: it is out. */
  until: number;
  /** Failures in a row. */
  misses: number;
}

/** `models` in the order in which they are preferred, at least one. One alone is asked in any case. */
export function fallback(
  models: readonly Pick<Choice, "name" | "kind" | "provider">[],
  clock: Pick<Clock, "mono">,
): Provider {
  const members = models.map((one): Member => ({ ...one, until: 0, misses: 0 }));
  const isWell = ({ until }: Member) => until <= clock.mono();
  return {
    async *stream(request, signal) {
      const well = members.filter(isWell);
      // When nobody is left, a network that is back is not found out by waiting.
      const away = members.filter(({ why }) => why?.code === "model-away");
      const asked = members.length === 1 ? members : well.length > 0 ? well : away;
      let first: unknown;
      for (const member of asked) {
        let said = false;
        try {
          for await (const event of attempt(member, request, signal)) {
            said = true;
            yield event;
          }
          return;
        } catch (why) {
          if (said || signal.aborted || !isNextAsked(why)) throw why;
          first ??= why;
        }
      }
      throw first ?? nobody();
    },
    choices: () =>
      members.map((member) => {
        const { name, kind, until, why } = member;
        const restMs = until - clock.mono();
        const state = restMs === Infinity ? "out" : restMs > 0 ? "resting" : "well";
        return {
          ...{ name, kind, state },
          provider: { stream: (request, signal) => attempt(member, request, signal) },
          ...(state !== "well" && why && { why: why.message }),
          ...(state === "resting" && { restMs }),
        };
      }),
  };

  /** Asks one, and notes how that went. */
  async function* attempt(member: Member, request: ModelRequest, signal: AbortSignal) {
    try {
      yield* member.provider.stream(request, signal);
      Object.assign(member, { until: 0, misses: 0 });
    } catch (why) {
      if (!signal.aborted && why instanceof ModelFailure) note(member, why);
      throw why;
    }
  }

  function note(member: Member, why: ModelFailure): void {
    if (!isNextAsked(why)) return;
    const rest = (why.retryAfterMs ?? REST_MS) * 2 ** member.misses;
    member.why = why;
    member.misses += 1;
    member.until = why.retryable ? clock.mono() + Math.min(rest, LONGEST_REST_MS) : Infinity;
  }

  function nobody(): ModelFailure {
    const soonest = members.reduce((one, other) => (other.until < one.until ? other : one));
    const { why, until } = soonest;
    if (!why) throw new Error("nobody failed, and nobody is well");
    if (until === Infinity) return why;
    const seconds = Math.ceil((until - clock.mono()) / 1_000);
    return new ModelFailure(why.code, `${why.message} It is asked again in ${seconds} s.`, true);
  }
}

/** A request that is refused is wrong for each of them; a key or name is this one's. */
const isNextAsked = (why: unknown): boolean =>
  why instanceof ModelFailure && (why.retryable || why.code !== "model-refused");
