import { systemRng } from "@kith/shared/clock";
import { newId } from "@kith/shared/ids";
import type { Frame } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import type { DeviceLink, TerminalViewer } from "@kith/gateway/devices/link";
import { describe, expect, test } from "vitest";
import { type NodeEnd, type World, connected, fakeClock, world } from "./world.ts";

const id = () => newId(fakeClock(), systemRng);

class Viewer implements TerminalViewer {
  from: number | undefined;
  text = "";
  ended = 0;
  opened(from: number): void {
    this.from = from;
  }
  output(bytes: Uint8Array): void {
    this.text += Buffer.from(bytes).toString();
  }
  closed(): void {
    this.ended++;
  }
}

const SIZE = { columns: 80, rows: 24 };

async function start(): Promise<{ home: World; end: NodeEnd; link: DeviceLink; call: string }> {
  const home = await world();
  const end = await connected(home);
  const link = await home.until(() => home.heard.up[0]);
  return { home, end, link, call: id() };
}

const shown = (call: string, ch = 1, change: object = {}): Frame =>
  ({
    ...{ t: "stream.open", stream: id(), ch, call, role: "tty-out", live: true, size: 0 },
    type: "application/octet-stream",
    ...change,
  }) as Frame;

/** Nothing else on the link comes before what was sent earlier. */
async function heardAll(end: NodeEnd): Promise<void> {
  end.say({ t: "ping", n: ++pings });
  await end.hears("pong");
}
let pings = 0;

test("a terminal is asked for by its size and a live stream, and its output goes to the viewer", async () => {
  const { home, end, link, call } = await start();
  await using _ = home;
  const viewer = new Viewer();
  link.watch(call, SIZE, undefined, viewer);
  expect(await end.hears("event")).toMatchObject({ name: "tty.size", data: { call, ...SIZE } });
  const typing = await end.hears("stream.open");
  expect(typing).toMatchObject({ call, role: "tty-in", live: true });
  expect(typing.ch % 2).toBe(0);
  end.say(shown(call, 1, { size: 7 }));
  expect(await end.hears("stream.credit")).toEqual({
    ...{ t: "stream.credit", ch: 1, from: 0, upto: limits.creditLive },
  });
  expect(viewer.from).toBe(0);
  end.channel.sendChunk(1, 0, Buffer.from("$ hello"));
  await heardAll(end);
  expect(viewer.text).toBe("$ hello");
  end.say({ t: "stream.end", ch: 1, size: 7 });
  expect(await end.hears("stream.end")).toMatchObject({ ch: typing.ch });
  expect(viewer.ended).toBe(1);
});

test.for([
  [undefined, 1_000_000, 1_000_000 - limits.terminalKept],
  [5, 1_000_000, 1_000_000 - limits.terminalKept],
  [999_000, 1_000_000, 999_000],
  [2_000_000, 1_000_000, 1_000_000],
  [undefined, 10, 0],
])("a viewer that was at %j of %i goes on at %i", async ([from, size, expected]) => {
  const { home, end, link, call } = await start();
  await using _ = home;
  const viewer = new Viewer();
  link.watch(call, SIZE, from, viewer);
  await end.hears("stream.open");
  end.say(shown(call, 1, { size }));
  expect(await end.hears("stream.credit")).toMatchObject({ from: expected });
  expect(viewer.from).toBe(expected);
});

test("what is typed leaves under the device's credit, in order", async () => {
  const { home, end, link, call } = await start();
  await using _ = home;
  const watched = link.watch(call, SIZE, undefined, new Viewer());
  const { ch } = await end.hears("stream.open");
  const typed = [watched.type(Buffer.from("abc")), watched.type(Buffer.from("def"))];
  let taken = 0;
  for (const one of typed) one.then((yes) => (taken += yes ? 1 : 0));
  await heardAll(end);
  expect(taken).toBe(0);
  end.say({ t: "stream.credit", ch, upto: 4, from: 0 });
  await typed[0];
  expect(taken).toBe(1);
  watched.close();
  expect(await typed[1]).toBe(false);
  expect(await end.hears("stream.end")).toMatchObject({ ch, size: 4 });
  expect(await watched.type(Buffer.from("more"))).toBe(false);
});

test("a device gets more credit only for what its viewer has taken", async () => {
  const { home, end, link, call } = await start();
  await using _ = home;
  const watched = link.watch(call, SIZE, undefined, new Viewer());
  await end.hears("stream.open");
  end.say(shown(call));
  await end.hears("stream.credit");
  end.channel.sendChunk(1, 0, Buffer.alloc(limits.creditLive));
  await heardAll(end);
  expect(end.frames.filter(({ t }) => t === "stream.credit")).toEqual([]);
  watched.taken(limits.creditLive / 4 - 1);
  watched.taken(1);
  expect(await end.hears("stream.credit")).toMatchObject({ upto: limits.creditLive * 1.25 });
});

test("a newer viewer takes over, and what is under way for the older one is dropped", async () => {
  const { home, end, link, call } = await start();
  await using _ = home;
  const [first, second] = [new Viewer(), new Viewer()];
  link.watch(call, SIZE, undefined, first);
  await end.hears("stream.open");
  end.say(shown(call));
  await end.hears("stream.credit");
  link.watch(call, SIZE, undefined, second);
  await end.hears("stream.end");
  await end.hears("stream.open");
  end.channel.sendChunk(1, 0, Buffer.from("late"));
  end.say({ t: "stream.end", ch: 1, size: 4 }, shown(call, 3, { size: 4 }));
  await end.hears("stream.credit");
  end.channel.sendChunk(3, 0, Buffer.from("again"));
  await heardAll(end);
  expect([first.text, second.text]).toEqual(["", "again"]);
});

test("no more than four terminals of a device are watched at once", async () => {
  const { home, link } = await start();
  await using _ = home;
  for (let n = 0; n < limits.terminalsPerLink; n++) link.watch(id(), SIZE, undefined, new Viewer());
  expect(() => link.watch(id(), SIZE, undefined, new Viewer())).toThrow(
    expect.objectContaining({ code: "rate" }),
  );
});

test("an ended call and an ended link close the viewer", async () => {
  const { home, end, link, call } = await start();
  await using _ = home;
  const [first, second] = [new Viewer(), new Viewer()];
  link.watch(call, SIZE, undefined, first);
  const other = id();
  link.watch(other, SIZE, undefined, second);
  link.forget(call);
  expect([first.ended, second.ended]).toEqual([1, 0]);
  end.ws.terminate();
  await home.until(() => home.heard.down[0]);
  expect([first.ended, second.ended]).toEqual([1, 1]);
});

describe("a live stream that nobody asked for is refused:", () => {
  test.for<[string, (call: string) => Frame]>([
    ["of a call that nobody watches", () => shown(id())],
    ["with another role", (call) => shown(call, 1, { role: "tty-in" })],
    ["with another type", (call) => shown(call, 1, { type: "text/plain" })],
  ])("%s", async ([, frame]) => {
    const { home, end, link, call } = await start();
    await using _ = home;
    const viewer = new Viewer();
    link.watch(call, SIZE, undefined, viewer);
    end.say(frame(call));
    expect(await end.hears("error")).toMatchObject({ code: "gone" });
    expect(viewer.from).toBeUndefined();
  });

  test("a second one for the same watcher", async () => {
    const { home, end, link, call } = await start();
    await using _ = home;
    link.watch(call, SIZE, undefined, new Viewer());
    end.say(shown(call), shown(call, 3));
    expect(await end.hears("error")).toMatchObject({ code: "gone" });
  });
});

describe("breaks the rules and ends the link with 4400:", () => {
  test.for<[string, (end: NodeEnd, call: string) => void]>([
    [
      "output beyond the credit",
      (end) => {
        end.channel.sendChunk(1, 0, Buffer.alloc(limits.creditLive));
        end.channel.sendChunk(1, limits.creditLive, Buffer.from("a"));
      },
    ],
    ["output at another offset", (end) => end.channel.sendChunk(1, 1, Buffer.from("a"))],
    ["an even channel", (end, call) => void end.say(shown(call, 4))],
    ["a channel twice", (end, call) => void end.say(shown(call, 1))],
    [
      "a channel of content",
      (end, call) => void end.say(shown(call, 1, { live: false, role: "image" })),
    ],
  ])("%s", async ([, act]) => {
    const { home, end, link, call } = await start();
    await using _ = home;
    link.watch(call, SIZE, undefined, new Viewer());
    await end.hears("stream.open");
    end.say(shown(call));
    await end.hears("stream.credit");
    act(end, call);
    expect(await end.closed).toBe(4400);
  });
});
