/**
 * The grants as rows: made by an approval, ended by time, by the owner, or with the device's
 * rights. Every change emits the row, its audit and the news for the device; turns only.
 */
import type { Capability } from "@kith/shared/capabilities/capability";
import type { DeviceRow } from "../devices/device.ts";
import type { Documents } from "../runtime/documents.ts";
import { emit } from "../runtime/fx.ts";
import { type Duration, type Grant, expiry, keptOf } from "./grant.ts";

const GRANTS_PER_DEVICE = 64;

/** The call that a grant is made for. */
type For = Pick<Grant, "device" | "cap" | "requester" | "revocation"> & {
  readonly id: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly planHash: string;
};

export class GrantRegister {
  readonly #documents: Documents;
  /** Never below any time this home has seen: a clock set back revives no grant. */
  readonly #latest: (at: number) => number;

  /** When the first of these grants ends. */
  #next: { grants: readonly Grant[]; at: number } = { grants: [], at: Infinity };

  constructor(documents: Documents, latest: (at: number) => number) {
    this.#documents = documents;
    this.#latest = latest;
  }

  list(): readonly Grant[] {
    return this.#documents.list<Grant>("grant");
  }

  now(at: number): number {
    return this.#latest(at);
  }

  /**
   * A one-use grant is burned as it is made: it can carry no second call. So is every one for what is
   * asked each time (tier 3); there a duration says how long the call may last.
   */
  mint(
    call: For,
    capability: Capability,
    duration: Duration,
    by: string,
    turn: { readonly at: number; readonly id: string },
  ): Grant {
    const notAfter = expiry(duration, this.#latest(turn.at), capability);
    const standing = this.list().filter(({ device }) => device === call.device);
    const eachTime = capability.tier === 3;
    const once = duration === "once" || eachTime || standing.length >= GRANTS_PER_DEVICE;
    const { device, cap, requester, revocation, args } = call;
    const kept = once ? undefined : keptOf(capability, args);
    const grant: Grant = {
      ...{ id: turn.id, device, cap, requester, revocation, by, since: turn.at },
      ...(capability.own && { shape: capability.own.shape }),
      ...(kept && { kept }),
      ...(once
        ? { uses: 0, call: call.id, planHash: call.planHash, state: "used" }
        : { state: "live" }),
      ...(notAfter === undefined || (once && !eachTime) ? {} : { notAfter }),
    };
    this.#put(grant, "made", {
      call: call.id,
      requester,
      for: once && !eachTime ? "once" : duration,
      by,
    });
    return grant;
  }

  /** Ends what time has ended. Once over it stays over, whatever the clock says later. */
  expire(at: number): void {
    const now = this.#latest(at);
    const grants = this.list();
    if (grants !== this.#next.grants)
      this.#next = {
        grants,
        at: grants.reduce((first, { notAfter = Infinity }) => Math.min(first, notAfter), Infinity),
      };
    if (now < this.#next.at) return;
    for (const grant of grants) {
      if (grant.notAfter !== undefined && now >= grant.notAfter)
        this.#put({ ...grant, state: "expired" }, "expired");
    }
  }

  /** False: there is no such grant in force. */
  revoke(id: string, by: string): boolean {
    const grant = this.#documents.get<Grant>("grant", id);
    if (grant) this.#put({ ...grant, state: "revoked" }, "revoked", { by });
    return grant !== undefined;
  }

  /** Ends grants whose device was revoked, or paired anew. */
  revokeStale(): void {
    for (const grant of this.list()) {
      const row = this.#documents.get<DeviceRow>("device", grant.device);
      if (row?.state === "paired" && row.revocation === grant.revocation) continue;
      this.#put({ ...grant, state: "revoked" }, "revoked", { by: "device" });
    }
  }

  /** Whether a grant that a call was sent under is still good; a one-use grant is, for that call. */
  holds(id: string, at: number): boolean {
    return this.#documents.find<Grant>("grant", id) !== undefined && !this.over(id, at);
  }

  /** Whether a grant has ended: by time or by a word. One that this turn makes is not known yet, and has not. */
  over(id: string, at: number): boolean {
    const grant = this.#documents.find<Grant>("grant", id);
    if (!grant) return false;
    if (grant.state === "revoked" || grant.state === "expired") return true;
    return this.#latest(at) >= (grant.notAfter ?? Infinity);
  }

  #put(
    grant: Grant,
    what: "made" | "expired" | "revoked",
    more: Readonly<Record<string, unknown>> = {},
  ): void {
    const { id, device, cap } = grant;
    emit({ kind: "put", table: "grant", id, open: grant.state === "live", body: grant });
    emit({ kind: "audit", what: `grant.${what}`, data: { grant: id, device, cap, ...more } });
    emit({ kind: "signal", topic: "grants.changed", data: { device } });
  }
}
