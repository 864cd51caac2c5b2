/** A home with memory in it, of which a test may be the owner, an unknown hand or a model. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock, systemRng } from "@kith/shared/clock";
import { newId } from "@kith/shared/ids";
import { fingerprinter } from "@kith/gateway/audit/fingerprint";
import { Memories } from "@kith/gateway/memory/memory";
import { memoryTools } from "@kith/gateway/memory/tools";
import { memoryMethods } from "@kith/gateway/operators/memory-methods";
import type { Label, ToolContext } from "@kith/gateway/tools/tool";
import { onTestFinished } from "vitest";
import * as v from "valibot";

/** The files are real and have real times. */
const clock: Clock = systemClock;

export function start(key = new Uint8Array(32).fill(7)) {
  const home = mkdtempSync(join(tmpdir(), "kith-memory-"));
  let memories = open();
  onTestFinished(async () => {
    await memories.close();
    rmSync(home, { recursive: true, force: true });
  });
  function open(with_ = key) {
    return new Memories({ home, fingerprint: fingerprinter(with_), clock, rng: systemRng });
  }
  const path = (name: string) => join(home, "memory", name);
  const id = () => newId(clock, systemRng);
  const context = (more: Partial<ToolContext> = {}): ToolContext => ({
    ...{ call: id(), session: "session/01K3V9QZ6T0R8M4X2C7B5N1PWD", chat: "console" },
    ...{ by: "console:owner", agent: "main", labels: [] as Label[], ...more },
  });
  const deeds: string[] = [];
  return {
    home,
    path,
    /** What of the owner's doing was told to the audit trail. */
    deeds,
    id,
    context,
    get memory() {
      return memories.of("main");
    },
    get all() {
      return memories;
    },
    /** Edits a file as any program may. */
    hand(name: string, text: string | Uint8Array) {
      mkdirSync(join(home, "memory"), { recursive: true, mode: 0o700 });
      writeFileSync(path(name), text);
    },
    read: (name: string) => readFileSync(path(name), "utf8"),
    /** A tool, called as the session does: after its schema. */
    async use(tool: string, args: object, more: Partial<ToolContext> = {}) {
      const found = memoryTools(memories).find(({ name }) => name === tool)!;
      return found.run(v.parse(found.args, args), context(more), new AbortController().signal);
    },
    /** A method, as the control socket and the chat call it. */
    call(op: string, args: object, caller: { by: string; key?: string } = { by: "console:owner" }) {
      const runtime = { ask: (_: string, event: { what: string }) => void deeds.push(event.what) };
      const parts = { memory: memories, clock, rng: systemRng, runtime };
      const table = new Map(memoryMethods(parts as never));
      return table.get(op)!.call(args, caller);
    },
    /** Another process, with the same key or another one. */
    async again(with_ = key) {
      await memories.close();
      memories = open(with_);
    },
  };
}
