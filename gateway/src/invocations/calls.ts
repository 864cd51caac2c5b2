/**
 * The invocation table: every open call, what decides about it, and what it owes.
 *
 * It is handled by the runtime like one actor: `receive` decides synchronously and emits
 * effects; rows, audit and answers commit together; only then do frames leave (sending.ts).
 */
import type { Boots } from "./boots.ts";
import type { Capability } from "@kith/shared/capabilities/capability";
import { type Failure, KithError, fromWire, toFailure } from "@kith/shared/errors";
import type { ErrorFrame, Result } from "@kith/shared/protocol/call";
import { limits, times } from "@kith/shared/protocol/limits";
import { tame } from "@kith/shared/protocol/words";
import { type DeviceRow, deviceRows } from "../devices/device.ts";
import type { Kind, UsageLedger } from "../budgets/usage.ts";
import type { Decision } from "../grants/decide.ts";
import { type Grant, type Term, terms } from "../grants/grant.ts";
import { GrantRegister } from "../grants/register.ts";

import type { ActorId, Envelope, Event } from "../runtime/effect.ts";
import { emit } from "../runtime/fx.ts";
import type { TableKind } from "../runtime/kind.ts";
import { type Call, ended } from "./call.ts";
import { type CallsEvent, type Request } from "./request.ts";
import { type Outcome, outcome } from "./outcome.ts";
import { type Media, check } from "./results.ts";
import { callOf, permissionOf } from "./make.ts";
import { Rights, type RightsOptions } from "./rights.ts";
import { Slots } from "./slots.ts";
import { type CallEvent, move } from "./table.ts";

export interface CallsOptions extends RightsOptions {
  readonly gateway: string;
  readonly ledger: Pick<UsageLedger, "use">;
  readonly media: Media;
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
/** Calls that may wait for a device, and that one requester may let wait. */
const WAITING_PER_DEVICE = 64;
const WAITING_PER_REQUESTER = 32;
/** Devices that one sentence may mean. */
const MOST_TOGETHER = 16;
/** What has a budget of its own. */
const USES: ReadonlyMap<string, Kind> = new Map([
  ...["camera.snap", "camera.clip"].map((cap) => [cap, "camera"] as const),
  ...["screen.snap", "screen.record"].map((cap) => [cap, "screen"] as const),
  ["audio.record", "microphone"],
  ...["shell.run", "shell.open"].map((cap) => [cap, "shell"] as const),
]);
const OUTSIDE: Failure = {
  code: "revoked",
  message: "the tailnet's policy does not permit it any more",
  effect: "none",
};
/** Not what is powerful, and not what depends on its arguments: a program read about is not the one that was approved. */
const mayLastATurn = ({ tier, kept }: Capability): boolean => tier < 3 && kept === undefined;
/** A read is tried again so often, when its device keeps no trace of it. */
const MOST_TRIES = 2;

export class Calls implements TableKind {
  readonly name = "invocation";
  readonly #options: CallsOptions;
  readonly #grants: GrantRegister;
  readonly rights: Rights;
  readonly #open = new Map<string, Call>();
  readonly #slots = new Slots();
  /** Results whose streams are still on their way. Lost at a crash: the node says them again. */
  readonly #partial = new Map<string, Result>();
  /** Fingerprints of arguments, which stay the same from the first row of a call to its last. */
  readonly #prints = new WeakMap<Call["args"], string>();
  /** When the running turn began (Unix ms), and the fresh id for whatever it makes. */
  #turn = { at: 0, id: "" };
  /** Highest call number given; grows over all devices. */
  #lastN = 0;
  /** Frames about calls that are not open for that device: lies, or late; counted, never acted on. */
  strays = 0;

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#grants = new GrantRegister(options.documents, options.latest);
    this.rights = new Rights(options, this.#grants);
  }

  reload(): void {
    this.#open.clear();
    this.#slots.clear();
    this.#partial.clear();
    for (const call of this.#options.documents.list<Call>("call")) {
      this.#hold(call);
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
    return this.#slots.sent(device) > 0;
  }

  receive(env: Envelope, at: number, id: string): void {
    this.#turn = { at, id };
    const event = env.event as CallsEvent;
    const key = env.to.slice(env.to.indexOf("/") + 1);
    switch (event.type) {
      case "call.requested":
        return this.#request(key, event.request);
      case "approval.asked":
        // No chat to ask in: whoever waits at the control socket hears it.
        return emit({ kind: "signal", topic: "call.asked", data: { call: key } });
      case "approval.approved":
        return this.#approved(this.#answered(key, event.key), event);
      case "approval.refused":
        return this.#apply(this.#answered(key, event.key), {
          type: "approval.refused",
          failure: event.failure,
        });
      case "device.revoked":
        // Also told when a device paired anew: what was asked since then stands on the new rights.
        return this.#revoked((call) => call.device === event.device && !this.rights.same(call), {
          code: "revoked",
          message: "the device was revoked",
          effect: "none",
        });
      case "ceiling.changed":
        return this.#revoked((call) => this.rights.beyond(call), OUTSIDE);
      case "caps.changed":
        return this.#dispatch(event.device);
      case "grant.revoked":
        return this.#revokeGrant(event.grant, event.by);
      case "owner.cancelled":
        return this.#cancelled(this.#open.get(key), event.by);
      case "owner.stopped":
        return this.#stopped(this.#open.get(key), event.by);
      case "safe.ended":
        return this.#safeEnded(event.by);
      case "lock.set":
        return this.#lock(event.locked, event.by);
      case "link.ready":
        for (const call of this.#of(event.device))
          this.#apply(call, { type: "link.ready", epoch: event.epoch, ledger: event.ledger });
        return this.#dispatch(event.device);
      case "node.result":
        return this.#result(this.#theirs(key, event.device), event.result);
      case "node.error":
        return this.#nodeFailed(this.#theirs(key, event.device), event.error);
      case "stream.ended":
        return this.#streamEnded(this.#theirs(key, event.device), event.failure);
      case "stream.gone":
        return this.#streamGone(event.device, event.stream);
      case "ledger.read":
        return this.#ledgerRead(this.#theirs(key, event.device), event);
      case "deadline.passed": {
        const call = this.#open.get(key);
        return this.#apply(call, {
          type: event.type,
          away: !call || !this.#options.link(call.device),
        });
      }
      case "grace.passed":
        return this.#apply(this.#open.get(key), { type: event.type });
    }
  }

  #request(id: string, request: Request): void {
    const refuse = (failure: Failure, more: Partial<Outcome> = {}, rule?: string): void => {
      emit({
        kind: "audit",
        what: "call.refused",
        data: {
          call: id,
          cap: request.cap,
          code: failure.code,
          by: request.by,
          ...(more.device ? { device: more.device } : {}),
          ...(rule !== undefined && { rule }),
        },
      });
      this.#tell(request.session, {
        call: id,
        state: "denied",
        device: "",
        name: request.device,
        cap: request.cap,
        failure,
        ...more,
      });
    };
    this.#grants.expire(this.#turn.at);
    if (request.own !== undefined) {
      const { off, safe } = this.rights;
      if (off || safe)
        return refuse({
          code: safe ? "safe-mode" : "locked",
          message: "everything is off",
          effect: "none",
        });
      const { at } = this.#turn;
      const asked = { ...request, own: request.own };
      return this.#ask(
        permissionOf(asked, { id, at, gateway: this.#options.gateway }),
        request,
        `what ${request.cap} wants is asked about each time`,
        refuse,
      );
    }
    const found = this.rights.known(request, this.#turn.at);
    if (found.is === "none") {
      const names = deviceRows(this.#options.documents)
        .filter(({ state }) => state === "paired")
        .map(({ name }) => name);
      // Only their owner hears what devices there are.
      const known =
        request.requester !== "owner"
          ? ""
          : names.length > 0
            ? `; there is ${names.slice(0, 8).join(", ")}`
            : "; none is paired yet";
      return refuse({
        code: "device-unknown",
        message: request.device.trim()
          ? `no device is called “${tame(request.device, 64)}”${known}`
          : `there is no device to ask${known}`,
        effect: "none",
      });
    }
    if (found.is === "all" && request.session && found.rows.length <= MOST_TOGETHER) {
      // Each is a call of its own: decided, asked for and answered by itself.
      const devices = found.rows.map((row) => row.id);
      return emit({
        kind: "tell",
        to: request.session,
        event: { type: "call.spread", call: id, devices, request } as Event,
      });
    }
    if (found.is !== "one") {
      const choices = found.rows.map((row) => ({ id: row.id, name: row.name }));
      return refuse(
        {
          code: "device-ambiguous",
          message: `several devices fit: ${choices.map(({ name }) => name).join(", ")}`,
          effect: "none",
        },
        { choices, request },
      );
    }
    const { row } = found;
    const about = { device: row.id, name: row.name };
    const decision = this.rights.decide(row, request.cap, request.requester, this.#turn.at, {
      waitsForLock: request.unlocked === true && request.deliverMs !== undefined,
      tainted: request.labels?.includes("untrusted") === true,
      args: request.args,
      ...{ chat: request.chat, person: request.by, agent: request.agent, model: request.model },
    });
    if (decision.verdict === "deny")
      return refuse(
        { code: decision.code, message: decision.message, effect: "none" },
        about,
        decision.rule,
      );
    const capability = this.rights.capability(row.id, request.cap) as Capability;
    const made = callOf(request, {
      ...{ id, at: this.#turn.at, gateway: this.#options.gateway, row, capability },
      offered: this.rights.offered(row.id, request.cap),
      isHeld: ({ sha256, type, bytes }) =>
        this.#options.media.find(sha256, type, bytes) !== undefined,
    });
    if ("code" in made) return refuse(made, about);
    const { call } = made;
    const spent = this.#spend(request, decision.verdict);
    if (spent) return refuse(spent, about, `a budget: ${spent.message}`);
    const { deliverMs } = call;
    if (!this.#options.link(row.id) && !this.#options.settling() && deliverMs === undefined) {
      return refuse(
        { code: "device-away", message: `${row.name} is not connected`, effect: "none" },
        about,
      );
    }
    if (deliverMs !== undefined && !this.#mayWait(call)) {
      return refuse(
        {
          code: "too-many",
          message: `too many things wait for ${row.name} already`,
          effect: "none",
        },
        about,
      );
    }
    if (decision.verdict === "allow") {
      return this.#ready(call, decision.grant, decision.rule);
    }
    const again = request.turn?.includes(row.id) && mayLastATurn(capability);
    const word = again ? "once" : request.allow;
    if (word !== undefined) {
      return this.#ready(
        call,
        this.#grants.mint(call, capability, word, request.by, this.#turn),
        again ? "owner-word for this turn" : "owner-word",
      );
    }
    this.#ask(call, request, decision.rule, (failure) => refuse(failure, about));
  }

  /** It counts when it is asked for: nobody gets around a budget by being refused. */
  #spend(
    { cap, by, chat = "", job, model }: Request,
    verdict: Decision["verdict"],
  ): Failure | undefined {
    const device = USES.get(cap);
    const amounts = { ...(model && { calls: 1 }), ...(device && { [device]: 1 }) };
    if (verdict === "deny" || Object.keys(amounts).length === 0) return undefined;
    try {
      const account = { by, chat, ...(job !== undefined && { job }) };
      this.#options.ledger.use(account, amounts, this.#grants.now(this.#turn.at));
      return undefined;
    } catch (error) {
      if (!(error instanceof KithError)) throw error;
      return toFailure(error, "none");
    }
  }

  /** The owner is asked about it, unless too much is asked already. */
  #ask(call: Call, request: Request, rule: string, refuse: (failure: Failure) => void): void {
    const waiting = this.list().filter(({ state }) => state === "asked");
    if (
      waiting.filter(({ requester }) => requester === call.requester).length >=
        ASKED_PER_REQUESTER ||
      waiting.filter(({ device }) => device === call.device).length >= ASKED_PER_DEVICE
    ) {
      return refuse({
        code: "too-many",
        message: "too many questions wait for an answer already",
        effect: "none",
      });
    }
    this.#keep(call);
    const warning = this.#warning(call, request);
    const question = {
      call: call.id,
      device: call.device,
      name: call.name,
      cap: call.cap,
      args: call.args,
      planHash: call.planHash,
      ...(call.deliverMs === undefined ? {} : { deliverMs: call.deliverMs }),
      ...(call.unlocked && { unlocked: true }),
      ...(warning === undefined ? {} : { warning }),
      rule,
      ...this.#terms(call, request),
    };
    emit({
      kind: "tell",
      to: `approval/${call.id}`,
      event: {
        type: "approval.requested",
        ...question,
        ...(call.session === undefined ? {} : { session: call.session }),
      } as Event,
    });
    emit({ kind: "reply", value: outcome(call) });
  }

  /** What a yes can be for, where that is not as usual. */
  #terms({ device, cap, own }: Call, { model, labels }: Request): { terms?: readonly Term[] } {
    if (own) return { terms: ["once"] };
    const capability = this.rights.capability(device, cap);
    if (!model || !capability || capability.tier === 3) return {};
    // No standing permission would count in the turn that asks.
    const counts = !labels?.includes("untrusted") || capability.tainted === "allowed";
    const lasts = mayLastATurn(capability);
    return {
      terms: terms.filter((term) => (term === "turn" ? lasts : counts || term === "once")),
    };
  }

  /** What an owner should know before saying yes, in sentences. */
  #warning({ device, cap }: Call, { labels, look, sources = [] }: Request): string | undefined {
    const offered = this.rights.offered(device, cap);
    const sentences = [
      ...(look ? ["The model will see it."] : []),
      ...(labels?.includes("untrusted")
        ? [
            `The model wants this after it read what others may have written${sources.length > 0 ? `: ${sources.join(", ")}` : ""}.`,
          ]
        : []),
      ...(offered?.state === "unavailable"
        ? [`It may not work: ${offered.reason ?? "the device says that it is not available"}.`]
        : []),
    ];
    return sentences.length > 0 ? sentences.join(" ") : undefined;
  }

  #ready(call: Call, grant: Pick<Grant, "id" | "notAfter"> | undefined, rule: string): void {
    const ready: Call = {
      ...call,
      state: "ready",
      rule,
      deadlineAt: this.#waitsUntil(call, grant),
      ...this.#endOf(call, grant),
      ...(grant === undefined ? {} : { grant: grant.id }),
    };
    emit({ kind: "reply", value: outcome(ready) });
    this.#hold(ready);
    this.#dispatch(call.device);
    // One that leaves at once is written once, as sent.
    if (this.#open.get(call.id) !== ready) return;
    this.#write(ready);
    this.#tellWaits(ready);
  }

  /** What stays open for hours ends with its permission; what is done in a moment may be finished. */
  #endOf(call: Call, grant: Pick<Grant, "notAfter"> | undefined): Pick<Call, "notAfter"> {
    const powerful = this.rights.capability(call.device, call.cap)?.tier === 3;
    return powerful && grant?.notAfter !== undefined ? { notAfter: grant.notAfter } : {};
  }

  /** A permission that ends sooner than the wait ends it too: it was given for its time only. */
  #waitsUntil(call: Call, grant: Pick<Grant, "notAfter"> | undefined): number {
    const wait = Math.max(call.ttlMs, call.deliverMs ?? 0);
    return Math.min(this.#turn.at + wait, grant?.notAfter ?? Infinity);
  }

  /** Whether one more may wait there: what waits stands open for days, in memory and at every start. */
  #mayWait(call: Call): boolean {
    const waiting = this.list().filter(
      ({ state, deliverMs }) => deliverMs !== undefined && (state === "asked" || state === "ready"),
    );
    return (
      waiting.filter(({ device }) => device === call.device).length < WAITING_PER_DEVICE &&
      waiting.filter(({ requester }) => requester === call.requester).length < WAITING_PER_REQUESTER
    );
  }

  /** What a call that is ready waits for at its device; undefined: for its turn alone. */
  waitsFor({ device, unlocked }: Call): "return" | "unlock" | undefined {
    if (!this.#options.link(device)) return "return";
    return unlocked && this.rights.locked(device) ? "unlock" : undefined;
  }

  /** Whoever asked learns that it may take long. */
  #tellWaits(call: Call): void {
    const waits = call.deliverMs === undefined ? undefined : this.waitsFor(call);
    if (!call.session || !waits) return;
    const { id, name, cap, deadlineAt: until } = call;
    const locked = waits === "unlock";
    emit({
      kind: "tell",
      to: call.session,
      event: { type: "call.waits", call: id, name, cap, until, locked } as Event,
    });
  }

  #answered(id: string, answer: string | undefined): Call | undefined {
    const call = this.#open.get(id);
    return call && answer !== undefined ? { ...call, answer } : call;
  }

  #approved(
    call: Call | undefined,
    event: Extract<CallsEvent, { type: "approval.approved" }>,
  ): void {
    if (!call || call.state !== "asked") return;
    if (call.own) return this.#permitted(call, event);
    const capability = this.rights.capability(call.device, call.cap);
    // An approval fits exactly the plan that was shown, and only while the device's rights are the same.
    const row = this.#options.documents.get<DeviceRow>("device", call.device);
    if (
      !capability ||
      event.planHash !== call.planHash ||
      capability.own?.shape !== call.shape ||
      row?.revocation !== call.revocation ||
      row.state !== "paired"
    ) {
      return this.#apply(call, {
        type: "rights.revoked",
        failure: {
          code: "revoked",
          message: "the device's rights changed meanwhile",
          effect: "none",
        },
      });
    }
    const { by, for: term } = event;
    const duration = term === "turn" ? "once" : term;
    const grant = this.#grants.mint(call, capability, duration, by, this.#turn);
    if (term === "turn" && call.session && mayLastATurn(capability))
      emit({
        kind: "tell",
        to: call.session,
        event: {
          type: "turn.permitted",
          call: call.id,
          device: call.device,
          cap: call.cap,
        } as Event,
      });
    const deadlineAt = this.#waitsUntil(call, grant);
    const permitted = { ...call, ...this.#endOf(call, grant) };
    this.#apply(permitted, { type: "approval.approved", grant: grant.id, deadlineAt });
    this.#dispatch(call.device);
    const waits = this.#open.get(call.id);
    if (waits?.state === "ready") this.#tellWaits(waits);
  }

  /** Only ever for this once: the next one has other words. */
  #permitted(call: Call, { planHash }: { readonly planHash: string }): void {
    if (planHash !== call.planHash)
      return this.#apply(call, {
        type: "rights.revoked",
        failure: { code: "revoked", message: "it was another plan", effect: "none" },
      });
    const args: unknown = JSON.parse(String(call.args.args));
    this.#apply(call, { type: "permitted", out: { args } });
  }

  /** In the middle, too: what it may have done by then is said. */
  #stopped(call: Call | undefined, by: string): void {
    if (!call || ended.has(call.state) || call.state === "unknown") return;
    emit({ kind: "audit", what: "call.stopped", data: { call: call.id, by } });
    this.#apply(call, {
      type: "rights.revoked",
      failure: { code: "cancelled", message: "it was stopped", effect: "none" },
    });
  }

  /** Before it was sent, an owner may think better of it. */
  #cancelled(call: Call | undefined, by: string): void {
    const waits = call?.state === "asked" || call?.state === "ready";
    emit({ kind: "reply", value: { cancelled: waits } });
    if (!waits) return;
    emit({ kind: "audit", what: "call.withdrawn", data: { call: call.id, by } });
    this.#apply(call, {
      type: "rights.revoked",
      failure: { code: "cancelled", message: "it was taken back before it began", effect: "none" },
    });
  }

  #revokeGrant(id: string, by: string): void {
    const revoked = this.#grants.revoke(id, by);
    if (revoked)
      this.#revoked((call) => call.grant === id, {
        code: "revoked",
        message: "the permission was revoked",
        effect: "none",
      });
    emit({ kind: "reply", value: { revoked } });
  }

  #safeEnded(by: string): void {
    const { documents, link } = this.#options;
    const boots = documents.get<Boots>("setting", "boots");
    emit({ kind: "reply", value: { was: boots?.safe ?? false } });
    if (!boots?.safe) return;
    const body: Boots = { ...boots, unclean: [], safe: false };
    emit({ kind: "put", table: "setting", id: "boots", open: true, body });
    // The document in memory changes with the commit's turn only after this one.
    documents.put("setting", "boots", true, body);
    emit({ kind: "audit", what: "safe.ended", data: { by } });
    for (const { id, ledger } of deviceRows(documents)) {
      const live = link(id);
      if (!live || ledger === undefined) continue;
      for (const call of this.#of(id))
        this.#apply(call, { type: "link.ready", epoch: live.epoch, ledger });
      this.#dispatch(id);
    }
  }

  #lock(locked: boolean, by: string): void {
    emit({ kind: "put", table: "setting", id: "lock", open: true, body: { locked } });
    emit({ kind: "audit", what: locked ? "lock.set" : "lock.lifted", data: { by } });
    if (locked) {
      this.#revoked(() => true, {
        code: "locked",
        message: "everything was locked",
        effect: "none",
      });
      emit({ kind: "signal", topic: "lock.set", data: {} });
    }
    emit({ kind: "reply", value: { locked } });
  }

  #revoked(which: (call: Call) => boolean, failure: Failure): void {
    // What waits first: the end of a sent call would let one of them leave.
    const gone = this.list().filter(which);
    for (const call of [
      ...gone.filter(({ state }) => state !== "sent"),
      ...gone.filter(({ state }) => state === "sent"),
    ]) {
      this.#apply(call, { type: "rights.revoked", failure });
    }
    if (failure.code === "revoked") this.#grants.revokeStale();
  }

  #result(call: Call | undefined, result: Result): void {
    const capability = call && this.rights.capability(call.device, call.cap);
    if (!call || !capability || (call.state !== "sent" && call.state !== "unknown"))
      return void this.strays++;
    // Said again: the first word stays, the second is only counted.
    const first = this.#partial.get(call.id) ?? result;
    if (first !== result) this.strays++;
    const verdict = check(capability, first, this.#options.media);
    if (verdict.is === "partial") return void this.#partial.set(call.id, first);
    this.#partial.delete(call.id);
    if (verdict.is === "broken")
      return this.#apply(call, { type: "node.failed", failure: verdict.failure });
    this.#apply(call, { type: "node.answered", out: verdict.out, streams: verdict.streams });
  }

  #streamEnded(call: Call | undefined, failure: Failure | undefined): void {
    if (!call) return void this.strays++;
    if (failure && (call.state === "sent" || call.state === "unknown")) {
      return this.#apply(call, { type: "node.failed", failure });
    }
    const result = this.#partial.get(call.id);
    if (result) this.#result(call, result);
  }

  /** The device no longer holds content that a result waits for, for instance after its own crash. */
  #streamGone(device: string, stream: string): void {
    for (const [id, result] of this.#partial) {
      if (!result.streams.some((one) => one.stream === stream)) continue;
      const failure: Failure = {
        code: "gone",
        message: "the device no longer holds the content",
        effect: "partial",
      };
      this.#apply(this.#theirs(id, device), { type: "node.failed", failure });
    }
  }

  #nodeFailed(call: Call | undefined, error: ErrorFrame): void {
    if (!call || (call.state !== "sent" && call.state !== "unknown")) return void this.strays++;
    const text = tame(error.text, 200) || "the device gave no reason";
    const failure: Failure = {
      code: fromWire(error.code),
      message: `${call.name}: ${text}`,
      effect: error.effect ?? "unknown",
    };
    this.#apply(call, { type: "node.failed", failure });
  }

  #ledgerRead(call: Call | undefined, event: Extract<CallsEvent, { type: "ledger.read" }>): void {
    if (!call || (call.state !== "sent" && call.state !== "unknown")) return void this.strays++;
    this.#apply(call, {
      type: "ledger.read",
      found: event.found,
      // A ledger that was replaced, or pruned past the call, proves nothing by "absent".
      proves: event.ledger === call.ledger && (call.n ?? 0) > event.floor,
      grantHolds: this.rights.hold(call, this.#turn.at),
      epoch: event.epoch,
      timeLeft: this.#turn.at < call.deadlineAt - times.ttlSlackMs,
    });
  }

  /**
   * Whether its time or its permission ended while it waited. Nobody may have said so yet: a gateway
   * that slept past both hears of the device before it hears of the deadline.
   */
  #waitedOut(call: Call): boolean {
    const { deadlineAt, grant } = call;
    return (
      this.#turn.at >= deadlineAt ||
      (grant !== undefined && this.#grants.over(grant, this.#turn.at))
    );
  }

  /** What the settings say against it now. */
  #against(call: Call): Failure | undefined {
    if (this.rights.beyond(call)) return OUTSIDE;
    const rule = this.rights.denied(call);
    if (rule === undefined) return undefined;
    return { code: "revoked", message: `${rule} denies ${call.cap} now`, effect: "none" };
  }

  /** Sends what is ready, in order, as far as the device takes more at once. */
  #dispatch(device: string): void {
    if (this.rights.safe) return;
    const link = this.#options.link(device);
    const row = this.#options.documents.get<DeviceRow>("device", device);
    if (!link || row?.ledger === undefined) return;
    for (const call of this.#slots.ready(device).values()) {
      if (this.#waitedOut(call)) {
        this.#apply(call, { type: "deadline.passed", away: call.deliverMs !== undefined });
        continue;
      }
      if (call.unlocked && this.rights.locked(device)) continue;
      // The settings may be other ones since it was allowed.
      const against = this.#against(call);
      if (against) {
        this.#apply(call, { type: "rights.revoked", failure: against });
        continue;
      }
      if (this.#slots.sent(device) >= limits.callsPerDevice) return;
      const parallel = this.rights.offered(device, call.cap)?.parallel ?? 1;
      if (this.#slots.running(device, call.cap) >= parallel) continue;
      // Grows with time as well, so that a gateway restored from a backup does not number again.
      // By the newest time of this home: with a clock set back no number falls behind what devices know.
      this.#lastN = Math.max(this.#lastN + 1, this.#grants.now(this.#turn.at) * 1_000);
      this.#apply(call, {
        type: "slot.free",
        n: this.#lastN,
        epoch: link.epoch,
        ledger: row.ledger,
        at: this.#turn.at,
      });
    }
  }

  #apply(call: Call | undefined, event: CallEvent): void {
    if (!call || ended.has(call.state)) return void this.strays++;
    const [state, change, ...steps] = move(call, event);
    const over = ended.has(state);
    let next: Call = {
      ...call,
      ...change,
      state,
      ...(over ? { endedAt: this.#turn.at } : {}),
      ...(state === "sent" && call.state !== "sent"
        ? {
            deadlineAt:
              Math.min(this.#turn.at + call.ttlMs, call.notAfter ?? Infinity) + times.ttlSlackMs,
          }
        : {}),
    };
    if (next.failure?.effect === "none" && (call.tries ?? 0) > 0 && call.class !== "read") {
      // An earlier try that the device forgot may have run.
      next = { ...next, failure: { ...next.failure, effect: "unknown" } };
    }
    if (state === "done" && next.failure) {
      // It was in doubt before; now it is certain.
      const { failure: _doubt, ...certain } = next;
      next = certain;
    }
    if (state !== call.state)
      emit({ kind: "audit", what: `call.${state}`, data: this.#audited(next) });
    if (steps.includes("again")) {
      if ((call.tries ?? 0) < MOST_TRIES) return this.#again(next);
      const failure: Failure = {
        code: "interrupted",
        message: `${call.name} forgot it again and again`,
        effect: "none",
      };
      return this.#apply(call, { type: "node.failed", failure });
    }
    // An event that changes nothing writes nothing: else a deadline that passed would arm itself again.
    if (state !== call.state || Object.keys(change).length > 0) this.#keep(next);
    for (const step of steps)
      emit({ kind: "signal", topic: "call.step", data: { call: next.id, step } });
    if (state !== call.state && (over || state === "unknown")) {
      // The question goes with the call, unless it was the question that ended it.
      const answered = event.type === "approval.refused" || event.type === "permitted";
      if (call.state === "asked" && !answered)
        emit({ kind: "tell", to: `approval/${call.id}`, event: { type: "call.ended" } });
      this.#partial.delete(call.id);
      this.#tell(call.session, outcome(next));
      this.#dispatch(call.device);
    }
  }

  /** What the audit says about a call that has just come to its state. */
  #audited(call: Call): Readonly<Record<string, unknown>> {
    const { id, state, device, cap, requester, rule, grant, failure, out, streams } = call;
    const { fingerprint } = this.#options;
    let args = this.#prints.get(call.args);
    if (args === undefined) this.#prints.set(call.args, (args = fingerprint(call.args)));
    // In the order of the audit's text, so that nothing has to be sorted.
    const data: Record<string, unknown> = { args, call: id, cap };
    if (failure && state !== "sent") data.code = failure.code;
    data.device = device;
    if (failure && state !== "sent") data.effect = failure.effect;
    if (grant !== undefined) data.grant = grant;
    data.requester = requester;
    if (state === "done") data.result = fingerprint([out, streams?.map(({ sha256 }) => sha256)]);
    if (rule !== undefined) data.rule = rule;
    return data;
  }

  /**
   * A call whose first try left no trace: once more, under a new id, since its ledger row is gone.
   * It has only the time that was left, so that a device that keeps forgetting ends it too.
   */
  #again(call: Call): void {
    const { n: _n, epoch: _epoch, ledger: _ledger, sentAt: _sentAt, ...rest } = call;
    this.#keep({
      ...call,
      state: "failed",
      endedAt: this.#turn.at,
      failure: {
        code: "interrupted",
        message: `tried again as ${this.#turn.id}`,
        effect: call.class === "read" ? "none" : "unknown",
      },
    });
    this.#partial.delete(call.id);
    const replaced = { call: call.id, by: this.#turn.id };
    emit({
      kind: "audit",
      what: "call.replaced",
      data: { ...replaced, device: call.device, cap: call.cap },
    });
    emit({ kind: "signal", topic: "call.replaced", data: replaced });
    if (call.session)
      emit({
        kind: "tell",
        to: call.session,
        event: { type: "call.replaced", ...replaced } as Event,
      });
    this.#keep({
      ...rest,
      id: this.#turn.id,
      tries: (call.tries ?? 0) + 1,
      state: "ready",
      ttlMs: call.deadlineAt - times.ttlSlackMs - this.#turn.at,
    });
    this.#dispatch(call.device);
  }

  #keep(call: Call): void {
    this.#hold(call);
    this.#write(call);
  }

  #hold(call: Call): void {
    const over = ended.has(call.state);
    this.#slots.changed(this.#open.get(call.id), over ? undefined : call);
    if (over) this.#open.delete(call.id);
    else this.#open.set(call.id, call);
  }

  #write(call: Call): void {
    emit({ kind: "put", table: "call", id: call.id, open: !ended.has(call.state), body: call });
    emit({ kind: "signal", topic: "call.kept", data: { call } });
  }

  #tell(session: ActorId | undefined, told: Outcome): void {
    if (session)
      emit({ kind: "tell", to: session, event: { type: "call.ended", outcome: told } as Event });
    emit({ kind: "reply", value: told });
    emit({ kind: "signal", topic: "call.ended", data: told });
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
