/**
 * A world for the runtime: virtual time, seeded chance, a disk that outlives crashes, and one
 * process on it. Everything that happens is a task; the seed chooses among those that are due.
 *
 *   World ─┬─ Disk            survives
 *          ├─ tasks           what is due when: pumps, waits, commits, answers from outside
 *          └─ Process ── Runtime, its clock, scheduler, store and performers: gone at a crash
 */
import { createHash } from "node:crypto";
import { onCrashpoint } from "./crash.ts";
import type { Event } from "@kith/gateway/runtime/effect";
import type { Kind } from "@kith/gateway/runtime/kind";
import type { Performer } from "@kith/gateway/runtime/outbox";
import { Runtime, type RuntimeOptions } from "@kith/gateway/runtime/runtime";
import type { Opened, Write } from "@kith/gateway/runtime/store";
import { type Clock, MAX_AFTER_MS, type Rng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { Disk, storeOn } from "./disk.ts";

/** mulberry32: small, and the same on every machine. */
export class Seeded implements Rng {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  float(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  bytes(n: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length: n }, () => this.below(256));
  }

  /** A whole number from 0 to `n - 1`. */
  below(n: number): number {
    return Math.floor(this.float() * n);
  }

  chance(p: number): boolean {
    return this.float() < p;
  }
}

const RECENT_LINES = 60;

/** Whatever may die: what it still does then reaches nobody. */
export interface Mortal {
  readonly n: number | string;
  readonly dead: boolean;
}

interface Task {
  readonly at: number;
  readonly label: string;
  readonly of: Mortal | undefined;
  readonly run: () => void;
}

/** How one commit goes. `made`: ms until it is on disk; `answered`: ms from there to the answer. */
export interface Fate {
  readonly made: number;
  readonly answered: number;
  /**
   * full: rolled back for certain. crash-before: the process dies, nothing is written. crash-after:
   * written, never answered. broken: nobody can tell. held: the test decides, see `World.held`.
   */
  readonly end: "ok" | "full" | "crash-before" | "crash-after" | "broken" | "held";
}

export interface Held {
  readonly writes: readonly Write[];
  /** Onto the disk; not answered yet. */
  make(): void;
  answer(): void;
  refuse(error?: unknown): void;
}

export const diskFull = () => new KithError("disk-full", "no space");

/** One run of the gateway's runtime. `dead`: whatever it still does reaches nobody. */
export interface Process {
  readonly n: number;
  readonly runtime: Runtime;
  dead: boolean;
}

export interface WorldOptions {
  readonly kinds: readonly Kind[];
  /** Without one nothing is left to chance: first come, first served. */
  readonly seed?: number;
  /** Makes the runtime and what stands around it, in place of a runtime of these kinds alone. */
  readonly make?: (parts: Omit<RuntimeOptions, "kinds">, process: Process) => Runtime;
  /** Takes up what the last process left, in place of the runtime's own `recover`. */
  readonly recover?: (opened: Opened, process: Process) => void;
  /** What every process performs. */
  readonly performers?: readonly ((process: Process) => Performer)[];
  /** Called when a process has its runtime and before it recovers: listeners, tables. */
  readonly boot?: (process: Process) => void;
}

export const EPOCH_MS = Date.UTC(2026, 0, 1);
/** More tasks at one moment than this: something spins. */
const SPIN = 5_000;

export class World {
  readonly disk = new Disk();
  readonly rng: Seeded;
  readonly notices: string[] = [];
  readonly reports: string[] = [];
  readonly fatal: unknown[] = [];
  readonly held: Held[] = [];
  /** Every crash point that was passed, in order; a test may crash at one. */
  atCrashpoint: (name: string) => void = () => {};
  /** How the next commit goes. */
  fate: (writes: readonly Write[]) => Fate = () => ({ made: 0, answered: 0, end: "ok" });
  /** Heard at every commit that reached the disk. */
  onCommit: (writes: readonly Write[]) => void = () => {};
  /** Heard when a commit was rolled back, before anybody is told. */
  onRollback: () => void = () => {};
  /** A process that must end does so at once, unless a test looks at what it would still do. */
  onFatal: () => void = () => this.crash("fatal");
  /** Heard when a process dies. */
  onCrash: (process: Process) => void = () => {};
  /** How long the pump may have to wait for its turn. */
  soonMs: () => number = () => 0;
  process: Process | undefined;
  mono = 0;
  crashes = 0;
  rollbacks = 0;
  #wallOffset = EPOCH_MS;
  #processes = 0;
  readonly #options: WorldOptions;
  #tasks: Task[] = [];
  readonly #trace = createHash("sha256");
  readonly #lines: string[] = [];

  constructor(options: WorldOptions) {
    this.#options = options;
    this.rng = new Seeded(options.seed ?? 1);
    onCrashpoint((name) => this.atCrashpoint(name));
  }

  /** Starts and returns a world of these kinds. */
  static async start(options: WorldOptions): Promise<World> {
    const world = new World(options);
    await world.boot();
    return world;
  }

  get runtime(): Runtime {
    if (!this.process) throw new Error("no process runs");
    return this.process.runtime;
  }

  get now(): number {
    return Math.floor(this.#wallOffset + this.mono);
  }

  /** The wall clock is set; the other one does not notice. */
  setClock(byMs: number): void {
    this.#wallOffset += byMs;
  }

  /** Same seed, same hash. */
  get hash(): string {
    return this.#trace.copy().digest("hex").slice(0, 16);
  }

  /** The last things that happened, as `ms what`, for whoever must understand a seed. */
  get recent(): readonly string[] {
    return this.#lines
      .filter((line) => !/ (?:wait|pump|looks|sync|end of turn)$/.test(line))
      .slice(-RECENT_LINES);
  }

  note(line: string): void {
    const told = `${this.mono} ${line}`;
    this.#trace.update(`${told}\n`);
    if (this.#lines.push(told) > 20 * RECENT_LINES) this.#lines.splice(0, 10 * RECENT_LINES);
  }

  /** Runs `run` in so many ms, unless its process died before. */
  in(ms: number, label: string, run: () => void, of?: Mortal): () => void {
    const task: Task = { at: this.mono + ms, label, of, run };
    this.#tasks.push(task);
    return () => {
      this.#tasks = this.#tasks.filter((other) => other !== task);
    };
  }

  /** Virtual time, for a process or for a part that is tested alone. */
  clock(of?: Mortal): Clock {
    return {
      now: () => this.now,
      mono: () => this.mono,
      after: (ms, fn) => {
        if (ms < 0 || ms > MAX_AFTER_MS) throw new RangeError(`after(${ms})`);
        return this.in(ms, `p${of?.n} wait`, fn, of);
      },
    };
  }

  async boot(): Promise<Process> {
    const options = this.#options;
    const process: Process = { n: ++this.#processes, dead: false, runtime: undefined as never };
    const alive = (run: () => void) => () => {
      if (!process.dead) run();
    };
    const clock = this.clock(process);
    const store = storeOn(this.disk, (write, writes) => this.#commit(process, write, writes));
    const parts: Omit<RuntimeOptions, "kinds"> = {
      store,
      clock,
      rng: this.rng,
      scheduler: {
        soon: (fn) => void this.in(this.soonMs(), `p${process.n} pump`, fn, process),
      },
      fatal: (error) => {
        if (process.dead) return;
        this.fatal.push(error);
        this.onFatal();
      },
      notice: (text) => alive(() => void this.notices.push(text))(),
      report: (what, error) =>
        alive(
          () =>
            void this.reports.push(
              `${what}: ${error instanceof Error ? error.message : String(error)}`,
            ),
        )(),
    };
    const made = options.make?.(parts, process) ?? new Runtime({ ...parts, kinds: options.kinds });
    (process as { runtime: Runtime }).runtime = made;
    this.process = process;
    this.note(`boot ${process.n}`);
    const opened = await store.open();
    for (const performer of options.performers ?? []) made.perform(performer(process));
    options.boot?.(process);
    if (options.recover) options.recover(opened, process);
    else made.recover(opened);
    return process;
  }

  /** Everything in memory is gone; nothing that the process still does reaches anybody. */
  crash(why = "killed"): void {
    if (!this.process) return;
    this.note(`crash ${why}`);
    this.crashes++;
    const { process } = this;
    process.dead = true;
    this.process = undefined;
    this.onCrash(process);
  }

  async restart(): Promise<Process> {
    this.crash();
    return this.boot();
  }

  /** Ends in order, as `kith down` does; the next start is a clean one. */
  async stop(): Promise<void> {
    const { process } = this;
    if (!process) return;
    const stopped = process.runtime.stop();
    await this.idle();
    await stopped;
    this.disk.clean = true;
    process.dead = true;
    this.process = undefined;
  }

  /** Does all that is due at this moment. */
  idle(): Promise<void> {
    return this.pass(0);
  }

  /** Lets virtual time pass. */
  async pass(ms: number): Promise<void> {
    const until = this.mono + ms;
    await flush();
    let [moment, spins] = [this.mono, 0];
    while (await this.step(until)) {
      spins = this.mono === moment ? spins + 1 : 0;
      moment = this.mono;
      if (spins > SPIN) throw new Error(`it spins at ${moment}: ${this.#tasks[0]?.label}`);
    }
    this.mono = until;
  }

  /** Runs one task that is due by then; among those due first, the seed chooses. */
  async step(until = Infinity): Promise<boolean> {
    this.#tasks = this.#tasks.filter(({ of }) => !of?.dead);
    let first = Infinity;
    for (const { at } of this.#tasks) first = Math.min(first, at);
    if (first > until || first === Infinity) return false;
    const due = this.#tasks.filter(({ at }) => at === first);
    const task = due[this.#options.seed === undefined ? 0 : this.rng.below(due.length)] as Task;
    this.#tasks.splice(this.#tasks.indexOf(task), 1);
    this.mono = Math.max(this.mono, task.at);
    this.note(task.label);
    task.run();
    await flush();
    return true;
  }

  #commit(process: Process, write: () => void, writes: readonly Write[]): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // A dead process asks nobody: its promise stays as it is.
    if (process.dead) return promise;
    const fate = this.fate(writes);
    const answer = (how: () => void) => () => {
      if (!process.dead) how();
    };
    const made = (): void => {
      write();
      this.note(`commit ${writes.map((one) => one.k).join()}`);
      this.onCommit(writes);
    };
    const full = (): void => {
      this.rollbacks++;
      this.onRollback();
      reject(diskFull());
    };
    if (fate.end === "held") {
      this.held.push({
        writes,
        make: made,
        answer: answer(resolve),
        refuse: (error = diskFull()) => answer(() => reject(error))(),
      });
      return promise;
    }
    this.in(
      fate.made,
      `p${process.n} ${fate.end}`,
      () => {
        if (fate.end === "full") return full();
        if (fate.end === "crash-before") return this.crash("in a commit");
        if (fate.end === "broken" && this.rng.chance(0.5)) return reject(new Error("I/O error"));
        try {
          made();
        } catch (error) {
          return reject(error);
        }
        if (fate.end === "crash-after") return this.crash("after a commit");
        if (fate.end === "broken") return reject(new Error("I/O error"));
        if (fate.answered === 0) return resolve();
        this.in(fate.answered, `p${process.n} answer`, resolve, process);
      },
      process,
    );
    return promise;
  }
}

/** Lets every promise that can go on do so; timers are virtual, so this is all there is. */
const flush = () => new Promise<void>((resolve) => setImmediate(resolve));

export interface Run {
  readonly key: string;
  readonly args: unknown;
  readonly process: number;
  readonly at: number;
}

/** The other side of a step: counts what really happened there, over all crashes. */
export class Outside {
  readonly runs: Run[] = [];
  /** What is being done at this moment, by key. */
  readonly open = new Map<string, Run>();

  of(key: string): number {
    return this.runs.filter((run) => run.key === key).length;
  }

  /** `answer` decides how a run ends, and when: `undefined` never. */
  performer(
    world: () => World,
    op: string,
    answer: (run: Run) => { ms: number; event?: Event; error?: unknown } | undefined,
    parallel = 4,
  ): (process: Process) => Performer {
    return (process) => ({
      op,
      parallel,
      run: ({ key, args }, signal) => {
        const { promise, resolve, reject } = Promise.withResolvers<Event>();
        if (process.dead) return promise;
        const run: Run = { key, args, process: process.n, at: world().now };
        this.runs.push(run);
        this.open.set(key, run);
        world().note(`run ${op} ${key}`);
        const over = (end: () => void) => () => {
          if (process.dead) return;
          this.open.delete(key);
          end();
        };
        signal.addEventListener(
          "abort",
          over(() => reject(signal.reason as Error)),
        );
        const given = answer(run);
        if (given) {
          const { ms, event, error } = given;
          const end = over(() => (event ? resolve(event) : reject(error as Error)));
          world().in(ms, `p${process.n} ${op} answers`, end, process);
        }
        return promise;
      },
    });
  }
}
