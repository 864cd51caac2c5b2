/** The operator: keeps calls in flight on one socket and measures what becomes of them. */
import { createConnection, type Socket } from "node:net";
import { pack, unpack } from "msgpackr";
import { echoes } from "./echo.ts";
import { readFrames, writeFrame } from "./frames.ts";

/** One way to make a call. Resolves with nothing but the fact that it was answered. */
export interface Operator {
  call(): Promise<void>;
  close(): void;
}

export interface Load {
  readonly perSecond: number;
  /** Of each call, ms. */
  readonly latencies: readonly number[];
}

/** A text as long as a short file name; both wires carry it to the far end and back. */
const TEXT = "0123456789abcdef0123456789abcdef";

/** Keeps `inFlight` calls open for `ms`. */
export async function load(operator: Operator, inFlight: number, ms: number): Promise<Load> {
  const latencies: number[] = [];
  const begun = performance.now();
  const until = begun + ms;
  let ended = begun;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (let at = performance.now(); at < until; at = ended) {
        await operator.call();
        ended = performance.now();
        latencies.push(ended - at);
      }
    }),
  );
  return { perSecond: (latencies.length / (ended - begun)) * 1_000, latencies };
}

/** Resolves when a socket of this name listens; both ends are young. */
function reach(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once("error", reject);
    socket.once("connect", () => resolve(socket));
  });
}

/** What is written within one turn of the event loop leaves in one piece. */
function writer(socket: Socket): (bytes: Uint8Array | string) => void {
  let corked = false;
  return (bytes) => {
    if (!corked) {
      corked = true;
      socket.cork();
      setImmediate(() => {
        corked = false;
        socket.uncork();
      });
    }
    socket.write(bytes);
  };
}

/** Over the bare relay: a msgpack frame out, two back, each written by itself. */
export async function overRelay(path: string): Promise<Operator> {
  const socket = await reach(path);
  const open = new Map<string, () => void>();
  let last = 0;
  readFrames(socket, (frame) => {
    const { t, call } = unpack(frame) as { t: string; call: string };
    if (t !== "result") return;
    open.get(call)?.();
    open.delete(call);
  });
  return {
    call: () =>
      new Promise((resolve) => {
        const call = String(++last).padStart(26, "0");
        open.set(call, resolve);
        const frame = pack({
          ...{ t: "invoke", call, n: 1_764_191_705_000_000 + last, epoch: 1, cap: "x.echo", v: 1 },
          ...{ args: { text: TEXT }, effect: "once", ttl_ms: 10_000, seen: 1, grant: call },
          ...{ why: { origin: "owner", text: "asked at the command line" }, max_bytes: 0 },
        });
        writeFrame(socket, frame);
      }),
    close: () => socket.destroy(),
  };
}

/** Over the control socket, as docs/control.md says. @throws Error for a call that did not end well */
export async function overControl(path: string, op: string): Promise<Operator> {
  const socket = await reach(path);
  const write = writer(socket);
  const open = new Map<number, { resolve: () => void; reject: (why: Error) => void }>();
  let last = 0;
  let rest = "";
  socket.setEncoding("utf8").on("data", (part: string) => {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const { id, ok, error } = JSON.parse(line) as { id: number; ok: boolean; error: unknown };
      const asked = open.get(id);
      open.delete(id);
      if (ok) asked?.resolve();
      else asked?.reject(new Error(JSON.stringify(error)));
    }
  });
  const ask = (how: string, args: object): Promise<void> =>
    new Promise((resolve, reject) => {
      open.set(++last, { resolve, reject });
      write(`${JSON.stringify({ id: last, op: how, args })}\n`);
    });
  const each = echoes.map(({ name: cap }) => ({ device: "bench", cap, args: { text: TEXT } }));
  // The owner's word, once: the other calls rest on the grants.
  for (const args of each) await ask("invoke", { ...args, allow: "today" });
  const mine = op === "invoke" ? each : each.map(({ cap }) => ({ cap, text: TEXT }));
  return {
    call: () => ask(op, mine[last % mine.length] ?? {}),
    close: () => socket.destroy(),
  };
}
