/** A home on disk that lives as long as a test, and other processes that use it. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { ActorId } from "@kith/gateway/runtime/effect";
import type { Store, Write } from "@kith/gateway/runtime/store";
import { openStore } from "@kith/gateway/store/store";

export function tempHome(from?: string): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "kith-store-"));
  // As after a power cut: the shared-memory file of a dead process means nothing.
  if (from !== undefined) {
    cpSync(from, path, { recursive: true, filter: (file) => !file.endsWith("-shm") });
  }
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** The damage and audit tests' number of rounds: 500 in a nightly run. */
export const ROUNDS = Number(process.env["KITH_DAMAGE_RUNS"] ?? 60);

/** mulberry32: a failing round is found again by its number. */
export function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

export const SAM: ActorId = "session/sam";
const messageOf = (n: number) => `telegram:1:${n}`;

/** What commit `n` of a run writes: a message arrives, the one before it is done, with all that a turn leaves. */
export function turn(n: number): Write[] {
  const event = {
    type: "message.came",
    at: n,
    text: `hello ${n}`,
    thumb: new Uint8Array([n & 255, 7]),
  };
  const env = { to: SAM, event, msg: messageOf(n), lane: "normal", durable: true } as const;
  const args = { n, picture: new Uint8Array(40).fill(n) };
  return [
    { k: "accept", env, at: n },
    { k: "taken", to: SAM, msg: messageOf(n - 1), at: n },
    {
      k: "actor",
      id: SAM,
      kind: "session",
      seq: n,
      status: "live",
      snapshot: new Uint8Array(150).fill(n),
    },
    {
      k: "actor",
      id: `device/d${n % 7}`,
      kind: "device",
      seq: n,
      status: "live",
      snapshot: new Uint8Array([n & 255]),
    },
    { k: "journal", actor: SAM, seq: n, at: n, event },
    {
      k: "step",
      step: {
        id: `step${n}`,
        actor: SAM,
        op: "reply",
        class: "idempotent",
        args,
        expiresAt: n + 9,
      },
      at: n,
    },
    { k: "stepEnd", id: `step${n - 3}`, state: "done", at: n },
    {
      k: "timer",
      timer: {
        actor: SAM,
        name: `nap${n % 5}`,
        due: n + 100,
        generation: n,
        event: { type: "timer.nap" },
      },
    },
    { k: "put", table: "call", id: `call${n % 50}`, open: n % 3 > 0, at: n, body: args },
    { k: "audit", at: n, what: "call.done", data: { call: `call${n}`, device: "laptop" } },
  ];
}

/** Everything that can be read, for comparing two databases. Throws where damage is noticed. */
export function everything(store: Store, turns: number) {
  const taken = Array.from({ length: turns + 1 }, (_, n) => store.seen(SAM, messageOf(n)));
  const actors = [...store.actors("session"), ...store.actors("device")];
  const { ok, problem } = store.verifyAudit();
  if (!ok) throw new Error(problem);
  return {
    taken,
    actors: actors.map((id) => ({ id, ...store.load(id) })),
    inbox: store.inbox(),
    steps: [...store.steps()],
    timers: store.timers(),
    open: store.openDocuments("call"),
    documents: store.documents("call", 1e6),
    audit: store.audit({ limit: 1e6 }),
    journal: store.journal(SAM, 1e6),
    dead: store.dead(1e6).map(({ env: { to, event }, error, at }) => ({ to, event, error, at })),
  };
}

/** A real process that commits `turn(n)` one after the other and prints n once it is acknowledged. */
export function committer(
  home: string,
  crashAt = "",
): { child: ChildProcess; lines: AsyncIterable<string> } {
  const [script = "", crash = ""] = ["./committer.child.ts", "./crash.child.ts"].map((name) =>
    fileURLToPath(new URL(name, import.meta.url)),
  );
  const child = spawn(process.execPath, ["--import", crash, script, home], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, KITH_CRASH_AT: crashAt },
  });
  return { child, lines: createInterface({ input: child.stdout }) };
}

/** Lets it commit until it acknowledged `turns` more, kills it; returns the last acknowledged turn. */
export async function killAfter(home: string, turns: number): Promise<number> {
  const { child, lines } = committer(home);
  const exit = once(child, "exit");
  let last = 0;
  let count = 0;
  for await (const line of lines) {
    const [said, n] = line.split(" ");
    if (said !== "done") continue;
    last = Number(n);
    if (++count === turns) child.kill("SIGKILL");
  }
  await exit;
  return last;
}

/**
 * As `killAfter`, until it died between two commits: one that was made and not acknowledged may
 * be lost without anybody's fault.
 */
export async function killBetween(home: string, turns: number): Promise<number> {
  for (let more = turns; ; more = 1) {
    const last = await killAfter(home, more);
    using copy = tempHome(home);
    const store = openStore(copy.path);
    await store.open();
    const made = store.load(SAM)?.seq;
    await store.close();
    if (made === last) return last;
  }
}
