/** What must hold at every commit and every frame of a run, whatever comes later. */
import type { Call } from "@kith/gateway/invocations/call";
import { ended } from "@kith/gateway/invocations/call";
import type { DeviceRow } from "@kith/gateway/devices/device";
import type { Write } from "@kith/gateway/runtime/store";
import type { ChatMessage } from "@kith/gateway/sessions/words";
import type { Invoke } from "@kith/shared/protocol/call";
import { catalogue } from "@kith/shared/capabilities/index";
import type { Disk } from "../../support/disk.ts";

export class Watch {
  readonly #disk: () => Disk;
  readonly #broken: (what: string) => void;
  readonly #calls = new Map<string, Call>();
  readonly #marks = new Map<string, string>();
  readonly #numbers = new Map<string, string>();
  /** The device's rights when it got this epoch. */
  readonly #rights = new Map<string, number>();

  constructor(disk: () => Disk, broken: (what: string) => void) {
    this.#disk = disk;
    this.#broken = broken;
  }

  /** What a call was for. */
  markOf(call: string): string | undefined {
    return this.#marks.get(call);
  }

  /** Calls whose end nobody knows yet. */
  get open(): readonly Call[] {
    return [...this.#calls.values()].filter(
      ({ state }) => !ended.has(state) && state !== "unknown",
    );
  }

  /** Numbers grow within a process; over a clock that was set back and a crash the same may come again. */
  died(): void {
    this.#numbers.clear();
  }

  committed(writes: readonly Write[]): void {
    for (const write of writes) {
      if (write.k !== "put") continue;
      if (write.table === "call") this.#call(write.body as Call, writes);
      if (write.table === "device" && !write.id.includes("/"))
        this.#device(write.body as DeviceRow);
    }
  }

  #device({ id, epoch, revocation }: DeviceRow): void {
    const key = `${id} ${epoch}`;
    if (!this.#rights.has(key)) this.#rights.set(key, revocation);
  }

  #call(call: Call, writes: readonly Write[]): void {
    const before = this.#calls.get(call.id);
    this.#calls.set(call.id, call);
    this.#marks.set(call.id, String(call.args.mark));
    if (before && ended.has(before.state)) {
      this.#broken(`call ${call.id} was ${before.state} and became ${call.state}`);
    }
    if (before?.state === "unknown" && !ended.has(call.state) && call.state !== "unknown") {
      this.#broken(`call ${call.id} was in doubt and became ${call.state}`);
    }
    if (before?.state !== call.state && call.state !== "asked" && call.state !== "ready") {
      const known = writes.some(
        (one) =>
          one.k === "audit" &&
          (one.what === `call.${call.state}` || one.what === "call.replaced") &&
          one.data.call === call.id,
      );
      if (!known)
        this.#broken(`call ${call.id} became ${call.state}, and the audit does not say so`);
    }
    if (call.state !== "sent") return;
    const { n = 0, grant, cap } = call;
    const number = `${n} of ${call.device}`;
    if ((this.#numbers.get(number) ?? call.id) !== call.id)
      this.#broken(`number ${number} was given twice`);
    this.#numbers.set(number, call.id);
    if ((catalogue.get(cap)?.tier ?? 3) > 0 && grant === undefined)
      this.#broken(`call ${call.id} was sent without a grant`);
  }

  /** A call arrived at its device: all that it needs was on disk before it left. */
  invoked(device: string, frame: Invoke): void {
    const row = this.#disk().documents.get(`call ${frame.call}`)?.body as Call | undefined;
    if (!row) return this.#broken(`call ${frame.call} left before its row`);
    if (row.device !== device) this.#broken(`call ${frame.call} went to another device`);
    if (row.n !== frame.n) this.#broken(`call ${frame.call} left as ${frame.n} and is ${row.n}`);
    if (frame.args.mark !== row.args.mark)
      this.#broken(`call ${frame.call} was changed on its way`);
    // A device that pairs anew while it is connected has newer rights than its link; that is in order.
    const rights = this.#rights.get(`${device} ${frame.epoch}`);
    if (rights === undefined || rights > row.revocation)
      this.#broken(`call ${frame.call} was sent although its rights had ended`);
  }

  /** A person reads it: then it is true on disk. */
  shown({ result }: ChatMessage): void {
    if (result?.state !== "done") return;
    if (result.cap === "sim.shot" && result.streams?.length !== 1)
      this.#broken(`call ${result.call} was told as done without its content`);
    const row = this.#disk().documents.get(`call ${result.call}`)?.body as Call | undefined;
    if (row?.state !== "done")
      this.#broken(`call ${result.call} was told as done and is ${row?.state}`);
  }
}
