/**
 * The product's runtime on the product's store in a folder of its own: what the parts measure.
 * Only the outside is made up: a model that answers at once, a chat that shows at once.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kinds } from "@kith/gateway/kinds";
import type { ActorId, Event } from "@kith/gateway/runtime/effect";
import type { Kind, MachineKind } from "@kith/gateway/runtime/kind";
import type { Performer } from "@kith/gateway/runtime/outbox";
import { Runtime } from "@kith/gateway/runtime/runtime";
import type { Store, Write } from "@kith/gateway/runtime/store";
import { openStore } from "@kith/gateway/store/store";
import { systemClock, systemRng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { median } from "../report/report.ts";

export interface RigOptions {
  /** Beside those of the gateway. */
  readonly more?: readonly Kind[];
  readonly performers?: readonly Performer[];
  /** Sees every batch before it is committed. */
  readonly onCommit?: (writes: readonly Write[]) => void;
  /** Where the home is made; the system's temporary folder unless said otherwise. */
  readonly under?: string;
  /** A home that is there already and stays when the rig has gone. */
  readonly home?: string;
  /** Changes a kind of the gateway, such as how soon it sleeps. */
  readonly kind?: (kind: MachineKind) => MachineKind;
}

/** A gateway's ground without its sockets. */
export class Rig implements AsyncDisposable {
  readonly home: string;
  readonly runtime: Runtime;
  readonly store: Store;
  readonly #stays: boolean;
  /** How often a turn failed. */
  failures = 0;
  notices = 0;
  /** Of durable messages: those of `say`, and the ends of steps. */
  turns = 0;

  private constructor(home: string, store: Store, options: RigOptions) {
    this.home = home;
    this.#stays = options.home !== undefined;
    this.store = {
      ...store,
      commit: (writes) => {
        for (const { k } of writes) if (k === "taken") this.turns++;
        options.onCommit?.(writes);
        return store.commit(writes);
      },
    };
    this.runtime = new Runtime({
      store: this.store,
      clock: systemClock,
      rng: systemRng,
      scheduler: { soon: (fn) => void setImmediate(fn) },
      kinds: [...kinds.map(options.kind ?? ((kind) => kind)), ...(options.more ?? [])],
      fatal: (error) => {
        throw error;
      },
      notice: () => this.notices++,
      report: () => this.failures++,
    });
    for (const performer of options.performers ?? []) this.runtime.perform(performer);
  }

  static async start(options: RigOptions = {}): Promise<Rig> {
    const home = options.home ?? mkdtempSync(join(options.under ?? tmpdir(), "kith-bench-"));
    const store = openStore(home);
    const opened = await store.open();
    const rig = new Rig(home, store, options);
    rig.runtime.recover(opened);
    return rig;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runtime.stop();
    await this.store.close();
    if (!this.#stays) rmSync(this.home, { recursive: true, force: true });
  }
}

/** A model that has its answer at once. */
export const quickModel: Performer = {
  op: "model",
  parallel: 4_096,
  run: () =>
    Promise.resolve({ type: "model.answered", answer: { do: "say", text: "Done." } } as Event),
};

/** A chat that shows each reply at once and tells who heard it. */
export const quickChat = (heard: (chat: string) => void): Performer => ({
  op: "say",
  parallel: 4_096,
  run: ({ args }) => {
    heard((args as { chat: string }).chat);
    return Promise.resolve({ type: "said" });
  },
});

let messages = 0;

/** What a person says in a chat, as the inbox hands it over: three turns from here to "said". */
export const say = (rig: Rig, session: ActorId, text = "what time is it"): Promise<void> =>
  rig.runtime.accept(
    session,
    { type: "chat.said", chat: session, text, by: "console:owner", owner: true } as Event,
    `bench-${++messages}`,
  );

/** Whether the gateway said that it has no room, which is an answer and no failure. */
export const isFull = (error: unknown): boolean =>
  error instanceof KithError && error.code === "mailbox-full";

/** Bytes that this process keeps: heap and what hangs on it, after a collection. */
export function keptBytes(): number {
  const { gc } = globalThis;
  if (!gc) throw new Error("memory is measured with --expose-gc");
  gc();
  gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** One small write and its sync on this disk: the limit of whatever is durable. Median ms. */
export function oneSync(): number {
  const home = mkdtempSync(join(tmpdir(), "kith-sync-"));
  const fd = openSync(join(home, "file"), "w");
  const times = Array.from({ length: 200 }, () => {
    const began = performance.now();
    writeSync(fd, new Uint8Array(512), 0, 512, 0);
    fdatasyncSync(fd);
    return performance.now() - began;
  });
  closeSync(fd);
  rmSync(home, { recursive: true });
  return median(times);
}
