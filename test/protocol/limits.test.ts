/** The table of docs/protocol.md "Limits": each bound of a frame met at the limit and one above. */
import { frameReader, pack } from "@kith/shared/protocol/codec";
import {
  type Frame,
  toGateway,
  toGatewayPairing,
  toNode,
  toNodePairing,
} from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import { expect, test } from "vitest";
import type * as v from "valibot";

const id = "01JCQ0000000000000000000AA";
const hash = new Uint8Array(32);
const about = { name: "n", kind: "laptop", os: "linux", arch: "x64", agent: "0.1.0" };
const offered = {
  cap: "camera.snap",
  v: 1,
  effect: "idempotent",
  state: "ready",
  policy: "ask",
  foreground: false,
  parallel: 1,
  max_ms: 1,
  max_bytes: 1,
};
const device = { id: "a", label: "" };
const stream = { stream: id, role: "image", type: "image/jpeg", size: 1, sha256: hash };

/** One good frame of each kind. */
const good: readonly (readonly [v.GenericSchema, Record<string, unknown> & { t: Frame["t"] }])[] = [
  [
    toGateway,
    { t: "hello", minor: 0, features: [], ...about, boot: id, ledger: id, last_epoch: 0 },
  ],
  [
    toNode,
    {
      t: "welcome",
      minor: 0,
      features: [],
      epoch: 1,
      session: id,
      gateway: "g",
      ping_ms: 20_000,
      limits: { calls: 64, streams: 16, control: 1, chunk: 1 },
      want_caps: true,
      now: 1,
    },
  ],
  [toGateway, { t: "ping", n: 1 }],
  [toNode, { t: "pong", n: 1 }],
  [toNode, { t: "bye", code: "done", text: "" }],
  [toGateway, { t: "capabilities.advertise", rev: 1, part: 1, parts: 1, hash, caps: [offered] }],
  [toNode, { t: "grants.changed", rev: 1, grants: [{ cap: "c", mode: "ask" }] }],
  [
    toNode,
    {
      t: "invoke",
      call: id,
      n: 1,
      epoch: 1,
      cap: "c",
      v: 1,
      args: {},
      effect: "read",
      ttl_ms: 1,
      seen: 0,
      grant: id,
      why: { origin: "owner", text: "" },
      max_bytes: 0,
    },
  ],
  [toGateway, { t: "accept", call: id, state: "running", left_ms: 0 }],
  [toGateway, { t: "progress", call: id, n: 1 }],
  [toGateway, { t: "result", call: id, out: {}, streams: [stream], ran_ms: 1 }],
  [toGateway, { t: "error", code: "driver", text: "" }],
  [toNode, { t: "cancel", call: id, why: "owner" }],
  [toNode, { t: "ledger.query", q: 1, calls: [{ call: id, n: 1 }] }],
  [
    toGateway,
    { t: "ledger.answer", q: 1, ledger: id, floor: 0, items: [{ call: id, state: "absent" }] },
  ],
  [toGateway, { t: "event", seq: 1, name: "battery", data: {} }],
  [
    toGateway,
    {
      t: "stream.open",
      stream: id,
      ch: 1,
      call: id,
      role: "image",
      type: "image/jpeg",
      live: false,
    },
  ],
  [toNode, { t: "stream.credit", ch: 1, upto: 0 }],
  [toGateway, { t: "stream.end", ch: 1, size: 0 }],
  [toNode, { t: "stream.done", ch: 1, size: 0 }],
  [toGatewayPairing, { t: "pair.begin", how: "code", ...about, caps: [], commit: hash }],
  [toNodePairing, { t: "pair.nonce", nonce: new Uint8Array(16), left_ms: 1 }],
  [toGatewayPairing, { t: "pair.reveal", nonce: new Uint8Array(16) }],
  [toNodePairing, { t: "pair.approved" }],
  [toGatewayPairing, { t: "pair.confirm" }],
  [
    toNodePairing,
    {
      t: "pair.accepted",
      device: "cc6wtab6rgspd48j",
      gateway: "cc6wtab6rgspd48j",
      name: "n",
      ceiling: [],
    },
  ],
  [toNodePairing, { t: "pair.refused", why: "closed" }],
];
const frame = (t: string) => good.find(([, one]) => one.t === t) ?? good[0]!;
const takes = (schema: v.GenericSchema, value: unknown): boolean => {
  try {
    frameReader(schema)(pack(value));
    return true;
  } catch {
    return false;
  }
};

test("the frames of this test are all there are, and good", () => {
  const kinds = [toNode, toGateway, toNodePairing, toGatewayPairing].flatMap(({ options }) =>
    options.flatMap((one) =>
      (one.type === "variant" ? one.options : [one]).map(({ entries }) => entries.t.literal),
    ),
  );
  expect(good.map(([, { t }]) => t).toSorted()).toEqual([...new Set(kinds)].toSorted());
  expect(good.filter(([schema, one]) => !takes(schema, one))).toEqual([]);
});

test("each frame with a field too many, and with one too few, is refused", () => {
  for (const [schema, one] of good) {
    expect([one.t, takes(schema, { ...one, extra: 1 })]).toEqual([one.t, false]);
    for (const key of Object.keys(one)) {
      const { [key]: _, ...rest } = one;
      expect([one.t, key, takes(schema, rest)]).toEqual([one.t, key, false]);
    }
  }
});

const text = (bytes: number) => "x".repeat(bytes);
const many = (count: number, item: unknown) => Array(count).fill(item);

/** [frame, field, value at the limit, value one above] */
test.for<[string, string, unknown, unknown]>([
  ["hello", "features", many(32, text(32)), many(33, "f")],
  ["hello", "features", [text(32)], [text(33)]],
  ["hello", "name", text(64), text(65)],
  ["hello", "os", text(32), text(33)],
  ["hello", "arch", text(16), text(17)],
  ["hello", "agent", text(32), text(33)],
  ["hello", "kind", "browser", "toaster"],
  ["hello", "last_epoch", 2 ** 53 - 1, 2 ** 53],
  ["hello", "minor", 2 ** 32 - 1, 2 ** 32],
  ["hello", "caps", { hash }, { hash: new Uint8Array(33) }],
  ["welcome", "ping_ms", 60_000, 60_001],
  ["welcome", "gateway", text(64), text(65)],
  ["bye", "text", text(100), text(101)],
  ["bye", "code", "slow-peer", "other"],
  ["bye", "retry_ms", 2 ** 32 - 1, 2 ** 32],
  [
    "capabilities.advertise",
    "caps",
    many(limits.capabilities, offered),
    many(limits.capabilities + 1, offered),
  ],
  ["capabilities.advertise", "part", limits.capabilityParts, limits.capabilityParts + 1],
  ["capabilities.advertise", "parts", 1, 0],
  [
    "capabilities.advertise",
    "caps",
    [{ ...offered, schema: text(8_192) }],
    [{ ...offered, schema: text(8_193) }],
  ],
  [
    "capabilities.advertise",
    "caps",
    [{ ...offered, cap: text(48) }],
    [{ ...offered, cap: text(49) }],
  ],
  [
    "capabilities.advertise",
    "caps",
    [{ ...offered, parallel: 16 }],
    [{ ...offered, parallel: 17 }],
  ],
  [
    "capabilities.advertise",
    "caps",
    [{ ...offered, reason: text(160) }],
    [{ ...offered, reason: text(161) }],
  ],
  [
    "capabilities.advertise",
    "caps",
    [{ ...offered, devices: many(16, device) }],
    [{ ...offered, devices: many(17, device) }],
  ],
  [
    "grants.changed",
    "grants",
    many(64, { cap: text(48), mode: "standing" }),
    many(65, { cap: "c", mode: "standing" }),
  ],
  ["invoke", "ttl_ms", 86_400_000, 86_400_001],
  ["invoke", "ttl_ms", 1, 0],
  ["invoke", "n", 1, 0],
  ["invoke", "cap", text(48), text(49)],
  ["invoke", "why", { origin: "other", text: text(160) }, { origin: "other", text: text(161) }],
  ["invoke", "args", { [text(31)]: 1 }, { [text(32)]: 1 }],
  ["progress", "pct", 100, 101],
  ["progress", "note", text(160), text(161)],
  ["result", "streams", many(8, stream), many(9, stream)],
  ["result", "streams", [{ ...stream, role: text(32) }], [{ ...stream, role: text(33) }]],
  ["result", "streams", [{ ...stream, sha256: hash }], [{ ...stream, sha256: new Uint8Array(31) }]],
  ["error", "text", text(200), text(201)],
  ["error", "code", text(32), text(33)],
  ["ledger.query", "calls", many(64, { call: id, n: 1 }), many(65, { call: id, n: 1 })],
  [
    "ledger.answer",
    "items",
    many(64, { call: id, state: "doubt" }),
    many(65, { call: id, state: "doubt" }),
  ],
  ["event", "name", text(48), text(49)],
  ["stream.open", "ch", 2 ** 32 - 1, 2 ** 32],
  ["stream.open", "ch", 1, 0],
  ["stream.open", "type", `a/${text(62)}`, `a/${text(63)}`],
  ["stream.end", "sha256", hash, new Uint8Array(33)],
  ["pair.begin", "caps", many(64, text(48)), many(65, "c")],
  ["pair.begin", "commit", hash, new Uint8Array(16)],
  ["pair.nonce", "nonce", new Uint8Array(16), new Uint8Array(17)],
  ["pair.refused", "why", text(32), text(33)],
])("%s.%s", ([t, field, limit, above]) => {
  const [schema, one] = frame(t);
  expect([
    takes(schema, { ...one, [field]: limit }),
    takes(schema, { ...one, [field]: above }),
  ]).toEqual([true, false]);
});

test("the table is the document's", () => {
  expect(limits).toMatchObject({
    ...{
      rawBytesBeforeAuth: 4 * 1_024,
      rawBytesWhilePairing: 16 * 1_024,
      controlBytes: 64 * 1_024,
      chunkBytes: 256 * 1_024,
    },
    ...{
      frameBytes: 1 + 12 + 262_144 + 16,
      rolloverFrames: 2 ** 20,
      hardStopFrames: 2 ** 21,
      rolloverMs: 86_400_000,
    },
    ...{
      creditFirst: 512 * 1_024,
      creditPerStream: 1_048_576,
      creditPerLink: 4 * 1_048_576,
      streamsPerLink: 16,
    },
    ...{
      queueSoftBytes: 1_048_576,
      queueHardBytes: 4 * 1_048_576,
      callsPerDevice: 64,
      pairFrameBytes: 4_096,
    },
    ...{
      argsBytes: 32 * 1_024,
      outBytes: 48 * 1_024,
      eventBytes: 8 * 1_024,
      strangersPerSource: 5,
      strangers: 256,
    },
  });
});
