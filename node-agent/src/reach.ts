/** Which of a gateway's addresses leads to it: all are tried, with a small stagger; the first whose key fits wins. */
import type { Clock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import type { KeyPair } from "@kith/shared/noise/keys";
import type { Say } from "./events.ts";
import { type Bearer, type Secured, secure } from "./secure.ts";
import { type Connect, dial, Refused, type Wire } from "./socket.ts";

const STAGGER_MS = 250;

export interface Reach {
  readonly clock: Clock;
  readonly own: KeyPair;
  /** The gateway's key; undefined while we are strangers. */
  readonly pinned: Uint8Array | undefined;
  /** A ticket that lets a stranger in. */
  readonly bearer?: Bearer | undefined;
  readonly connect?: Connect | undefined;
  readonly signal: AbortSignal;
  readonly say: Say;
}

/** @throws KithError gateway-unreachable, pairing-refused; Refused when somebody answered and none of them was it */
export async function reach(
  addresses: readonly string[],
  { clock, own, pinned, bearer, connect, signal, say }: Reach,
): Promise<{ wire: Wire; secured: Secured }> {
  const losers = new AbortController();
  const either = AbortSignal.any([signal, losers.signal]);
  const tries = addresses.map(async (address, at) => {
    if (at > 0) await new Promise<void>((resolve) => clock.after(at * STAGGER_MS, resolve));
    if (either.aborted) throw new KithError("gateway-unreachable", "another address was faster");
    const wire = await dial(address, clock, either, connect);
    void say({ event: "connected", address });
    return { wire, secured: await secure(wire, own, pinned, clock, pinned ? undefined : bearer) };
  });
  try {
    const winner = await Promise.any(tries);
    // Whoever comes later leaves again.
    for (const late of tries)
      late.then(
        ({ wire }) => wire !== winner.wire && wire.terminate(),
        () => {},
      );
    return winner;
  } catch (error) {
    const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
    const silent = (one: unknown) => one instanceof KithError && one.code === "gateway-unreachable";
    throw (
      errors.find((one) => one instanceof Refused) ??
      errors.find((one) => !silent(one)) ??
      errors[0]
    );
  } finally {
    losers.abort();
  }
}
