/**
 * Calls: what the gateway asks this device to do, each at most once and answered exactly once.
 *
 *   invoke ─ known schema? ─ this link's epoch? ─ new? ─ in time? ─ not too many? ─ allowed?
 *      └ no ─► error                                                                  │ yes
 *   ledger received ─ (asked here) ─ ledger running ─ accept ─ driver ─ ledger end ─ result | error
 *
 * Admission is synchronous, in the order of the frames; the rest runs beside the link, and a
 * call goes on when its link is lost: the next link learns of it by the ledger.
 */
import type { Capability } from "@kith/shared/capabilities/capability";
import { catalogue } from "@kith/shared/capabilities/index";
import type { Clock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import type { Invoke } from "@kith/shared/protocol/call";
import type { ToGateway, ToNode } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import { Active, Deadlines } from "./active.ts";
import { checked, inTime, type ServeLink } from "./admission.ts";
import type { Consent } from "./consent.ts";
import { crashpoint } from "./crashpoint.ts";
import { digestOf } from "./digest.ts";
import { drive } from "./drive.ts";
import type { AnyDriver } from "./drivers/driver.ts";
import { effectOf, errorFrame } from "./failure.ts";
import { LiveStreams } from "./live.ts";
import { interrupted, type Ledger } from "./ledger.ts";
import type { EndState, Row, TerminalFrame } from "./ledger-rows.ts";
import type { Notices } from "./notice.ts";
import type { Incoming } from "./incoming.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Policy } from "./policy.ts";
import { questionOf } from "./question.ts";

export interface ServeParts {
  readonly drivers: readonly AnyDriver[];
  readonly policy: Pick<Policy, "check">;
  readonly ledger: Ledger;
  readonly consent: Consent;
  readonly outgoing: Outgoing;
  readonly incoming: Incoming;
  readonly notices: Notices;
  readonly clock: Clock;
  /** For our own log: errors of strangers, whose words never leave the device. */
  readonly log: (error: unknown) => void;
}

export class Server {
  /** Terminals of calls that run. */
  readonly live: LiveStreams;
  readonly #parts: ServeParts;
  readonly #drivers: ReadonlyMap<string, AnyDriver>;
  readonly #active = new Map<string, Active>();
  readonly #deadlines: Deadlines;
  readonly #driving: ServeParts & { readonly live: LiveStreams };
  /** Drivers that still run, also those whose call was given up. */
  readonly #running = new Map<string, number>();
  /** Its driver ended. */
  readonly #release = ({ invoke: { cap } }: Active): void =>
    void this.#running.set(cap, (this.#running.get(cap) ?? 1) - 1);
  /** Capabilities whose every call the owner approves one by one, as the gateway says. */
  #oneUse: ReadonlySet<string> = new Set();
  #grantsRev = -1;
  #link: ServeLink | undefined;
  /** Of `stopAll`: called whenever a call ended. */
  readonly #waiters: (() => void)[] = [];
  /** A call ended: a rollover may have waited for it. */
  onQuiet: () => void = () => {};

  constructor(parts: ServeParts) {
    this.#parts = parts;
    this.#deadlines = new Deadlines(
      { [Symbol.iterator]: () => this.#active.values() },
      parts.clock,
    );
    this.live = new LiveStreams({
      clock: parts.clock,
      newStream: () => parts.outgoing.newStream(),
      expects: (call) =>
        (this.#active.get(call)?.driver.capability as Capability | undefined)?.terminal === true,
    });
    this.#driving = { ...parts, live: this.live };
    this.#drivers = new Map(parts.drivers.map((driver) => [driver.capability.name, driver]));
  }

  get open(): number {
    return this.#active.size;
  }

  /** Whether a call runs here that takes content of this role and type. */
  takes(call: string, role: string, type: string): boolean {
    const { driver, phase } = this.#active.get(call) ?? {};
    const roles = driver?.capability.takes ?? {};
    const allowed = Object.hasOwn(roles, role) ? roles[role] : undefined;
    if (!allowed || phase !== "running") return false;
    return allowed.types === "any" || allowed.types.includes(type);
  }

  attach(link: ServeLink): void {
    this.#link = link;
    this.#grantsRev = -1;
  }

  /** The link is lost; what runs goes on. */
  detach(): void {
    this.#link = undefined;
  }

  invoke(frame: Invoke): void {
    const link = this.#link;
    if (!link) return;
    try {
      this.#admit(frame, link);
    } catch (error) {
      if (!(error instanceof KithError)) this.#parts.log(error);
      this.#send(errorFrame(frame.call, error, began(this.#parts.ledger.get(frame.call))));
    }
  }

  cancel({ call }: Extract<ToNode, { t: "cancel" }>): void {
    const active = this.#active.get(call);
    if (active) return active.stop(new KithError("cancelled", "stopped on request"));
    const row = this.#parts.ledger.get(call);
    const frame = row && this.#parts.ledger.terminal(row);
    if (frame) this.#send(frame);
  }

  query({ q, calls }: Extract<ToNode, { t: "ledger.query" }>): void {
    const { ledger, outgoing } = this.#parts;
    const items = calls.map(({ call }) => ({
      call,
      state: this.#active.get(call)?.phase ?? ledger.get(call)?.state ?? ("absent" as const),
    }));
    this.#send({ t: "ledger.answer", q, ledger: ledger.id, floor: ledger.floor, items });
    const lost: string[] = [];
    for (const { call } of items) {
      const row = this.#active.has(call) ? undefined : ledger.get(call);
      const frame = row && ledger.terminal(row);
      if (!frame) continue;
      this.#send(frame);
      if (frame.t === "result")
        lost.push(
          ...frame.streams.map(({ stream }) => stream).filter((stream) => !outgoing.has(stream)),
        );
    }
    for (const stream of lost)
      this.#send({ t: "error", stream, code: "gone", text: "the content is no longer held" });
    outgoing.reopen();
  }

  grants({ rev, grants }: Extract<ToNode, { t: "grants.changed" }>): void {
    if (rev <= this.#grantsRev) return;
    this.#grantsRev = rev;
    const standing = new Set(
      grants.filter(({ mode }) => mode === "standing").map(({ cap }) => cap),
    );
    this.#oneUse = new Set(grants.map(({ cap }) => cap).filter((cap) => !standing.has(cap)));
  }

  /** Stops everything that runs; resolves when every call has its terminal frame. */
  async stopAll(why: KithError): Promise<void> {
    for (const active of this.#active.values()) active.stop(why);
    while (this.#active.size > 0) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  /** Everything that is decided in the order of the frames. @throws KithError for a refusal */
  #admit(frame: Invoke, link: ServeLink): void {
    const { ledger, policy, outgoing, clock } = this.#parts;
    const digest = digestOf(frame);
    const driver = this.#drivers.get(frame.cap);
    // What is in the catalogue has its shape even where this device cannot do it.
    const args = checked(frame, link, driver?.capability ?? catalogue.get(frame.cap));
    const known = ledger.get(frame.call);
    if (known && known.digest !== digest)
      throw new KithError("conflict", "another call with the same id is known here");
    if (known && !(known.state === "doubt" && known.effect === "idempotent"))
      return this.#again(known);

    inTime(frame, link, known ? 0 : ledger.floor);
    if (!driver) throw new KithError("unsupported", `this device has no ${frame.cap}`);
    const running = this.#running.get(frame.cap) ?? 0;
    if (this.#active.size >= limits.callsPerDevice || running >= driver.parallel)
      throw new KithError("busy", `${frame.cap} is in use`);
    const rule = policy.check(frame.cap);
    const burned = ledger.burnedBy(frame.grant);
    if (burned !== undefined && burned !== frame.call && this.#oneUse.has(frame.cap))
      throw new KithError("denied-local", "that permission was for one call and is used up");

    // A person's time to think is the call's, not the driver's.
    const most = rule === "ask" ? frame.ttl_ms : Math.min(frame.ttl_ms, driver.maxMs);
    const active = new Active(frame, driver, args, clock.mono() + most);
    this.#active.set(frame.call, active);
    this.#running.set(frame.cap, running + 1);
    link.poke();
    outgoing.reopen();
    void this.#serve(active, rule, digest, known); // never rejects
  }

  /** A call that is known: it is answered, never started. */
  #again(row: Row): void {
    const active = this.#active.get(row.call);
    if (active) {
      if (active.phase !== "received") this.#accept(active);
      return;
    }
    const frame = this.#parts.ledger.terminal(row) ?? interrupted(row.call, "unknown");
    this.#send(frame);
    this.#parts.outgoing.reopen();
  }

  /** From the ledger row to the terminal frame. Never rejects. */
  async #serve(
    active: Active,
    rule: "ask" | "allow",
    digest: string,
    known: Row | undefined,
  ): Promise<void> {
    const { ledger, outgoing, clock, policy } = this.#parts;
    const { invoke } = active;
    this.#deadlines.watch(active);
    let row = known;
    try {
      let stored: Promise<void> | undefined;
      if (!row) {
        crashpoint("node.intent");
        // With its start where nobody has to be asked in between.
        [row, stored] = ledger.receive(invoke, digest, rule !== "ask");
      }
      if (rule === "ask") {
        await stored;
        crashpoint("node.intent");
        stored = undefined;
        await this.#consented(active);
        active.endsAt = Math.min(active.endsAt, clock.mono() + active.driver.maxMs);
        this.#deadlines.watch(active);
        policy.check(invoke.cap); // a lock that came meanwhile
        active.throwIfStopped();
      }
      crashpoint("node.run");
      await (stored ?? ledger.run(row));
      crashpoint("node.run");
      active.throwIfStopped();
      active.phase = "running";
      active.started = true;
      this.#accept(active);
      const started = clock.mono();
      const { out, streams } = await drive(active, this.#driving, this.#release);
      const ran_ms = Math.round(clock.mono() - started);
      const told = await this.#end(row, "done", {
        t: "result",
        call: invoke.call,
        out,
        streams,
        ran_ms,
      });
      if (told) outgoing.release(invoke.call);
      else outgoing.drop(invoke.call, new KithError("disk-full", "the result could not be stored"));
    } catch (error) {
      if (!active.started) this.#release(active);
      const why = active.why ?? (error instanceof KithError ? error : undefined);
      if (!why) this.#parts.log(error);
      const effect = active.started ? effectOf(active, why) : began(known);
      outgoing.drop(invoke.call, why ?? new KithError("internal", "the call failed"));
      const state =
        active.why && active.why.code !== "timeout" && active.why.code !== "interrupted"
          ? "cancelled"
          : "failed";
      await this.#end(row, state, errorFrame(invoke.call, why ?? error, effect));
    } finally {
      this.#active.delete(invoke.call);
      this.#parts.incoming.forget(invoke.call);
      this.live.close(invoke.call);
      this.#link?.poke();
      this.onQuiet();
      for (const resolve of this.#waiters.splice(0)) resolve();
    }
  }

  /** Stores the terminal frame, then sends it; false: it could not be stored, and doubt was sent. Never rejects. */
  async #end(row: Row | undefined, state: EndState, frame: TerminalFrame): Promise<boolean> {
    const { ledger } = this.#parts;
    let said = frame;
    // No row: the ledger could not take it, so nothing was started and nothing needs to be kept.
    if (row && ledger.get(row.call) === row) {
      try {
        crashpoint("node.result");
        await ledger.end(row, state, frame);
        crashpoint("node.result");
      } catch (error) {
        this.#parts.log(error);
        row.state = "doubt";
        said = errorFrame(
          row.call,
          error,
          frame.t === "error" ? (frame.effect ?? "unknown") : "unknown",
        );
      }
    }
    this.#send(said);
    return said === frame;
  }

  /** @throws KithError denied-person */
  async #consented(active: Active): Promise<void> {
    const { consent, clock } = this.#parts;
    const { call, cap, why } = active.invoke;
    active.phase = "asking";
    this.#accept(active);
    const yes = await consent.ask(
      { call, cap, text: questionOf(cap, active.args, why.text) },
      active.endsAt - clock.mono(),
      active.signal,
    );
    if (!yes && !(active.why && active.why.code !== "timeout")) {
      active.why = undefined;
      throw new KithError(
        "denied-person",
        "somebody at the device said no, or nobody answered there",
      );
    }
  }

  #accept(active: Active): void {
    const left_ms = Math.max(0, Math.round(active.endsAt - this.#parts.clock.mono()));
    this.#send({
      t: "accept",
      call: active.invoke.call,
      state: active.phase === "asking" ? "asking" : "running",
      left_ms,
    });
  }

  #send(frame: ToGateway): void {
    const terminal = frame.t === "result" || frame.t === "error";
    if (terminal) crashpoint("node.send");
    this.#link?.send(frame);
    if (terminal) crashpoint("node.send");
  }
}

/** What an earlier start of the call, before a crash, may have done: no later refusal takes that back. */
const began = (row: Row | undefined): "none" | "unknown" =>
  row && row.starts > 0 && row.effect !== "read" ? "unknown" : "none";
