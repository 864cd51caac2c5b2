/** What a lying device says: about calls that are not its own, too much, too large, out of turn. */
import { randomBytes } from "node:crypto";
import { until, type World } from "../support/home.ts";
import { hello, id, type Liar } from "./liar.ts";

export interface Attack {
  readonly name: string;
  /** Must end its link. */
  readonly cutOff: boolean;
  /** And the device is not let in again for a minute. */
  readonly keptOut?: boolean;
  run(liar: Liar, at: { readonly theirs: string; readonly world: World }): Promise<void> | void;
}

/** Stands in every false result. */
export const FAKE = "liar";
export const UNSAFE =
  // oxlint-disable-next-line no-control-regex -- finding control characters is its job
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/u;
const ESCAPE = "../../../escape";
const FLOOD = 5_000;

const info = {
  ...{ os: FAKE, release: FAKE, arch: FAKE, cpus: 1, memory_bytes: 1, agent: FAKE },
};
const result = (call: string, out: object = info, streams: object[] = []) => ({
  ...{ t: "result", call, out, streams, ran_ms: 1 },
});
const failed = (call: string, text = FAKE) => ({
  ...{ t: "error", call, code: "driver", effect: "none", text },
});
const open = (call: string, more: object = {}) => ({
  ...{ t: "stream.open", stream: id(), ch: 1, call, role: "image", type: "image/jpeg" },
  ...{ live: false, ...more },
});

/** A call that is really this device's, and how it ended for whoever asked. */
async function own(liar: Liar, world: World, cap: string) {
  const args = { device: "laptop", cap, ...(cap === "device.info" ? {} : { allow: "once" }) };
  const asked = world.call("invoke", args).then(
    ({ out }) => out.out as Record<string, unknown>,
    (why: Error) => why.message,
  );
  const { call } = await liar.hear("invoke", (frame) => frame.cap === cap);
  liar.say({ t: "accept", call, state: "running", left_ms: 5_000 });
  return { call, asked };
}

/** Asks after what was said before: what is in order has been handled by then. */
async function handled(liar: Liar): Promise<void> {
  const n = 1_000_000;
  liar.say({ t: "ping", n });
  await liar.hear("pong", (frame) => frame.n === n);
}

const told = (name: string, frames: (theirs: string) => readonly object[]): Attack => ({
  name,
  cutOff: false,
  async run(liar, { theirs }) {
    for (const frame of frames(theirs)) liar.say(frame);
    await handled(liar);
  },
});

const cut = (name: string, run: Attack["run"]): Attack => ({ name, cutOff: true, run });

const flood = (name: string, frame: (n: number, theirs: string) => object): Attack =>
  cut(name, (liar, { theirs }) => {
    for (let n = 0; n < FLOOD && liar.closed === undefined; n++) liar.say(frame(n, theirs));
  });

export const ATTACKS: readonly Attack[] = [
  told("the result of another device's call", (theirs) => [result(theirs)]),
  told("the failure of another device's call", (theirs) => [failed(theirs)]),
  told("a result that reaches for a prototype", (theirs) => [
    result(theirs, { ["__proto__"]: info, constructor: info }),
  ]),
  told("life signs of another device's call", (theirs) => [
    { t: "accept", call: theirs, state: "asking", left_ms: 1 },
    { t: "progress", call: theirs, n: 1, pct: 100, note: FAKE },
  ]),
  told("content of another device's call", (theirs) => [open(theirs)]),
  told("ledger rows that nobody asked for", (theirs) => [
    { t: "ledger.answer", q: 1, ledger: id(), floor: 0, items: [{ call: theirs, state: "doubt" }] },
    { t: "ledger.answer", q: 0, ledger: id(), floor: 2 ** 50, items: [] },
  ]),
  told("results of calls that never were", () => [
    result(id()),
    failed(id()),
    open(id(), { role: ESCAPE }),
  ]),
  told("that the owner approved", (theirs) => [
    { t: "event", seq: 1, name: "approval.approved", data: { approval: theirs, by: "owner" } },
    { t: "event", seq: 2, name: "owner.approved", data: { call: theirs, for: "always" } },
  ]),
  {
    name: "a result of the wrong shape",
    cutOff: false,
    async run(liar, { world }) {
      const { call, asked } = await own(liar, world, "device.info");
      liar.say(result(call, { ...info, os: 5 }));
      if (typeof (await asked) !== "string") throw new Error("it was taken as a result");
    },
  },
  {
    name: "control characters in a result and in a failure",
    cutOff: false,
    async run(liar, { world }) {
      const first = await own(liar, world, "device.info");
      liar.say(result(first.call, { ...info, os: "\u001b[31mred\u202e" }));
      const words = [await first.asked];
      liar.say({ t: "event", seq: 9, name: "presence", data: { text: "\u001b[2J\u0007" } });
      liar.say(failed(first.call, "\u001b]0;title\u0007"));
      if (words.some((said) => typeof said !== "string" || UNSAFE.test(said)))
        throw new Error(`it reached a screen: ${JSON.stringify(words)}`);
      await handled(liar);
    },
  },
  {
    name: "a second result that says otherwise, and a third when it is over",
    cutOff: false,
    async run(liar, { world }) {
      const { call, asked } = await own(liar, world, "device.info");
      liar.say(result(call, { ...info, os: "first" }));
      liar.say(result(call, { ...info, os: "second" }));
      liar.say(failed(call));
      const out = await asked;
      if (typeof out === "string" || out["os"] !== "first")
        throw new Error(`the first word did not stay: ${JSON.stringify(out)}`);
      liar.say(result(call, { ...info, os: "third" }));
      await handled(liar);
    },
  },
  {
    name: "paths where names belong",
    cutOff: false,
    async run(liar, { world }) {
      const { call, asked } = await own(liar, world, "camera.snap");
      liar.say(open(call, { role: ESCAPE, ch: 3 }));
      const ref = { role: ESCAPE, type: "image/jpeg", size: 1, sha256: randomBytes(32) };
      liar.say(
        result(call, { taken_at_ms: 1, camera: ESCAPE, width_px: 1, height_px: 1 }, [
          { stream: id(), ...ref },
        ]),
      );
      if (typeof (await asked) !== "string") throw new Error("it was taken as a result");
    },
  },
  {
    ...flood("a flood of results of another device's call", (_, theirs) => result(theirs)),
    keptOut: true,
  },
  { ...flood("a flood of results of no call", () => result(id())), keptOut: true },
  flood("a flood of pongs", (n) => ({ t: "pong", n })),
  flood("a flood of events", (n) => ({ t: "event", seq: n, name: "presence", data: {} })),
  flood("a flood of malformed frames", () => ({ t: "result", call: ESCAPE })),
  cut("a flood of progress", async (liar, { world }) => {
    const { call } = await own(liar, world, "device.info");
    for (let n = 0; n < FLOOD && liar.closed === undefined; n++)
      liar.say({ t: "progress", call, n });
  }),
  cut("an order to the gateway", (liar) =>
    liar.say({
      ...{ t: "invoke", call: id(), n: 1, epoch: 1, cap: "op.approvals.allow", v: 1, args: {} },
      ...{ effect: "once", ttl_ms: 1_000, max_bytes: 0 },
    }),
  ),
  cut("an approval of a pairing", (liar) => liar.say({ t: "pair.approved" })),
  cut("a second hello", (liar) => liar.say(hello("laptop"))),
  cut("a message that is too large", (liar) => liar.wire.send(randomBytes(300_000))),
  cut("a message that nobody sealed", (liar) => liar.wire.send(randomBytes(300))),
  cut("a chunk without a stream", (liar) => liar.chunk(77, 0, new Uint8Array(100))),
  // In one packet with the opening: whoever stores well would have given more credit a moment later.
  cut("more content than there is credit", async (liar, { world }) => {
    const { call } = await own(liar, world, "camera.snap");
    liar.say(open(call));
    liar.chunk(1, 0, new Uint8Array(64));
  }),
  cut("content out of order", async (liar, { world }) => {
    const { call } = await own(liar, world, "camera.snap");
    liar.say(open(call));
    await liar.hear("stream.credit");
    liar.chunk(1, 4_096, new Uint8Array(64));
    await until("its end", () => liar.closed);
  }),
];
