/**
 * What calls owe to the wire, after their rows are on disk: frames to the device's live link,
 * deadlines, and the questions to its ledger. A link that is not there is no error: the call
 * is reconciled when the device comes back.
 */
import type { Clock } from "@kith/shared/clock";
import { times } from "@kith/shared/protocol/limits";
import type { Source } from "@kith/shared/streams/sender";
import { catalogue } from "@kith/shared/capabilities/index";
import { capabilityOf } from "../devices/device.ts";
import type { DeviceLink } from "../devices/link.ts";
import type { Presence } from "../devices/presence.ts";
import { crashpoint } from "../runtime/crashpoint.ts";
import type { Deadline } from "../runtime/due.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Call, ended } from "./call.ts";
import type { Calls } from "./calls.ts";
import type { Step } from "./table.ts";

/** What runs for a call that is open. */
interface Times {
  deadline?: Deadline;
  accept?: Deadline;
  /** It was told to stop. */
  grace?: Deadline;
}

/** Where the content of calls lies. */
export interface ContentSource {
  /** @throws KithError gone */
  source(sha256: string, type: string, bytes: number): Promise<Source>;
}

export class Sending {
  readonly #contents: ContentSource;
  readonly #runtime: Runtime;
  readonly #calls: Calls;
  readonly #presence: Presence;
  readonly #clock: Clock;
  /** Ledger queries that wait to share a frame, per device. */
  readonly #asking = new Map<string, Call[]>();
  #q = 0;
  readonly #times = new Map<string, Times>();
  /** Ledger questions without an answer: only what was asked is heard, and once. */
  readonly #asked = new Map<string, Map<number, Set<string>>>();

  constructor(
    runtime: Runtime,
    calls: Calls,
    presence: Presence,
    clock: Clock,
    contents: ContentSource,
  ) {
    this.#contents = contents;
    this.#runtime = runtime;
    this.#calls = calls;
    this.#presence = presence;
    this.#clock = clock;
    runtime.on<{ call: Call }>("call.kept", ({ call }) => this.#watch(call));
    runtime.on<{ call: string; step: Step }>("call.step", ({ call, step }) =>
      this.#step(call, step),
    );
  }

  /** At boot: the deadlines of calls that were open. */
  recover(): void {
    for (const call of this.#calls.list()) this.#watch(call);
  }

  #step(id: string, step: Step): void {
    const call = this.#calls.get(id);
    // It may have ended between decision and commit; a revoked one is still told to stop.
    const device = call?.device;
    const link = device === undefined ? undefined : this.#presence.get(device);
    switch (step) {
      case "invoke":
        return call && link ? this.#invoke(call, link) : undefined;
      case "cancel": {
        if (!call) return;
        // Its last seconds run once: nothing that the device says meanwhile gives it new ones.
        const running = this.#timesOf(id);
        if (running.grace) return;
        running.grace = this.#runtime.due.after(times.cancelGraceMs, () =>
          this.#runtime.tell(`invocation/${id}`, { type: "grace.passed" }),
        );
        return link?.send({ t: "cancel", call: id, why: "deadline" });
      }
      case "cancel-revoked": {
        const gone = this.#runtime.documents.find<Call>("call", id);
        const last = gone && this.#presence.get(gone.device);
        last?.send({ t: "cancel", call: id, why: "revoked" });
        return last?.forget(id);
      }
      case "ledger-query":
        return call && link ? this.#ask(call, link) : undefined;
      case "again":
        return;
    }
  }

  #invoke(call: Call, link: DeviceLink): void {
    // A newer link will ask the ledger first; this row was written for an older one.
    if (link.epoch !== call.epoch || call.state !== "sent") return;
    // When safe mode ends, the ledgers are asked again.
    if (this.#calls.rights.safe) return;
    const capability = capabilityOf(this.#runtime.documents, call.device, call.cap);
    if (!capability) return;
    const left = Math.max(1, call.deadlineAt - times.ttlSlackMs - this.#clock.now());
    crashpoint("tl.send");
    link.send({
      t: "invoke",
      call: call.id,
      n: call.n ?? 0,
      epoch: call.epoch,
      cap: call.cap,
      v: call.v,
      args: { ...call.args },
      effect: call.class,
      ttl_ms: Math.min(call.ttlMs, left),
      seen: link.seen,
      grant: call.grant ?? call.id,
      why: {
        origin: call.requester === "owner" ? "owner" : "other",
        text: call.session ? "asked in a chat" : "asked at the command line",
      },
      max_bytes: Math.max(0, ...Object.values(capability.streams).map(({ maxBytes }) => maxBytes)),
    });
    link.poke();
    crashpoint("tl.sent");
    // A device that is well says within seconds that it has the call; else its ledger knows.
    const running = this.#timesOf(call.id);
    if (running.accept) this.#runtime.due.cancel(running.accept);
    running.accept = this.#runtime.due.after(times.acceptMs, () => {
      const still = this.#calls.get(call.id);
      if (still?.state === "sent" && this.#presence.get(call.device) === link)
        this.#ask(still, link);
    });
  }

  accepted(call: string): void {
    const running = this.#times.get(call);
    if (running?.accept) this.#runtime.due.cancel(running.accept);
  }

  /** The device runs the call, and waits for its content where there is any. */
  runs(id: string, link: DeviceLink): void {
    const call = this.#calls.get(id);
    const [role] = Object.keys(catalogue.get(call?.cap ?? "")?.takes ?? {});
    if (!call?.content || role === undefined || call.device !== link.device) return;
    const { sha256, type, bytes: size } = call.content;
    const open = () => this.#contents.source(sha256, type, size);
    link.give({ call: id, role, type, size, open });
  }

  #timesOf(call: string): Times {
    let running = this.#times.get(call);
    if (!running) this.#times.set(call, (running = {}));
    return running;
  }

  #ask(call: Call, link: DeviceLink): void {
    const waiting = this.#asking.get(link.device);
    if (waiting) {
      waiting.push(call);
      return;
    }
    const batch = [call];
    this.#asking.set(link.device, batch);
    // The other calls of the same commit join before the frames are made.
    queueMicrotask(() => {
      this.#asking.delete(link.device);
      for (let from = 0; from < batch.length; from += 64) {
        const calls = batch.slice(from, from + 64).map(({ id, n }) => ({ call: id, n: n ?? 0 }));
        const q = ++this.#q % 2 ** 32;
        const open = this.#asked.get(link.device) ?? new Map<number, Set<string>>();
        this.#asked.set(link.device, open);
        open.set(q, new Set(calls.map((one) => one.call)));
        link.send({ t: "ledger.query", q, calls });
      }
      link.poke();
    });
  }

  /** Whether this answer about this call was asked for. A ledger that speaks unasked is not heard. */
  answers(device: string, q: number, call: string): boolean {
    const open = this.#asked.get(device);
    const calls = open?.get(q);
    if (!open || !calls?.delete(call)) return false;
    if (calls.size === 0) open.delete(q);
    return true;
  }

  /** Questions die with their link; the next one asks anew. */
  linkDown(device: string): void {
    this.#asked.delete(device);
  }

  #watch(call: Call): void {
    const { due } = this.#runtime;
    if (ended.has(call.state) || call.state === "unknown") {
      const { deadline, accept, grace } = this.#times.get(call.id) ?? {};
      this.#times.delete(call.id);
      if (deadline) due.cancel(deadline);
      if (accept) due.cancel(accept);
      if (grace) due.cancel(grace);
      if (call.state !== "done") this.#presence.get(call.device)?.forget(call.id);
      return;
    }
    const running = this.#timesOf(call.id);
    if (running.grace) return;
    if (running.deadline) due.cancel(running.deadline);
    running.deadline = due.after(call.deadlineAt - this.#clock.now(), () =>
      this.#runtime.tell(`invocation/${call.id}`, { type: "deadline.passed" }),
    );
  }
}
