/**
 * Between a device's link and the decisions: who may connect, what its frames mean, where its
 * bytes go. Everything a node says is a claim about its own calls and nothing else.
 */
import { catalogue } from "@kith/shared/capabilities/index";
import type { Clock } from "@kith/shared/clock";
import { type Failure, KithError } from "@kith/shared/errors";
import { hex } from "@kith/shared/ids";
import { budget } from "@kith/shared/budget";
import { limits } from "@kith/shared/protocol/limits";
import type { Offered } from "@kith/shared/protocol/session";
import type { Sink } from "@kith/shared/streams/receiver";
import { type DeviceRow, type OfferedSet, capabilityOf } from "../devices/device.ts";
import type { CallFrame, DeviceLink, LinkHandlers } from "../devices/link.ts";
import type { Presence } from "../devices/presence.ts";
import type { Grant } from "../grants/grant.ts";
import type { Event } from "../runtime/effect.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Call } from "./call.ts";
import type { Calls } from "./calls.ts";
import { Conduct } from "./conduct.ts";
import type { Sending } from "./sending.ts";

export interface LinksOptions {
  /** Asks the tailnet anew about a device that came by it. */
  readonly askTailnet?: (device: string) => void;
  readonly runtime: Runtime;
  readonly calls: Calls;
  readonly presence: Presence;
  readonly clock: Clock;
  readonly sending: Pick<Sending, "accepted" | "answers" | "linkDown" | "runs">;
  readonly sink: (content: {
    call: string;
    role: string;
    stream: string;
    type: string;
  }) => Promise<Sink>;
}

/** Capability parts of one link that are not complete yet. */
interface Parts {
  readonly rev: number;
  readonly hash: string;
  readonly caps: Offered[];
  next: number;
}

/** What a device that was cut off is asked to wait; it is refused until then. */
const OUT_RETRY_MS = 60_000;
const SETS_PER_SECOND = 0.2;
const SETS_BURST = 30;

export function linkHandlers({
  runtime,
  calls,
  presence,
  clock,
  sink,
  sending,
  askTailnet = () => {},
}: LinksOptions): LinkHandlers {
  const parts = new WeakMap<DeviceLink, Parts>();
  const revs = new WeakMap<DeviceLink, number>();
  /** Devices that were asked what they offer now: their calls wait for the answer. */
  const expecting = new Set<string>();
  /** How often each device may change what it offers: every set is written to disk. */
  const changes = new Map<string, () => boolean>();
  const conduct = new Conduct(clock);
  let grantsRev = clock.now();

  const row = (device: string) => runtime.documents.get<DeviceRow>("device", device);
  const tell = (call: string, event: object) => runtime.tell(`invocation/${call}`, event as Event);

  /** A word that was not this device's to say; who goes on is cut off. */
  const offends = (link: DeviceLink, how: "claim" | "break"): void => {
    const { device } = link;
    if (!conduct.offends(device, how)) return;
    runtime.tell(`device/${device}`, { type: "device.offended", how } as Event);
    link.end("rate", "too much that is not yours to say", OUT_RETRY_MS);
  };
  /** Whether this call was ever the device's; what it says about any other has no effect. */
  const theirs = (link: DeviceLink, id: string): boolean => {
    const call = calls.get(id) ?? runtime.documents.find<Call>("call", id);
    if (call?.device === link.device) return true;
    offends(link, "claim");
    return false;
  };

  /** What the owner granted, so that the node's owner can see it and the node can refuse early. No proof. */
  const tellGrants = (device: string): void => {
    const link = presence.get(device);
    if (!link) return;
    const now = clock.now();
    const standing = runtime.documents
      .list<Grant>("grant")
      .filter(
        (grant) =>
          grant.device === device && (grant.notAfter === undefined || grant.notAfter > now),
      );
    const granted = new Set(standing.map(({ cap }) => cap));
    const asking = (
      runtime.documents.get<OfferedSet>("device", `caps/${device}`)?.caps ?? []
    ).filter(
      ({ cap }) =>
        !granted.has(cap) && (capabilityOf(runtime.documents, device, cap)?.tier ?? 3) > 0,
    );
    link.send({
      t: "grants.changed",
      rev: ++grantsRev,
      grants: [
        ...standing.map(({ cap, notAfter }) => ({
          cap,
          mode: "standing" as const,
          ...(notAfter === undefined ? {} : { left_ms: notAfter - now }),
        })),
        ...asking.map(({ cap }) => ({ cap, mode: "ask" as const })),
      ].slice(0, 64),
    });
  };
  runtime.on<{ device: string }>("grants.changed", ({ device }) => tellGrants(device));
  runtime.on<{ device: string }>("device.revoked", ({ device }) =>
    presence.get(device)?.end("revoked", "the owner ended this pairing"),
  );
  // Both links of a copied key go: which of the two is the owner's, nobody here can tell.
  runtime.on<{ device: string }>("device.held", ({ device }) =>
    presence.get(device)?.end("duplicate", "two agents use the same key"),
  );
  runtime.on<{ device: string; epoch: number }>("caps.stored", ({ device, epoch }) => {
    tellGrants(device);
    if (expecting.delete(device)) ready(device, epoch);
    // What waited for its lock to be lifted.
    else tell("*", { type: "caps.changed", device });
  });

  /** Reconciles what is open, then sends what waits. */
  const ready = (device: string, epoch: number): void => {
    const ledger = row(device)?.ledger;
    if (ledger !== undefined && presence.get(device)?.epoch === epoch) {
      runtime.tell("invocation/*", { type: "link.ready", device, epoch, ledger } as Event);
    }
  };

  const advertise = (
    link: DeviceLink,
    frame: Extract<CallFrame, { t: "capabilities.advertise" }>,
  ): void => {
    if (frame.rev <= (revs.get(link) ?? -1)) return;
    let set = parts.get(link);
    if (frame.part === 1) set = { rev: frame.rev, hash: hex(frame.hash), caps: [], next: 1 };
    if (!set || set.rev !== frame.rev || set.next !== frame.part || set.hash !== hex(frame.hash)) {
      // Parts out of order: the unfinished set counts for nothing.
      parts.delete(link);
      return;
    }
    set.caps.push(...frame.caps);
    set.next++;
    parts.set(link, set);
    if (set.caps.length > limits.capabilities) return void parts.delete(link);
    if (frame.part < frame.parts) return;
    parts.delete(link);
    revs.set(link, frame.rev);
    const known = runtime.documents.get<OfferedSet>("device", `caps/${link.device}`);
    if (known && hex(known.hash) === set.hash && !expecting.has(link.device)) return;
    let mayChange = changes.get(link.device);
    if (!mayChange)
      changes.set(link.device, (mayChange = budget(clock, SETS_PER_SECOND, SETS_BURST)));
    if (!mayChange()) return link.end("rate", "capabilities change too often");
    runtime.tell(`device/${link.device}`, {
      type: "caps.advertised",
      hash: frame.hash,
      caps: set.caps,
      ...(frame.locked && { locked: true }),
      epoch: link.epoch,
    } as Event);
  };

  return {
    standing(device, publicKey) {
      const known = row(device);
      if (!known || known.key !== hex(publicKey)) return "unknown";
      return known.state === "revoked" ? "revoked" : "paired";
    },
    async hello(device, hello, _source, tailnet) {
      // Before a new epoch is written for it.
      if (conduct.out(device)) return { refuse: "rate" };
      const answer = await runtime.ask<{ epoch: number } | { refuse: "revoked" | "duplicate" }>(
        `device/${device}`,
        { type: "link.asked", hello, ...(tailnet && { tailnet }) } as Event,
        { deadlineMs: 5_000 },
      );
      if ("refuse" in answer) return answer;
      if (tailnet) {
        tell("*", { type: "ceiling.changed" });
        // What changed while it was asked was told to nobody who knew of this device.
        askTailnet(device);
      }
      const stored = runtime.documents.get<OfferedSet>("device", `caps/${device}`);
      const same =
        stored !== undefined &&
        hello.caps !== undefined &&
        hex(stored.hash) === hex(hello.caps.hash);
      if (same) expecting.delete(device);
      else expecting.add(device);
      return { epoch: answer.epoch, wantCaps: !same };
    },
    up(link) {
      presence.up(link)?.end("superseded", "a newer link of the same device");
      runtime.tell(`device/${link.device}`, { type: "link.up", epoch: link.epoch } as Event);
      // With a known set nothing more comes; else the calls wait for what the device offers now.
      tellGrants(link.device);
      if (!expecting.has(link.device)) ready(link.device, link.epoch);
    },
    frame(link, frame) {
      const { device } = link;
      switch (frame.t) {
        case "capabilities.advertise":
          return advertise(link, frame);
        case "result":
          if (!theirs(link, frame.call)) return;
          return tell(frame.call, { type: "node.result", device, result: frame });
        case "error":
          if (frame.call !== undefined) {
            if (!theirs(link, frame.call)) return;
            return tell(frame.call, { type: "node.error", device, error: frame });
          }
          return frame.stream === undefined
            ? undefined
            : tell("*", { type: "stream.gone", device, stream: frame.stream });
        case "ledger.answer":
          for (const { call, state } of frame.items.filter((one) =>
            sending.answers(device, frame.q, one.call),
          )) {
            tell(call, {
              type: "ledger.read",
              device,
              found: state,
              ledger: frame.ledger,
              floor: frame.floor,
              epoch: link.epoch,
            });
            if (state === "running") sending.runs(call, link);
          }
          return;
        case "accept":
          if (!theirs(link, frame.call)) return;
          sending.accepted(frame.call);
          return frame.state === "running" ? sending.runs(frame.call, link) : undefined;
        case "progress":
          theirs(link, frame.call);
          return;
        case "event":
          // Life signs: worth nothing a second later.
          return;
      }
    },
    async sink(link, { stream, call: id, role, type, live }) {
      const call = theirs(link, id) ? calls.get(id) : undefined;
      const roles = call && catalogue.get(call.cap)?.streams;
      const allowed = roles && Object.hasOwn(roles, role) ? roles[role] : undefined;
      if (!call || !allowed || live || (call.state !== "sent" && call.state !== "unknown")) {
        return { refuse: new KithError("gone", "no open call has such a stream") };
      }
      if (allowed.types !== "any" && !allowed.types.includes(type))
        return { refuse: new KithError("gone", "not a type of this stream") };
      return { sink: await sink({ call: id, role, stream, type }), most: allowed.maxBytes };
    },
    stream(link, call, _stream, failed) {
      const failure: Failure | undefined = failed && {
        code: failed.code,
        message: failed.message,
        effect: "partial",
      };
      tell(call, { type: "stream.ended", device: link.device, ...(failure ? { failure } : {}) });
    },
    busy: (device) => calls.busy(device),
    down(link, why, broke) {
      if (broke) offends(link, "break");
      const last = presence.down(link);
      if (last) sending.linkDown(link.device);
      if (last)
        runtime.tell(`device/${link.device}`, {
          type: "link.down",
          epoch: link.epoch,
          why,
        } as Event);
    },
  };
}
