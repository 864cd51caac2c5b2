/** Lines at a real control socket: each is answered or its connection closed, and the next one is served. */
import { mkdtempSync, rmSync } from "node:fs";
import { type Socket, createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Console } from "@kith/gateway/channels/console";
import { startControl } from "@kith/gateway/operators/control";
import { method } from "@kith/gateway/operators/method";
import { systemClock, systemRng } from "@kith/shared/clock";
import * as v from "valibot";
import { noTerminals } from "../support/no-terminals.ts";
import type { Report } from "../report/report.ts";
import { random } from "./random.ts";
import { mangled } from "./samples.ts";

const LINES = [
  '{"id":1,"op":"echo","args":{"n":1}}',
  '{"id":2,"op":"chat.open","args":{"chat":"console","terminal":{"columns":80,"rows":24,"protocol":"blocks","color":"256"}}}',
  '{"id":3,"op":"chat.say","args":{"text":"hello"}}',
  '{"id":4,"op":"chat.seen","args":{"message":"01JCQ0000000000000000000SE"}}',
  '{"id":5,"op":"shell.attach","args":{"call":"01JCQ0000000000000000000SE","columns":80,"rows":24,"from":7}}',
  '{"id":6,"op":"shell.input","args":{"data":"bHMNCg=="}}',
  '{"id":9007199254740993,"op":"__proto__","args":{"__proto__":{"a":1}}}',
];

export async function controlSocket(
  report: Report,
  { times, seed, until }: { times: number; seed: number; until: number },
) {
  const folder = mkdtempSync(join(tmpdir(), "kith-fuzz-"));
  const path = join(folder, "control.sock");
  let defects = 0;
  const echo = method(v.strictObject({ n: v.number() }), ({ n }) => ({
    out: { n },
    text: String(n),
  }));
  const server = await startControl({
    path,
    methods: new Map([["echo", echo]]),
    console: new Console(() => {}),
    inbox: () => Promise.resolve(),
    terminals: noTerminals(),
    clock: systemClock,
    rng: systemRng,
    report: (_, why) => {
      defects++;
      report.problem(`control: a defect behind the socket: ${String(why)}`);
    },
  });
  const chance = random(seed);
  let said = 0;
  let unanswered = 0;
  while (said < times && performance.now() < until) {
    const socket = await open(path);
    for (let n = 0; n < 20; n++, said++)
      socket.write(
        Buffer.concat([mangled(Buffer.from(chance.pick(LINES)), chance), Buffer.from("\n")]),
      );
    socket.end();
    await closed(socket);
    if (!(await honest(path))) unanswered++;
  }
  await server.close();
  rmSync(folder, { recursive: true });
  report.figure("fuzz.control.lines", said, { unit: "lines" });
  report.figure("fuzz.control.defects", defects, { unit: "errors", goal: { op: "==", value: 0 } });
  report.figure("fuzz.control.unanswered", unanswered, {
    unit: "questions",
    goal: { op: "==", value: 0 },
  });
}

const open = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    // What the server closes while we write lands in `error`; `close` follows and is awaited.
    const socket = createConnection(path, () => resolve(socket)).on("error", reject);
    socket.resume();
  });

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => (socket.closed ? resolve() : socket.once("close", () => resolve())));

/** Somebody who asks properly is answered. */
async function honest(path: string): Promise<boolean> {
  const socket = await open(path);
  const heard = new Promise<boolean>((resolve) => {
    socket.once("data", (data: Buffer) => resolve(data.toString().includes('"ok":true')));
    socket.once("close", () => resolve(false));
  });
  socket.write(`${LINES[0]}\n`);
  const answered = await heard;
  socket.destroy();
  return answered;
}
