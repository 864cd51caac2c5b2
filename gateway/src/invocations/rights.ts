/**
 * What a device may be asked for now, and by whom: all that a decision looks at, read from the documents.
 * Changes nothing; what follows from it is the table's work (calls.ts).
 */
import type { Capability } from "@kith/shared/capabilities/capability";
import { within } from "@kith/shared/capabilities/own";
import type { Offered } from "@kith/shared/protocol/session";
import type { CeilingMode } from "@kith/shared/tailnet/ceiling";
import {
  type DeviceRow,
  type OfferedSet,
  beyond,
  capabilityOf,
  ceilingBy,
  deviceRows,
  offer,
} from "../devices/device.ts";
import { type Resolution, resolve } from "../devices/resolve.ts";
import { type Boundaries, type Use, boundaryOf } from "../grants/boundaries.ts";
import { type Decision, decide } from "../grants/decide.ts";
import { keptOf } from "../grants/grant.ts";
import type { GrantRegister } from "../grants/register.ts";
import type { Documents } from "../runtime/documents.ts";
import type { Boots } from "./boots.ts";
import type { Call } from "./call.ts";
import type { Request } from "./request.ts";

/** How it is asked for, beside what and by whom. */
export interface Asking extends Pick<Use, "chat" | "person" | "agent" | "model"> {
  readonly waitsForLock?: boolean | undefined;
  readonly tainted?: boolean | undefined;
  readonly args?: Readonly<Record<string, unknown>> | undefined;
}

export interface RightsOptions {
  /** The owner's lines in config.yaml. */
  readonly boundaries: Boundaries;
  readonly documents: Documents;
  /** The live link of a device, as numbers only. */
  readonly link: (device: string) => { epoch: number } | undefined;
  /** How the ceiling that a tailnet's policy sets is read. */
  readonly ceiling: CeilingMode;
}

export class Rights {
  readonly #options: RightsOptions;
  readonly #grants: GrantRegister;

  constructor(options: RightsOptions, grants: GrantRegister) {
    this.#options = options;
    this.#grants = grants;
  }

  /** Which device these words mean, given what is asked of it. */
  resolve(words: string, cap: string): Resolution {
    const { documents, link } = this.#options;
    return resolve(words, deviceRows(documents), ({ id }) => ({
      online: link(id) !== undefined,
      able: (offer(documents, id, cap)?.state ?? "off") !== "off",
    }));
  }

  /**
   * The same for whoever asks. Of several devices, others than the owner hear only of those that they may
   * use: what else there is, is not theirs to know.
   */
  known({ device, requester, cap, args }: Request, at: number): Resolution {
    const found = this.resolve(device, cap);
    if (requester === "owner" || found.is === "one" || found.is === "none") return found;
    const rows = found.rows.filter(
      (row) => this.decide(row, cap, requester, at, { args }).verdict === "allow",
    );
    const [only, other] = rows;
    if (!only) return { is: "none" };
    return other ? { is: found.is, rows } : { is: "one", row: only };
  }

  /** What decide() says about this use now, for the decision itself and for `grants explain`. */
  decide(
    device: DeviceRow | undefined,
    cap: string,
    requester: string,
    at: number,
    { waitsForLock = false, tainted = false, args = {}, ...use }: Asking = {},
  ): Decision {
    const told = device && this.offered(device.id, cap);
    // A device that is locked says no to everything: what waits for its lock is asked about as if it were not.
    const offered =
      told && waitsForLock && this.locked(device.id)
        ? ({ ...told, state: "ready", policy: "allow" } as const)
        : told;
    const capability = this.capability(device?.id, cap);
    const agreed = device !== undefined && within(device.ceiling, cap);
    return decide({
      device,
      capability,
      kept: capability && keptOf(capability, args),
      offered: agreed ? offered : undefined,
      unagreed: offered !== undefined && !agreed,
      requester,
      tainted,
      boundary: boundaryOf(this.#options.boundaries, {
        ...{ ...use, name: cap, device: device?.name },
        tier: capability?.tier,
      }),
      grants: this.#grants.list(),
      ceiling: device && this.#ceiling(device),
      locked: this.off,
      safe: this.safe,
      now: this.#grants.now(at),
    });
  }

  /** The owner turned everything off. */
  get off(): boolean {
    return this.#options.documents.get<{ locked: boolean }>("setting", "lock")?.locked ?? false;
  }

  /** Nothing is sent to any device until the owner says so: see boots.ts. */
  get safe(): boolean {
    return this.#options.documents.get<Boots>("setting", "boots")?.safe ?? false;
  }

  /** Somebody locked it there. */
  locked(device: string): boolean {
    return this.#options.documents.get<OfferedSet>("device", `caps/${device}`)?.locked ?? false;
  }

  /** Whether the tailnet's policy stands in the way of a call. */
  beyond({ device, cap }: Call): boolean {
    const row = this.#options.documents.get<DeviceRow>("device", device);
    return row !== undefined && beyond(this.#ceiling(row), cap);
  }

  /** Whether the device has the rights that it had when the call was made. */
  same({ device, revocation }: Call): boolean {
    const row = this.#options.documents.get<DeviceRow>("device", device);
    return row?.state === "paired" && row.revocation === revocation;
  }

  /** Whether what the call rests on is still there: the device's rights, and a standing grant that has not ended. */
  hold(call: Call, at: number): boolean {
    if (!this.same(call) || this.beyond(call)) return false;
    return call.grant === undefined || this.#grants.holds(call.grant, at);
  }

  /** The owner's line that denies a call which was permitted before that line was written. */
  denied({ device: id, cap, by: person, asked = {} }: Call): string | undefined {
    const device = this.#options.documents.get<DeviceRow>("device", id)?.name;
    const use = { ...asked, name: cap, person, device, tier: this.capability(id, cap)?.tier };
    const found = boundaryOf(this.#options.boundaries, use);
    return found?.word === "deny" ? found.rule : undefined;
  }

  capability(device: string | undefined, cap: string): Capability | undefined {
    return capabilityOf(this.#options.documents, device, cap);
  }

  offered(device: string, cap: string): Offered | undefined {
    return offer(this.#options.documents, device, cap);
  }

  #ceiling(device: DeviceRow): readonly string[] | undefined {
    const { documents, ceiling } = this.#options;
    return ceilingBy(ceiling, device, deviceRows(documents));
  }
}
