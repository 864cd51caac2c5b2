/**
 * More than anybody may say, at a real port: the socket goes before the bytes are kept. Before
 * authentication, in a control frame, in a chunk, in fragments that never end.
 */
import { limits } from "@kith/shared/protocol/limits";
import { type NodeEnd, NodeEnd as Stranger, connected, world } from "../mesh/world.ts";
import type { Report } from "../report/report.ts";

const MIB = 1_048_576;
/** Nobody waits longer for a socket that should be gone. */
const PATIENCE_MS = 5_000;

/** Each floods `end` and returns how many bytes it had to write until the socket was gone. */
const floods: Readonly<Record<string, { paired: boolean; head: () => Uint8Array; body: number }>> =
  {
    "a frame announced with 99 MiB, by a stranger": {
      paired: false,
      head: () => frame(0x82, 99 * MIB),
      body: 64 * 1_024,
    },
    "bytes of a stranger": { paired: false, head: () => frame(0x82, 200_000), body: 64 * 1_024 },
    "a frame announced with 99 MiB": {
      paired: true,
      head: () => frame(0x82, 99 * MIB),
      body: 64 * 1_024,
    },
    "a frame one byte too large": {
      paired: true,
      head: () => frame(0x82, limits.frameBytes + 1),
      body: 64 * 1_024,
    },
  };

/** The head of a WebSocket frame from a client; the mask is zero. */
function frame(opcode: number, length: number): Uint8Array {
  const head = Buffer.alloc(14);
  head[0] = opcode;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

async function gone(end: NodeEnd): Promise<boolean> {
  const late = new Promise<boolean>((resolve) =>
    setTimeout(() => resolve(false), PATIENCE_MS).unref(),
  );
  return Promise.race([end.closed.then(() => true), late]);
}

export async function oversize(report: Report) {
  let tried = 0;
  let kept = 0;
  let most = 0;
  for (const [name, { paired, head, body }] of Object.entries(floods)) {
    await using home = await world();
    using end = paired ? await connected(home) : await new Stranger(home.port).open();
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    const { socket } = end;
    socket.write(head());
    const chunk = Buffer.alloc(body);
    for (let sent = 0; sent < 32 * MIB && !socket.destroyed; sent += body) {
      if (!socket.write(chunk)) await new Promise((resolve) => setImmediate(resolve));
    }
    tried++;
    if (!(await gone(end))) {
      kept++;
      report.problem(`oversize: ${name} was not cut off`);
    }
    most = Math.max(most, process.memoryUsage().rss - before);
  }
  // Fragments that never end: each is small, all together are not one message.
  await using home = await world();
  using end = await connected(home);
  const { socket } = end;
  for (let n = 0; n < 1_000 && !socket.destroyed; n++)
    socket.write(Buffer.from([n === 0 ? 0x02 : 0x00, 0x81, 0, 0, 0, 0, 7]));
  tried++;
  if (!(await gone(end))) {
    kept++;
    report.problem("oversize: 1,000 unfinished fragments were kept");
  }
  report.figure("fuzz.oversize.tried", tried, { unit: "floods" });
  report.figure("fuzz.oversize.kept", kept, { unit: "floods", goal: { op: "==", value: 0 } });
  // Both ends live in this process, the sender's queue included.
  report.figure("fuzz.oversize.memory", most / MIB, { unit: "MiB", goal: { op: "<=", value: 8 } });
}
