/** Content from the gateway: opened early or late, over links that drop, and refused where nobody takes it. */
import { Incoming } from "@kith/node-agent/incoming";
import { KithError } from "@kith/shared/errors";
import { limits } from "@kith/shared/protocol/limits";
import type { Frame } from "@kith/shared/protocol/frames";
import { expect, test } from "vitest";
import { Kept, sha256 } from "../support/kept.ts";
import { until } from "../support/until.ts";

const call = "01K3V9QZ6T0R8M4X2C7B5N1PWD";
const content = new Uint8Array(700_000).map((_, at) => at % 251);

/** A device on its first link. `sink` is that of the newest link. */
function start(most = content.length) {
  const incoming = new Incoming();
  const sent: Frame[] = [];
  const link = { send: (frame: Frame) => void sent.push(frame) };
  const stop = new AbortController();
  let stored = new Uint8Array(0);
  const sinks: Kept[] = [];
  const open = async () => {
    stored = Uint8Array.from(sinks.at(-1)?.bytes ?? stored);
    const sink = new Kept(stored);
    sinks.push(sink);
    return sink;
  };
  incoming.attach(link);
  const credits = () => sent.filter(({ t }) => t === "stream.credit").length;
  return {
    ...{ incoming, sent, sinks, stop, open },
    receive: () => incoming.receive(call, most, open, stop.signal),
    relink: () => {
      incoming.detach();
      sent.length = 0;
      incoming.attach(link);
    },
    /** The gateway opens, and hears from where to send. */
    async offer(ch: number, size = content.length) {
      const before = credits();
      incoming.open({
        ...{ t: "stream.open", stream: call, ch, call, role: "content" },
        ...{ type: "application/octet-stream", size, live: false },
      });
      await until("the first credit", () => credits() > before);
      return sent.findLast((frame) => frame.t === "stream.credit");
    },
    send: (ch: number, from: number, to: number) =>
      incoming.chunk(ch, from, content.slice(from, to)),
    end: (ch: number) => incoming.end(ch, content.length, sha256(content)),
  };
}

test("the driver waits, the gateway opens: it has the content whole", async () => {
  const device = start();
  const whole = device.receive();
  expect(await device.offer(2)).toMatchObject({ from: 0, upto: limits.creditFirst });
  device.send(2, 0, 300_000);
  device.send(2, 300_000, limits.creditFirst);
  await until("more credit", () => device.sent.length > 1);
  device.send(2, limits.creditFirst, content.length);
  device.end(2);
  await whole;
  expect(Buffer.compare(device.sinks[0]?.bytes ?? new Uint8Array(), content)).toBe(0);
  expect(device.sent.at(-1)).toMatchObject({ t: "stream.done", ch: 2, size: content.length });
});

test("the gateway may open before the driver is ready", async () => {
  const device = start();
  const offered = device.offer(2);
  const whole = device.receive();
  await offered;
  device.send(2, 0, limits.creditFirst);
  await until("more credit", () => device.sent.length > 1);
  device.send(2, limits.creditFirst, content.length);
  device.end(2);
  await whole;
});

test("a link drops: the next one goes on where the sink stands, and the old one is let go of first", async () => {
  const device = start();
  const whole = device.receive();
  await device.offer(2);
  device.send(2, 0, 200_000);
  await until("a write", () => device.sinks[0]?.length === 200_000);
  device.relink();
  expect(await device.offer(2)).toMatchObject({ from: 200_000 });
  expect(device.sinks[0]).toMatchObject({ closed: 1, discarded: 0 });
  device.send(2, 200_000, content.length);
  device.end(2);
  await whole;
  expect(Buffer.compare(device.sinks[1]?.bytes ?? new Uint8Array(), content)).toBe(0);
});

test.for([
  [
    "the gateway gives it up",
    "gone",
    (device: ReturnType<typeof start>) => device.incoming.givenUp(call, "gone", "it is gone"),
  ],
  [
    "the call is stopped",
    "cancelled",
    (device: ReturnType<typeof start>) => device.stop.abort(new KithError("cancelled", "stopped")),
  ],
  [
    "it is another content",
    "hash-mismatch",
    (device: ReturnType<typeof start>) => device.incoming.end(2, 200_000, new Uint8Array(32)),
  ],
] as const)("%s: the driver hears %s, and what was there goes", async ([, code, how]) => {
  const device = start();
  const whole = device.receive();
  const refused = expect(whole).rejects.toMatchObject({ code });
  await device.offer(2);
  device.send(2, 0, 200_000);
  await until("a write", () => device.sinks[0]?.length === 200_000);
  how(device);
  await refused;
  expect(device.sinks[0]?.discarded).toBeGreaterThan(0);
  // What was under way when it ended is no broken rule; more than was granted is.
  device.send(2, 200_000, 300_000);
  expect(() => device.incoming.chunk(2, 0, new Uint8Array(limits.creditPerStream))).toThrow(
    expect.objectContaining({ code: "schema" }),
  );
});

test("more than the capability takes is refused before a byte is stored", async () => {
  const device = start(1_000);
  const refused = expect(device.receive()).rejects.toMatchObject({ code: "too-big" });
  device.incoming.open({
    ...{ t: "stream.open", stream: call, ch: 2, call, role: "content" },
    ...{ type: "application/octet-stream", size: 1_001, live: false },
  });
  await refused;
  expect(device.sent.some(({ t }) => t === "stream.credit")).toBe(false);
});

test("a gateway that breaks the rules ends its link, and no more", async () => {
  const device = start();
  const whole = device.receive();
  await device.offer(2);
  const schema = expect.objectContaining({ code: "schema" });
  const opened = { t: "stream.open", stream: call, call, role: "content", live: false } as const;
  const again = { ...opened, type: "text/plain" } as const;
  expect(() => device.incoming.open({ ...again, ch: 2 })).toThrow(schema);
  expect(() => device.incoming.open({ ...again, ch: 4 })).toThrow(schema);
  expect(() => device.incoming.open({ ...again, ch: 3 })).toThrow(schema);
  expect(() => device.incoming.chunk(6, 0, new Uint8Array(1))).toThrow(schema);
  expect(() => device.incoming.end(6, 0, new Uint8Array(32))).toThrow(schema);
  expect(() => device.send(2, 5, 10)).toThrow(schema);
  device.relink();
  await device.offer(2);
  device.send(2, 0, limits.creditFirst);
  await until("more credit", () => device.sent.length > 1);
  device.send(2, limits.creditFirst, content.length);
  device.end(2);
  await whole;
});

test("an offer for a call that took nothing is refused when the call is over", async () => {
  const device = start();
  device.incoming.open({
    ...{ t: "stream.open", stream: call, ch: 2, call, role: "content" },
    ...{ type: "text/plain", live: false },
  });
  device.incoming.forget(call);
  expect(device.sent).toMatchObject([{ t: "error", stream: call, code: "gone" }]);
});
