/**
 * One seed, one run: chats that fold messages, somebody outside who repeats himself, timers,
 * steps, questions, a tally kept as documents, and a machine room in which everything fails.
 */
// First of all: crash points look for their hook when their module loads.
import "../../support/crash.ts";
import type { ActorId, Effect, Envelope } from "@kith/gateway/runtime/effect";
import { emit } from "@kith/gateway/runtime/fx";
import type { TableKind } from "@kith/gateway/runtime/kind";
import type { Runtime } from "@kith/gateway/runtime/runtime";
import { KithError } from "@kith/shared/errors";
import { type Fate, Outside, type Process, type Seeded, World } from "../../support/world.ts";
import { Checker } from "./checker.ts";
import { type Note, diary, failAt, failing, failures, note } from "../../runtime/diary.ts";

export interface Result {
  readonly seed: number;
  readonly hash: string;
  readonly violations: readonly string[];
  /** What happened just before its end; for a broken promise, just before that. */
  readonly story: readonly string[];
  /** What the seed made happen: a simulation that breaks nothing proves nothing. */
  readonly happened: Readonly<Record<string, number>>;
}

const CHATS: readonly ActorId[] = ["diary/ann", "diary/ben", "diary/cat"];
const MESSAGES = 8;
/** Tasks of one run. More means that it does not come to rest. */
const MOST_STEPS = 60_000;
/**
 * Passes of five minutes after the last fault: ten hours. An actor that is down tries again once
 * an hour, and a seed may leave several hours of such tries behind (6365 does).
 */
const MOST_ROUNDS = 120;
const REFUSALS = ["disk-full", "mailbox-full", "gateway-away"];

export async function simulate(seed: number): Promise<Result> {
  const simulation = new Simulation(seed);
  try {
    await simulation.run();
  } catch (error) {
    simulation.checker.broken(`it threw: ${error instanceof Error ? error.stack : String(error)}`);
  }
  return simulation.result(seed);
}

class Simulation {
  readonly world: World;
  readonly checker: Checker;
  readonly #rng: Seeded;
  readonly #outside = new Outside();
  readonly #diedAt = new Map<number, number>();
  #runtime: Runtime | undefined;
  #texts = 0;
  #chaos = true;
  #fullUntil = 0;
  #senders = CHATS.length;
  #steps = 0;
  #stops = 0;

  constructor(seed: number) {
    this.world = new World({
      seed,
      kinds: [{ ...diary, idleMs: 2_000 }, this.#tally()],
      performers: [(process) => this.#performer(process)],
      boot: ({ runtime }) => {
        this.#runtime = runtime;
      },
    });
    this.#rng = this.world.rng;
    this.checker = new Checker(this.world);
    failing.clear();
    failures.heard = (text) => {
      if (this.world.process) this.checker.failed(text);
    };
    this.world.fate = () => this.#fate();
    this.world.onCommit = (writes) => this.checker.committed(writes);
    this.world.onRollback = () => this.checker.forgotten();
    this.world.onCrash = ({ n }) => {
      this.#diedAt.set(n, this.world.now);
      this.checker.forgotten();
    };
    this.world.soonMs = () => (this.#rng.chance(0.8) ? 0 : this.#rng.below(3));
    this.world.atCrashpoint = () => {
      if (this.#chaos && this.#rng.chance(0.004)) this.world.crash("at a crash point");
    };
  }

  async run(): Promise<void> {
    const { world } = this;
    await world.boot();
    for (const chat of CHATS) this.#send(chat, this.#messages(chat), 0);
    this.#askNow();
    this.#tellNow();
    while (this.#chaos && (await this.#step())) {
      if (this.#rng.chance(0.004)) this.world.crash("at random");
      else if (this.#rng.chance(0.001)) this.#stop();
      if (!world.process) await this.#comeBack();
      this.#chaos = world.mono < (this.#senders > 0 ? 60_000 : 25_000);
    }
    this.#chaos = false;
    this.#fullUntil = 0;
    if (!world.process) await world.boot();
    const { disk } = world;
    const quiet = () =>
      this.#senders === 0 &&
      disk.inbox.size + disk.timers.size === 0 &&
      [...disk.steps.values()].every(({ end }) => end);
    // At least once: what is volatile may still ask for more. An actor that is down tries once an hour.
    let rounds = 0;
    do await this.#pass(300_000);
    while (!quiet() && ++rounds < MOST_ROUNDS);
    this.checker.finish(this.#diedAt);
  }

  result(seed: number): Result {
    const { disk, crashes, rollbacks, hash } = this.world;
    const ends = [...disk.steps.values()].map(({ end }) => end);
    return {
      seed,
      hash,
      violations: this.checker.violations,
      story: this.checker.story ?? this.world.recent,
      happened: {
        crashes,
        rollbacks,
        stops: this.#stops,
        dead: disk.dead.length,
        turns: disk.journal.length,
        runs: this.#outside.runs.length,
        unknown: ends.filter((end) => end === "unknown").length,
        expired: ends.filter((end) => end === "expired").length,
        fatal: this.world.fatal.length,
        down: this.world.notices.filter((text) => text.includes("was stopped")).length,
        withdrawn: this.checker.asks.filter(({ outcome }) => outcome === "cancelled").length,
        late: this.checker.asks.filter(({ outcome }) => outcome === "timeout").length,
      },
    };
  }

  async #step(until = Infinity): Promise<boolean> {
    if (++this.#steps > MOST_STEPS) throw new Error("it does not come to rest");
    return this.world.step(until);
  }

  async #pass(ms: number): Promise<void> {
    const until = this.world.mono + ms;
    while (await this.#step(until)) {
      // What the chaos left behind may still end a process.
      if (!this.#chaos && !this.world.process) await this.world.boot();
    }
    this.world.mono = until;
  }

  /** `kith down`: in order, and a clean start after it. */
  #stop(): void {
    const { process } = this.world;
    if (!process || this.#stops > 2) return;
    this.#stops++;
    process.runtime.stop().then(
      () => {
        if (process.dead) return;
        this.world.disk.clean = true;
        this.world.crash("stopped");
      },
      () => process.dead || this.world.crash("could not stop in order"),
    );
  }

  async #comeBack(): Promise<void> {
    const down = this.#rng.chance(0.2) ? this.#rng.below(20_000) : this.#rng.below(200);
    await this.#pass(down);
    if (!this.world.process) await this.world.boot();
  }

  #fate(): Fate {
    const rng = this.#rng;
    this.checker.committing();
    const slow = rng.float();
    // Longer than the wait after a failure now and then.
    const made =
      slow < 0.6
        ? rng.below(4)
        : slow < 0.9
          ? rng.below(20)
          : slow < 0.98
            ? rng.below(200)
            : rng.below(3_000);
    const answered = rng.chance(0.5) ? 0 : rng.chance(0.9) ? rng.below(10) : rng.below(300);
    if (!this.#chaos) return { made: 1, answered: 0, end: "ok" };
    if (this.world.mono >= this.#fullUntil && rng.chance(0.01))
      this.#fullUntil = this.world.mono + rng.below(8_000);
    if (this.world.mono < this.#fullUntil) return { made, answered, end: "full" };
    const luck = rng.float();
    const end =
      luck < 0.01 ? "crash-before" : luck < 0.02 ? "crash-after" : luck < 0.023 ? "broken" : "ok";
    return { made, answered, end };
  }

  #text(kind: string): string {
    const text = `${kind}${++this.#texts}`;
    const luck = this.#rng.float();
    if (luck < 0.06) failing.set(text, 1 + this.#rng.below(2));
    else if (luck < 0.08) failing.set(text, 99);
    return text;
  }

  #messages(chat: ActorId): Note[] {
    return Array.from({ length: MESSAGES }, (_, n) => {
      const text = `m${chat.slice(6)}.${n}`;
      if (this.#rng.chance(0.08))
        failing.set(text, this.#rng.chance(0.3) ? 99 : 1 + this.#rng.below(2));
      return note(text, ...this.#effects(2));
    });
  }

  #effects(depth: number): Effect[] {
    const rng = this.#rng;
    return Array.from({ length: rng.below(4) }, (): Effect[] => {
      const what = rng.float();
      if (what < 0.3) {
        const order = rng.chance(0.5) ? { order: `o${rng.below(2)}` } : {};
        const effect = (["read", "idempotent", "once"] as const)[rng.below(3)] ?? "read";
        return [
          {
            kind: "step",
            op: "do",
            class: effect,
            args: {},
            ttlMs: 2_000 + rng.below(30_000),
            ...order,
          },
        ];
      }
      const name = `${rng.below(3)}`;
      if (what < 0.5) {
        const text = `t${name}.${this.#text("")}`;
        const event = note(text, ...(depth > 0 ? this.#effects(depth - 1) : []));
        return [{ kind: "timer", name, inMs: rng.below(rng.chance(0.5) ? 200 : 20_000), event }];
      }
      if (what < 0.6) return [{ kind: "untimer", name }];
      if (what < 0.75)
        return [{ kind: "tell", to: `tally/${rng.below(2)}`, event: note(this.#text("w")) }];
      const to = CHATS[rng.below(CHATS.length)] as ActorId;
      const many = rng.chance(0.15) ? 12 : 1;
      return Array.from({ length: many }, () => {
        const more = depth > 0 && many === 1 ? this.#effects(depth - 1) : [];
        return { kind: "tell" as const, to, event: note(this.#text("w"), ...more) };
      });
    }).flat();
  }

  /** Sends in order, up to three at once; what was not acknowledged is sent again, and more. */
  #send(chat: ActorId, messages: readonly Note[], from: number): void {
    const rng = this.#rng;
    let acked = from;
    let waiting: { process: Process; left: number } | undefined;
    const again = (): void =>
      void this.world.in(1 + rng.below(rng.chance(0.3) ? 1_000 : 30), "sender", tick);
    const tick = (): void => {
      const { process } = this.world;
      if (acked >= messages.length && rng.chance(0.5)) {
        this.#senders--;
        return;
      }
      again();
      if (!process || (waiting && !waiting.process.dead && waiting.left > 0)) return;
      const group = messages.slice(acked, acked + 1 + rng.below(3));
      const mine = (waiting = { process, left: group.length });
      let inOrder = true;
      for (const [at, one] of group.entries()) {
        const n = acked + at;
        process.runtime.accept(chat, one, one.text).then(
          () => {
            if (process.dead) return;
            mine.left--;
            this.checker.acked.add(one.text);
            if (inOrder) acked = Math.max(acked, n + 1);
          },
          (error: KithError) => {
            if (process.dead) return;
            mine.left--;
            inOrder = false;
            if (!REFUSALS.includes(error.code))
              this.checker.broken(`accept was refused: ${error.message}`);
          },
        );
      }
      // Somebody who is not sure says it once more.
      const old = messages[rng.below(Math.max(1, acked))];
      if (old && acked > 0 && rng.chance(0.4))
        process.runtime.accept(chat, old, old.text).catch(() => {});
    };
    again();
  }

  #askNow(): void {
    const rng = this.#rng;
    this.world.in(50 + rng.below(1_500), "asker", () => {
      if (this.#chaos) this.#askNow();
      const { process } = this.world;
      if (!process) return;
      const text = this.#text("q");
      const deadlineMs = 20 + rng.below(rng.chance(0.5) ? 200 : 4_000);
      const asked = { text, deadline: this.world.now + deadlineMs, process: process.n };
      this.checker.asks.push(asked);
      const stop = new AbortController();
      if (rng.chance(0.3)) this.world.in(rng.below(deadlineMs), "withdrawal", () => stop.abort());
      const question = note(text, { kind: "reply", value: "ok" }, ...this.#effects(0));
      process.runtime
        .ask(CHATS[rng.below(3)] as ActorId, question, { deadlineMs, signal: stop.signal })
        .then(
          (value) => process.dead || this.checker.answered(asked, String(value)),
          (error: KithError) => process.dead || this.checker.answered(asked, error.code),
        );
    });
  }

  #tellNow(): void {
    this.world.in(20 + this.#rng.below(800), "link", () => {
      if (this.#chaos) this.#tellNow();
      this.world.process?.runtime.tell(
        CHATS[this.#rng.below(3)] as ActorId,
        note(this.#text("v"), ...this.#effects(1)),
      );
    });
  }

  #performer(process: Process) {
    const rng = this.#rng;
    const make = this.#outside.performer(
      () => this.world,
      "do",
      (run) => {
        const open = [...this.#outside.open.values()].filter((other) => other.key !== run.key);
        this.checker.ran(run, open);
        const luck = rng.float();
        const ms = rng.below(luck < 0.5 ? 10 : 800);
        if (luck > 0.97) return undefined;
        if (luck > 0.87) return { ms, error: new KithError("driver", "it failed") };
        if (luck > 0.84) return { ms, error: new Error("a defect") };
        return { ms, event: note(`s${run.key}`) };
      },
      3,
    );
    return make(process);
  }

  /** Rows that keep every text they were told, in memory and as a document. */
  #tally(): TableKind {
    const rows = new Map<string, string[]>();
    return {
      name: "tally",
      receive: ({ to, event }: Envelope) => {
        const id = to.slice(6);
        const { text } = event as Note;
        const body = [...(rows.get(id) ?? []), text];
        rows.set(id, body);
        failAt(text);
        emit({ kind: "put", table: "call", id, open: true, body });
      },
      reload: () => {
        rows.clear();
        for (const id of ["0", "1"]) {
          const body = this.#runtime?.documents.get<string[]>("call", id);
          if (body) rows.set(id, body);
        }
      },
    };
  }
}
