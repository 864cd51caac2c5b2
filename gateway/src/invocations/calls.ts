/**
 * The invocation table: every open call, what decides about it, and what it owes.
 *
 * It is handled by the runtime like one actor: `receive` decides synchronously and emits
 * effects; rows, audit and answers commit together; only then do frames leave (sending.ts).
 */
import { catalogue } from "@kith/shared/capabilities/index";
import type { Capability } from "@kith/shared/capabilities/capability";
import type { Failure } from "@kith/shared/errors";
import type { ErrorFrame, LedgerState, Result } from "@kith/shared/protocol/call";
import { isErrorCode } from "@kith/shared/errors";
import { limits, times } from "@kith/shared/protocol/limits";
import type { Offered } from "@kith/shared/protocol/session";
import { tame } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { type DeviceRow, type OfferedSet, deviceRows } from "../devices/device.ts";
import { type Resolution, resolve } from "../devices/resolve.ts";
import { PATIENCE_MS } from "../grants/approval.machine.ts";
import { type Decision, decide } from "../grants/decide.ts";
import { type Duration, type Grant, expiry } from "../grants/grant.ts";
import { type Value, planHash } from "../grants/plan.ts";
import type { Documents } from "../runtime/documents.ts";
import type { ActorId, Envelope, Event } from "../runtime/effect.ts";
import { emit } from "../runtime/fx.ts";
import type { TableKind } from "../runtime/kind.ts";
import { type Call, type StoredStream, ended } from "./call.ts";
import { type Media, check } from "./results.ts";
import { type CallEvent, move } from "./table.ts";

export interface Request {
  /** As a person or a model says it; resolved here. */
  readonly device: string;
  readonly cap: string;
  readonly args: Readonly<Record<string, unknown>>;
  /** `owner`, or the name of whoever needs a grant of their own. */
  readonly requester: string;
  /** Identity behind it, for the audit. */
  readonly by: string;
  readonly session?: ActorId;
  /** The owner's permission, given with the request. */
  readonly allow?: Duration;
}

export type CallsEvent = Event &
  (
    | { readonly type: "call.requested"; readonly request: Request }
    | { readonly type: "approval.approved"; readonly planHash: string; readonly for: Duration; readonly by: string; readonly key?: string }
    | { readonly type: "approval.refused"; readonly failure: Failure; readonly key?: string }
    | { readonly type: "approval.asked" }
    | { readonly type: "device.revoked"; readonly device: string }
    | { readonly type: "grant.revoked"; readonly grant: string; readonly by: string }
    | { readonly type: "lock.set"; readonly locked: boolean; readonly by: string }
    | { readonly type: "owner.cancelled" }
    | { readonly type: "link.ready"; readonly device: string; readonly epoch: number; readonly ledger: string }
    | { readonly type: "node.result"; readonly device: string; readonly result: Result }
    | { readonly type: "node.error"; readonly device: string; readonly error: ErrorFrame }
    | { readonly type: "stream.ended"; readonly device: string; readonly failure?: Failure }
    | { readonly type: "stream.gone"; readonly device: string; readonly stream: string }
    | { readonly type: "ledger.read"; readonly device: string; readonly found: LedgerState; readonly ledger: string; readonly floor: number; readonly epoch: number }
    | { readonly type: "deadline.passed" }
    | { readonly type: "grace.passed" }
  );

/** What a caller hears: how it ended, and with what. */
export interface Outcome {
  readonly call: string;
  readonly state: Call["state"] | "asked";
  readonly device: string;
  readonly name: string;
  readonly cap: string;
  readonly out?: Call["out"];
  readonly streams?: readonly StoredStream[];
  readonly failure?: Failure;
  /** Names to choose from, when the words fitted several devices. */
  readonly choices?: readonly { readonly id: string; readonly name: string }[];
  /** With choices: what was asked, to be asked again with one of them. */
  readonly request?: Request;
}

export interface CallsOptions {
  readonly documents: Documents;
  readonly gateway: string;
  readonly media: Media;
  /** The live link of a device, as numbers only. */
  readonly link: (device: string) => { epoch: number } | undefined;
  /** True while devices may still be on their way back after a start. */
  readonly settling: () => boolean;
  /** Keyed hash of arguments and results for the audit: small values cannot be guessed from it. */
  readonly fingerprint: (value: unknown) => string;
  /** Never below any time this home has seen: a clock set back revives no grant. */
  readonly latest: (at: number) => number;
}

/** Questions that may wait for the owner: per requester, per device. */
const ASKED_PER_REQUESTER = 3;
const ASKED_PER_DEVICE = 10;
const GRANTS_PER_DEVICE = 64;
/** A person at the device has so long to say yes; their thinking must not eat the call's own time. */
const CONSENT_MS = 60_000;

export class Calls implements TableKind {
  readonly name = "invocation";
  readonly #options: CallsOptions;
  readonly #open = new Map<string, Call>();
  /** Results whose streams are still on their way. Lost at a crash: the node says them again. */
  readonly #partial = new Map<string, Result>();
  /** Highest call number given; grows over all devices. */
  #lastN = 0;
  /** Frames about calls that are not open for that device: lies, or late; counted, never acted on. */
  strays = 0;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  reload(): void {
    this.#open.clear();
    this.#partial.clear();
    for (const call of this.#options.documents.list<Call>("call")) {
      this.#open.set(call.id, call);
      this.#lastN = Math.max(this.#lastN, call.n ?? 0);
    }
  }

  get(id: string): Call | undefined {
    return this.#open.get(id);
  }

  list(): readonly Call[] {
    return [...this.#open.values()];
  }

  busy(device: string): boolean {
    return this.list().some((call) => call.device === device && call.state === "sent");
  }

  receive(env: Envelope, at: number, id: string): void {
    const event = env.event as CallsEvent;
    const key = env.to.slice(env.to.indexOf("/") + 1);
    switch (event.type) {
      case "call.requested":
        return this.#request(key, event.request, at, id);
      case "approval.asked":
        // No chat to ask in: whoever waits at the control socket hears it.
        return emit({ kind: "signal", topic: "call.asked", data: { call: key } });
      case "approval.approved":
        return this.#approved(this.#answered(key, event.key), event, at, id);
      case "approval.refused":
        return this.#apply(this.#answered(key, event.key), { type: "approval.refused", failure: event.failure }, at, id);
      case "device.revoked":
        return this.#revoked((call) => call.device === event.device, { code: "revoked", message: "the device was revoked", effect: "none" }, at, id);
      case "grant.revoked":
        return this.#revokeGrant(event.grant, event.by, at, id);
      case "lock.set":
        return this.#lock(event.locked, event.by, at, id);
      case "owner.cancelled":
        return this.#apply(this.#open.get(key), { type: "owner.cancelled" }, at, id);
      case "link.ready":
        for (const call of this.#of(event.device)) this.#apply(call, { type: "link.ready", epoch: event.epoch, ledger: event.ledger }, at, id);
        return this.#dispatch(event.device, at, id);
      case "node.result":
        return this.#result(this.#theirs(key, event.device), event.result, at, id);
      case "node.error":
        return this.#nodeFailed(this.#theirs(key, event.device), event.error, at, id);
      case "stream.ended":
        return this.#streamEnded(this.#theirs(key, event.device), event.failure, at, id);
      case "stream.gone":
        return this.#streamGone(event.device, event.stream, at, id);
      case "ledger.read":
        return this.#ledgerRead(this.#theirs(key, event.device), event, at, id);
      case "deadline.passed": {
        const call = this.#open.get(key);
        return this.#apply(call, { type: event.type, away: !call || !this.#options.link(call.device) }, at, id);
      }
      case "grace.passed":
        return this.#apply(this.#open.get(key), { type: event.type }, at, id);
    }
  }

  /** What decide() says about this use now, for the decision itself and for `grants explain`. */
  decide(device: DeviceRow | undefined, cap: string, requester: string, at: number): Decision {
    const { documents } = this.#options;
    return decide({
      device,
      capability: catalogue.get(cap),
      offered: device?.ceiling.includes(cap) ? this.#offered(device.id, cap) : undefined,
      requester,
      grants: documents.list<Grant>("grant"),
      locked: documents.get<{ locked: boolean }>("setting", "lock")?.locked ?? false,
      now: this.#options.latest(at),
    });
  }

  /** Which device these words mean, given what is asked of it. */
  resolve(words: string, cap: string): Resolution {
    const { documents, link } = this.#options;
    return resolve(
      words,
      deviceRows(this.#options.documents).map((row) => ({
        row,
        online: link(row.id) !== undefined,
        able: documents.get<OfferedSet>("device", `caps/${row.id}`)?.caps.some((one) => one.cap === cap && one.state !== "off") ?? false,
      })),
    );
  }

  #request(id: string, request: Request, at: number, turn: string): void {
    const refuse = (failure: Failure, more: Partial<Outcome> = {}): void => {
      emit({ kind: "audit", what: "call.refused", data: { call: id, cap: request.cap, code: failure.code, by: request.by, ...(more.device ? { device: more.device } : {}) } });
      this.#tell(request.session, { call: id, state: "denied", device: "", name: request.device, cap: request.cap, failure, ...more });
    };
    this.#expireGrants(at);
    const found = this.resolve(request.device, request.cap);
    if (found.is === "none") {
      const names = deviceRows(this.#options.documents).filter(({ state }) => state === "paired").map(({ name }) => name);
      // Only their owner hears what devices there are.
      const known = request.requester !== "owner" ? "" : names.length > 0 ? `; there is ${names.slice(0, 8).join(", ")}` : "; none is paired yet";
      return refuse({ code: "device-unknown", message: `no device is called “${tame(request.device, 64)}”${known}`, effect: "none" });
    }
    if (found.is === "several") {
      const choices = found.rows.map((row) => ({ id: row.id, name: row.name }));
      return refuse({ code: "device-ambiguous", message: `several devices fit: ${choices.map(({ name }) => name).join(", ")}`, effect: "none" }, { choices, request });
    }
    const { row } = found;
    const about = { device: row.id, name: row.name };
    const decision = this.decide(row, request.cap, request.requester, at);
    if (decision.verdict === "deny") return refuse({ code: decision.code, message: decision.message, effect: "none" }, about);
    const capability = catalogue.get(request.cap) as Capability;
    const args = v.safeParse(capability.args, request.args);
    if (!args.success) {
      const where = v.getDotPath(args.issues[0]) ?? "arguments";
      return refuse({ code: "bad-args", message: `${request.cap}: ${where}: ${args.issues[0].message}`, effect: "none" }, about);
    }
    if (!this.#options.link(row.id) && !this.#options.settling()) {
      return refuse({ code: "device-away", message: `${row.name} is not connected`, effect: "none" }, about);
    }

    const plan = {
      gateway: this.#options.gateway,
      device: row.id,
      cap: request.cap,
      v: capability.version,
      args: args.output as Readonly<Record<string, Value>>,
      requester: request.requester,
      call: id,
      revocation: row.revocation,
    };
    const call: Call = {
      id,
      state: "asked",
      device: row.id,
      name: row.name,
      cap: request.cap,
      v: capability.version,
      class: capability.effect,
      args: plan.args,
      planHash: planHash(plan),
      requester: request.requester,
      by: request.by,
      revocation: row.revocation,
      ttlMs: capability.ttlMs + (this.#offered(row.id, request.cap)?.policy === "ask" ? CONSENT_MS : 0),
      createdAt: at,
      deadlineAt: at + PATIENCE_MS + times.ttlSlackMs,
      ...(request.session === undefined ? {} : { session: request.session }),
    };
    if (decision.verdict === "allow") {
      return this.#ready(call, decision.grant?.id, decision.rule, at, turn);
    }
    if (request.allow !== undefined) {
      return this.#ready(call, this.#mint(call, capability, request.allow, request.by, at, turn), "owner-word", at, turn);
    }
    const waiting = this.list().filter(({ state }) => state === "asked");
    if (
      waiting.filter(({ requester }) => requester === call.requester).length >= ASKED_PER_REQUESTER ||
      waiting.filter(({ device }) => device === call.device).length >= ASKED_PER_DEVICE
    ) {
      return refuse({ code: "too-many", message: "too many questions wait for an answer already", effect: "none" }, about);
    }
    this.#keep(call);
    const offered = this.#offered(row.id, call.cap);
    const warning = offered?.state === "unavailable" ? (offered.reason ?? "the device says that it is not available") : undefined;
    const question = {
      call: id,
      device: row.id,
      name: row.name,
      cap: call.cap,
      args: call.args,
      planHash: call.planHash,
      ...(warning === undefined ? {} : { warning }),
    };
    emit({
      kind: "tell",
      to: `approval/${id}`,
      event: { type: "approval.requested", ...question, ...(call.session === undefined ? {} : { session: call.session }) } as Event,
    });
    emit({ kind: "reply", value: outcome(call) });
  }

  #ready(call: Call, grant: string | undefined, rule: string, at: number, turn: string): void {
    const ready: Call = { ...call, state: "ready", rule, deadlineAt: at + call.ttlMs, ...(grant === undefined ? {} : { grant }) };
    emit({ kind: "reply", value: outcome(ready) });
    this.#keep(ready);
    this.#dispatch(call.device, at, turn);
  }

  #answered(id: string, answer: string | undefined): Call | undefined {
    const call = this.#open.get(id);
    return call && answer !== undefined ? { ...call, answer } : call;
  }

  #approved(call: Call | undefined, event: Extract<CallsEvent, { type: "approval.approved" }>, at: number, turn: string): void {
    if (!call || call.state !== "asked") return;
    const capability = catalogue.get(call.cap);
    // An approval fits exactly the plan that was shown, and only while the device's rights are the same.
    const row = this.#options.documents.get<DeviceRow>("device", call.device);
    if (!capability || event.planHash !== call.planHash || row?.revocation !== call.revocation || row.state !== "paired") {
      return this.#apply(call, { type: "rights.revoked", failure: { code: "revoked", message: "the device's rights changed meanwhile", effect: "none" } }, at, turn);
    }
    const grant = this.#mint(call, capability, event.for, event.by, at, turn);
    this.#apply(call, { type: "approval.approved", grant, deadlineAt: at + call.ttlMs }, at, turn);
    this.#dispatch(call.device, at, turn);
  }

  /** A one-use grant is burned as it is made: it can carry no second call. */
  #mint(call: Call, capability: Capability, duration: Duration, by: string, at: number, turn: string): string {
    const notAfter = expiry(duration, this.#options.latest(at), capability);
    const standing = this.#options.documents.list<Grant>("grant").filter(({ device }) => device === call.device);
    const once = duration === "once" || standing.length >= GRANTS_PER_DEVICE;
    const grant: Grant = {
      id: turn,
      device: call.device,
      cap: call.cap,
      requester: call.requester,
      since: at,
      revocation: call.revocation,
      by,
      ...(once ? { uses: 0, call: call.id, planHash: call.planHash, state: "used" } : { state: "live" }),
      ...(notAfter === undefined || once ? {} : { notAfter }),
    };
    emit({ kind: "put", table: "grant", id: grant.id, open: grant.state === "live", body: grant });
    emit({ kind: "audit", what: "grant.made", data: { grant: grant.id, call: call.id, device: call.device, cap: call.cap, requester: call.requester, for: once ? "once" : duration, by } });
    emit({ kind: "signal", topic: "grants.changed", data: { device: call.device } });
    return grant.id;
  }

  #expireGrants(at: number): void {
    const now = this.#options.latest(at);
    for (const grant of this.#options.documents.list<Grant>("grant")) {
      if (grant.notAfter === undefined || now < grant.notAfter) continue;
      emit({ kind: "put", table: "grant", id: grant.id, open: false, body: { ...grant, state: "expired" } });
      emit({ kind: "audit", what: "grant.expired", data: { grant: grant.id, device: grant.device, cap: grant.cap } });
      emit({ kind: "signal", topic: "grants.changed", data: { device: grant.device } });
    }
  }

  #revokeGrant(id: string, by: string, at: number, turn: string): void {
    const grant = this.#options.documents.get<Grant>("grant", id);
    if (!grant) return emit({ kind: "reply", value: { revoked: false } });
    emit({ kind: "put", table: "grant", id, open: false, body: { ...grant, state: "revoked" } });
    emit({ kind: "audit", what: "grant.revoked", data: { grant: id, device: grant.device, cap: grant.cap, by } });
    emit({ kind: "signal", topic: "grants.changed", data: { device: grant.device } });
    this.#revoked((call) => call.grant === id, { code: "revoked", message: "the permission was revoked", effect: "none" }, at, turn);
    emit({ kind: "reply", value: { revoked: true } });
  }

  #lock(locked: boolean, by: string, at: number, turn: string): void {
    emit({ kind: "put", table: "setting", id: "lock", open: true, body: { locked } });
    emit({ kind: "audit", what: locked ? "lock.set" : "lock.lifted", data: { by } });
    if (locked) this.#revoked(() => true, { code: "locked", message: "everything was locked", effect: "none" }, at, turn);
    emit({ kind: "reply", value: { locked } });
  }

  #revoked(which: (call: Call) => boolean, failure: Failure, at: number, turn: string): void {
    // What waits first: the end of a sent call would let one of them leave.
    const gone = this.list().filter(which);
    for (const call of [...gone.filter(({ state }) => state !== "sent"), ...gone.filter(({ state }) => state === "sent")]) {
      this.#apply(call, { type: "rights.revoked", failure }, at, turn);
    }
    if (failure.code !== "revoked") return;
    for (const grant of this.#options.documents.list<Grant>("grant")) {
      const row = this.#options.documents.get<DeviceRow>("device", grant.device);
      if (row?.state === "paired" && row.revocation === grant.revocation) continue;
      emit({ kind: "put", table: "grant", id: grant.id, open: false, body: { ...grant, state: "revoked" } });
      emit({ kind: "audit", what: "grant.revoked", data: { grant: grant.id, device: grant.device, cap: grant.cap, by: "device" } });
    }
  }

  #result(call: Call | undefined, result: Result, at: number, turn: string): void {
    const capability = call && catalogue.get(call.cap);
    if (!call || !capability || (call.state !== "sent" && call.state !== "unknown")) return void this.strays++;
    // Said again: the first word stays, the second is only counted.
    const first = this.#partial.get(call.id) ?? result;
    if (first !== result) this.strays++;
    const verdict = check(capability, first, this.#options.media);
    if (verdict.is === "partial") return void this.#partial.set(call.id, first);
    this.#partial.delete(call.id);
    if (verdict.is === "broken") return this.#apply(call, { type: "node.failed", failure: verdict.failure }, at, turn);
    this.#apply(call, { type: "node.answered", out: verdict.out, streams: verdict.streams }, at, turn);
  }

  #streamEnded(call: Call | undefined, failure: Failure | undefined, at: number, turn: string): void {
    if (!call) return void this.strays++;
    if (failure && (call.state === "sent" || call.state === "unknown")) {
      return this.#apply(call, { type: "node.failed", failure }, at, turn);
    }
    const result = this.#partial.get(call.id);
    if (result) this.#result(call, result, at, turn);
  }

  /** The device no longer holds content that a result waits for, for instance after its own crash. */
  #streamGone(device: string, stream: string, at: number, turn: string): void {
    for (const [id, result] of this.#partial) {
      if (!result.streams.some((one) => one.stream === stream)) continue;
      const failure: Failure = { code: "gone", message: "the device no longer holds the content", effect: "partial" };
      this.#apply(this.#theirs(id, device), { type: "node.failed", failure }, at, turn);
    }
  }

  #nodeFailed(call: Call | undefined, error: ErrorFrame, at: number, turn: string): void {
    if (!call || (call.state !== "sent" && call.state !== "unknown")) return void this.strays++;
    const code = isErrorCode(error.code) ? error.code : "internal";
    const text = tame(error.text, 200) || "the device gave no reason";
    const failure: Failure = { code, message: `${call.name}: ${text}`, effect: error.effect ?? "unknown" };
    this.#apply(call, { type: "node.failed", failure }, at, turn);
  }

  #ledgerRead(call: Call | undefined, event: Extract<CallsEvent, { type: "ledger.read" }>, at: number, turn: string): void {
    if (!call || (call.state !== "sent" && call.state !== "unknown")) return void this.strays++;
    this.#apply(
      call,
      {
        type: "ledger.read",
        found: event.found,
        // A ledger that was replaced, or pruned past the call, proves nothing by "absent".
        proves: event.ledger === call.ledger && (call.n ?? 0) > event.floor,
        grantHolds: this.#holds(call, at),
        epoch: event.epoch,
        timeLeft: at < call.deadlineAt - times.ttlSlackMs,
      },
      at,
      turn,
    );
  }

  /** Whether what the call rests on is still there: the device's rights, and a standing grant that has not ended. */
  #holds(call: Call, at: number): boolean {
    const row = this.#options.documents.get<DeviceRow>("device", call.device);
    if (row?.state !== "paired" || row.revocation !== call.revocation) return false;
    if (call.grant === undefined) return true;
    const grant = this.#options.documents.find<Grant>("grant", call.grant);
    if (!grant || grant.state === "revoked" || grant.state === "expired") return false;
    return grant.notAfter === undefined || this.#options.latest(at) < grant.notAfter;
  }

  /** Sends what is ready, in order, as far as the device takes more at once. */
  #dispatch(device: string, at: number, turn: string): void {
    const link = this.#options.link(device);
    const row = this.#options.documents.get<DeviceRow>("device", device);
    if (!link || row?.ledger === undefined) return;
    for (const call of this.#of(device)) {
      if (call.state !== "ready") continue;
      const sent = this.#of(device).filter(({ state }) => state === "sent");
      if (sent.length >= limits.callsPerDevice) return;
      const parallel = this.#offered(device, call.cap)?.parallel ?? 1;
      if (sent.filter(({ cap }) => cap === call.cap).length >= parallel) continue;
      // Grows with time as well, so that a gateway restored from a backup does not number again.
      this.#lastN = Math.max(this.#lastN + 1, at * 1_000);
      this.#apply(call, { type: "slot.free", n: this.#lastN, epoch: link.epoch, ledger: row.ledger, at }, at, turn);
    }
  }

  #apply(call: Call | undefined, event: CallEvent, at: number, turn: string): void {
    if (!call || ended.has(call.state)) return void this.strays++;
    const [state, change, ...steps] = move(call, event);
    let next: Call = { ...call, ...change, state };
    if (state === "sent" && call.state !== "sent") next = { ...next, deadlineAt: at + call.ttlMs + times.ttlSlackMs };
    const over = ended.has(state);
    if (over) next = { ...next, endedAt: at };
    if (state === "done") {
      // It was in doubt before; now it is certain.
      const { failure: _doubt, ...certain } = next;
      next = certain;
    }
    if (state !== call.state) {
      emit({
        kind: "audit",
        what: `call.${state}`,
        data: {
          call: call.id,
          device: call.device,
          cap: call.cap,
          requester: call.requester,
          args: this.#options.fingerprint(call.args),
          ...(next.rule === undefined ? {} : { rule: next.rule }),
          ...(next.grant === undefined ? {} : { grant: next.grant }),
          ...(next.failure === undefined || state === "sent" ? {} : { code: next.failure.code, effect: next.failure.effect }),
          ...(state === "done" ? { result: this.#options.fingerprint([next.out, next.streams?.map(({ sha256 }) => sha256)]) } : {}),
        },
      });
    }
    if (steps.includes("again")) return this.#again(next, at, turn);
    if (next !== call) this.#keep(next);
    for (const step of steps) emit({ kind: "signal", topic: "call.step", data: { call: next.id, step } });
    if (state !== call.state && (over || state === "unknown")) {
      // The question goes with the call, unless it was the question that ended it.
      if (call.state === "asked" && event.type !== "approval.refused") emit({ kind: "tell", to: `approval/${call.id}`, event: { type: "call.ended" } });
      this.#partial.delete(call.id);
      this.#tell(call.session, outcome(next));
      this.#dispatch(call.device, at, turn);
    }
  }

  /**
   * A call whose first try left no trace: once more, under a new id, since its ledger row is gone.
   * It has only the time that was left, so that a device that keeps forgetting ends it too.
   */
  #again(call: Call, at: number, turn: string): void {
    const { n: _n, epoch: _epoch, ledger: _ledger, sentAt: _sentAt, ...rest } = call;
    this.#keep({ ...call, state: "failed", endedAt: at, failure: { code: "interrupted", message: `tried again as ${turn}`, effect: "none" } });
    this.#partial.delete(call.id);
    const replaced = { call: call.id, by: turn };
    emit({ kind: "audit", what: "call.replaced", data: { ...replaced, device: call.device, cap: call.cap } });
    emit({ kind: "signal", topic: "call.replaced", data: replaced });
    if (call.session) emit({ kind: "tell", to: call.session, event: { type: "call.replaced", ...replaced } as Event });
    this.#keep({ ...rest, id: turn, state: "ready", ttlMs: call.deadlineAt - times.ttlSlackMs - at });
    this.#dispatch(call.device, at, turn);
  }

  #keep(call: Call): void {
    const over = ended.has(call.state);
    if (over) this.#open.delete(call.id);
    else this.#open.set(call.id, call);
    emit({ kind: "put", table: "call", id: call.id, open: !over, body: call });
    emit({ kind: "signal", topic: "call.kept", data: { call } });
  }

  #tell(session: ActorId | undefined, told: Outcome): void {
    if (session) emit({ kind: "tell", to: session, event: { type: "call.ended", outcome: told } as Event });
    emit({ kind: "reply", value: told });
    emit({ kind: "signal", topic: "call.ended", data: told });
  }

  #offered(device: string, cap: string): Offered | undefined {
    return this.#options.documents.get<OfferedSet>("device", `caps/${device}`)?.caps.find((one) => one.cap === cap);
  }

  #of(device: string): Call[] {
    return this.list().filter((call) => call.device === device);
  }

  /** A call that is open for this very device; anything else a node names is none of its business. */
  #theirs(id: string, device: string): Call | undefined {
    const call = this.#open.get(id);
    return call?.device === device ? call : undefined;
  }
}

export function outcome(call: Call): Outcome {
  const { id, state, device, name, cap, out, streams, failure } = call;
  return {
    call: id,
    state,
    device,
    name,
    cap,
    ...(out === undefined ? {} : { out }),
    ...(streams === undefined ? {} : { streams }),
    ...(failure === undefined ? {} : { failure }),
  };
}
