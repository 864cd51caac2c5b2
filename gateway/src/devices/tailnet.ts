/**
 * Keeps what the tailnet says of each device that ever came by it: asked anew when something changed there,
 * one device after the other, whichever way the device comes now.
 */
import type { Event } from "../runtime/effect.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type TailnetFacts, deviceRows } from "./device.ts";

/** A daemon that did not answer is asked again after that. */
const AGAIN_MS = 10_000;

export interface TailnetSource {
  /** Undefined: no daemon answers. Never rejects. */
  of(ip: string): Promise<TailnetFacts | "nobody" | undefined>;
  changed(again: () => void): () => void;
}

/** Returns what asks anew, at once. */
export function followTailnet(
  runtime: Runtime,
  source: TailnetSource,
  report: (what: string, error: unknown) => void,
): () => void {
  let asking = false;
  let again = false;
  const round = async (): Promise<void> => {
    let silent = false;
    for (const { id, state, tailnet } of deviceRows(runtime.documents)) {
      if (!tailnet || state === "revoked") continue;
      const facts = await source.of(tailnet.ip);
      if (facts === undefined) silent = true;
      // Whoever is nobody now keeps the ceiling that was seen.
      else if (facts !== "nobody")
        runtime.tell(`device/${id}`, { type: "tailnet.changed", tailnet: facts } as Event);
    }
    if (silent) runtime.due.set("tailnet", AGAIN_MS, ask);
  };
  const ask = (): void => {
    again = true;
    if (asking) return;
    asking = true;
    const work = async (): Promise<void> => {
      while (again) {
        again = false;
        await round();
      }
    };
    work()
      .catch((error: unknown) => report("tailnet", error))
      .finally(() => (asking = false));
  };
  source.changed(ask);
  return ask;
}
