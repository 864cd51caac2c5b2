/** `kith node` without a gateway: what there is around, and which one the person here means. */
import type { Clock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import type { Home } from "./config.ts";
import type { Say } from "./events.ts";
import type { Person } from "./person.ts";
import type { Tailnet } from "./tailnet.ts";

export interface Choosing {
  readonly home: Home;
  readonly person: Person;
  readonly say: Say;
  readonly tailnet: Tailnet;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Stores where the chosen one is; nothing of it is trusted. @throws KithError usage when there is none, or nobody chooses */
export async function chooseGateway(options: Choosing): Promise<void> {
  const { home, person, say, tailnet, clock, signal } = options;
  await say({ event: "looking" });
  // Loaded by the few starts that look around.
  const { discover } = await import("./discover.ts");
  const found = await discover({
    ...{ clock, signal },
    tailnet: {
      gateways: () => tailnet.gateways(),
      connect: (...to) => tailnet.connect(...to),
    },
  });
  if (signal.aborted) return;
  if (found.length === 0)
    throw new KithError(
      "usage",
      "no gateway is known, and none shows itself here: open pairing at the gateway (/pair), or give --gateway HOST, or --local on its own machine",
    );
  await say({ event: "found", gateways: found });
  for (;;) {
    const typed = await person.line(signal, "Which one? [1] ");
    if (typed === undefined)
      throw new KithError("usage", "no gateway is known: give --gateway HOST of one of these");
    const number = typed.trim() === "" ? 1 : Number(typed);
    const chosen = found[number - 1];
    if (chosen) return await home.save({ gateway: { addresses: [...chosen.addresses] } });
    await say({ event: "no-such-gateway" });
  }
}
