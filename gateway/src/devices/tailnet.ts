/**
 * Keeps what the tailnet says of each device that ever came by it: asked anew when something changed there,
 * one device after the other, whichever way the device comes now.
 */
import type { Event } from "../runtime/effect.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type DeviceRow, type TailnetFacts, deviceRows } from "./device.ts";

/** A daemon that did not answer is asked again after that. */
const AGAIN_MS = 10_000;

export interface TailnetSource {
  /** Undefined: no daemon answers. Never rejects. */
  of(ip: string): Promise<TailnetFacts | "nobody" | undefined>;
  changed(again: () => void): () => void;
}

/** Returns what asks anew about one device, or about all of them. */
export function followTailnet(
  runtime: Runtime,
  source: TailnetSource,
  report: (what: string, error: unknown) => void,
): (device?: string) => void {
  const due = new Set<string>();
  let asking = false;
  const about = async (device: string): Promise<void> => {
    const row = runtime.documents.get<DeviceRow>("device", device);
    if (!row?.tailnet || row.state === "revoked") return;
    const facts = await source.of(row.tailnet.ip);
    if (facts === undefined) runtime.due.set("tailnet", AGAIN_MS, () => ask());
    // Whoever is nobody now keeps the ceiling that was seen.
    else if (facts !== "nobody")
      runtime.tell(`device/${device}`, { type: "tailnet.changed", tailnet: facts } as Event);
  };
  const work = async (): Promise<void> => {
    for (let [next] = due; next !== undefined; [next] = due) {
      due.delete(next);
      await about(next);
    }
  };
  const ask = (device?: string): void => {
    for (const id of device === undefined
      ? deviceRows(runtime.documents).map((row) => row.id)
      : [device])
      due.add(id);
    if (asking) return;
    asking = true;
    work()
      .catch((error: unknown) => report("tailnet", error))
      .finally(() => (asking = false));
  };
  source.changed(() => ask());
  return ask;
}
