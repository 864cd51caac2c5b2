/**
 * RT-8: a gateway is killed in the middle of much work and started again. In its home are 10,000
 * sessions, each with a message that waits for its turn, and 100,000 replies that nobody has read.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { ActorId, Event } from "@kith/gateway/runtime/effect";
import type { Write } from "@kith/gateway/runtime/store";
import { systemClock, systemRng } from "@kith/shared/clock";
import { newId } from "@kith/shared/ids";
import { launch } from "../../gateway/bin/processes.mjs";
import type { Report } from "../report/report.ts";
import { quantile } from "../report/report.ts";
import { Control, type Message } from "../support/control.ts";
import type { BenchPart } from "./part.ts";
import { Rig } from "./rig.ts";

const SESSIONS = 10_000;
const REPLIES_EACH = 10;
/** Rows in one commit of the waiting messages. */
const CHUNK = 2_000;
/** People who write after the first one, and how far apart. */
const TURNS = 40;
const APART_MS = 50;
const LOOK_MS = 50;
const PATIENCE_MS = 30_000;

const session = (at: number): ActorId => `session/${String(at).padStart(26, "0")}`;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What the killed process leaves, written by the product's own runtime and store. */
async function furnish(home: string): Promise<void> {
  writeFileSync(join(home, "config.yaml"), "listen: 127.0.0.1:0\n", { mode: 0o600 });
  await using rig = await Rig.start({ home });
  for (let round = 0; round < REPLIES_EACH; round++) {
    for (let at = 0; at < SESSIONS; at++) {
      const asked = { type: "approval.asked", chat: `c${at}`, call: `call-${round}` };
      rig.runtime.tell(session(at), {
        ...asked,
        ...{ device: "k", name: "laptop", cap: "camera.snap" },
      } as Event);
    }
    while (rig.runtime.busy) await new Promise((resolve) => setImmediate(resolve));
  }
  // Behind the runtime's back, which would handle them at once.
  for (let from = 0; from < SESSIONS; from += CHUNK) {
    const writes = Array.from({ length: CHUNK }, (_, at): Write => {
      const said = { type: "chat.said", chat: `c${from + at}`, text: "what can you do" };
      const event = { ...said, by: "console:owner", owner: true } as Event;
      const env = { to: session(from + at), event, msg: `waiting-${from + at}` };
      return { k: "accept", env: { ...env, lane: "normal", durable: true }, at: Date.now() };
    });
    await rig.store.commit(writes);
  }
}

/** Resolves with its end of the socket as soon as the gateway opens it. */
async function connect(home: string, hear: (message: Message) => void): Promise<Control> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await Control.open(home, (_, message) => hear(message as Message));
    } catch (error) {
      if (performance.now() > until) throw error;
      await pause(2);
    }
  }
}

/** Says something in a new chat. Resolves when its answer was shown. */
async function talk(home: string, chat: string, text: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const control = await connect(home, ({ final }) => final && resolve());
  await control.call("chat.open", { chat });
  await control.call("chat.say", { text, id: newId(systemClock, systemRng) });
  const late = setTimeout(() => control.close(), PATIENCE_MS);
  await Promise.race([promise, gone(control)]);
  clearTimeout(late);
  control.close();
}

async function gone(control: Control): Promise<never> {
  while (!control.closed) await pause(LOOK_MS);
  throw new Error("no answer was shown");
}

/** Resolves when every session has handled what waited for it: its message, or the answer to it. */
async function restored(home: string): Promise<void> {
  const db = new DatabaseSync(join(home, "kith.db"), { readOnly: true, timeout: 5_000 });
  const handled = db.prepare("SELECT count(*) AS n FROM seen WHERE msg LIKE 'waiting-%'");
  const thinking = db.prepare(
    "SELECT count(*) AS n FROM outbox WHERE ended IS NULL AND state = 'open' AND op = 'model'",
  );
  const until = performance.now() + PATIENCE_MS;
  while (handled.get()?.["n"] !== SESSIONS || thinking.get()?.["n"] !== 0) {
    if (performance.now() > until) throw new Error("not all sessions came back");
    await pause(LOOK_MS);
  }
  db.close();
}

async function kill(report: Report): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), "kith-bench-"));
  const start = () => launch("gateway", ["--home", home, "--json"]);
  let running: ReturnType<typeof start> | undefined;
  const end = async () => {
    if (running?.child.exitCode !== null || running.child.signalCode !== null) return;
    running.child.kill("SIGKILL");
    await once(running.child, "close");
  };
  try {
    await furnish(home);
    running = start();
    await running.event("ready");
    await end();
    const began = performance.now();
    running = start();
    const ready = running.event("ready").then(() => performance.now() - began);
    const all = restored(home).then(() => performance.now() - began);
    await talk(home, "new", "what can you do");
    const first = performance.now() - began;
    const turns: number[] = [];
    for (let at = 0; at < TURNS; at++) {
      const said = performance.now();
      await talk(home, `new-${at}`, "what can you do");
      turns.push(performance.now() - said);
      await pause(APART_MS);
    }
    report.figure("recovery.ready", (await ready) / 1_000, { unit: "s" });
    report.figure("recovery.first_message", first / 1_000, {
      unit: "s",
      goal: { op: "<=", value: 1 },
    });
    report.figure("recovery.all", (await all) / 1_000, {
      unit: "s",
      goal: { op: "<=", value: 3 },
    });
    report.figure("recovery.new_turn_p95", quantile(turns, 0.95) / 1_000, {
      unit: "s",
      goal: { op: "<=", value: 2 },
    });
  } finally {
    await end();
    rmSync(home, { recursive: true, force: true });
  }
}

export const recovery: BenchPart = {
  name: "recovery",
  title: "kill -9 with 10,000 sessions and 100,000 replies on their way",
  run: kill,
};
