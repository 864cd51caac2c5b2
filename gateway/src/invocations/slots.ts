/**
 * What each device has open: how many of its calls run, by capability, and which wait for a place.
 * Kept up to date with every change of a call, since a device is looked at whenever one of its calls
 * begins or ends, and hundreds may be open.
 */
import type { Call } from "./call.ts";

interface Device {
  open: number;
  sent: number;
  /** Of those sent, by capability. */
  readonly running: Map<string, number>;
  /** In the order in which they became ready. */
  readonly ready: Map<string, Call>;
}

const nothing: ReadonlyMap<string, Call> = new Map();

export class Slots {
  readonly #devices = new Map<string, Device>();

  clear(): void {
    this.#devices.clear();
  }

  /** A call came (`before` absent), changed, or ended (`after` absent). */
  changed(before: Call | undefined, after: Call | undefined): void {
    const call = after ?? before;
    if (!call) return;
    let device = this.#devices.get(call.device);
    if (!device) {
      device = { open: 0, sent: 0, running: new Map(), ready: new Map() };
      this.#devices.set(call.device, device);
    }
    if (before) {
      device.open--;
      if (before.state === "sent") count(device, before.cap, -1);
    }
    if (after) {
      device.open++;
      if (after.state === "sent") count(device, after.cap, 1);
    }
    if (after?.state === "ready") device.ready.set(after.id, after);
    else if (device.ready.size > 0) device.ready.delete(call.id);
    if (device.open === 0) this.#devices.delete(call.device);
  }

  /** How many calls the device has now. */
  sent(device: string): number {
    return this.#devices.get(device)?.sent ?? 0;
  }

  /** How many of them are of this capability. */
  running(device: string, cap: string): number {
    return this.#devices.get(device)?.running.get(cap) ?? 0;
  }

  ready(device: string): ReadonlyMap<string, Call> {
    return this.#devices.get(device)?.ready ?? nothing;
  }
}

function count(device: Device, cap: string, by: 1 | -1): void {
  device.sent += by;
  device.running.set(cap, (device.running.get(cap) ?? 0) + by);
}
