import { Presence } from "@kith/gateway/devices/presence";
import type { DeviceLink, TerminalViewer, Watched } from "@kith/gateway/devices/link";
import type { Call } from "@kith/gateway/invocations/call";
import { type Closed, Terminals } from "@kith/gateway/operators/terminals";
import { KithError } from "@kith/shared/errors";
import { describe, expect, test } from "vitest";

const ID = "01JCQ0000000000000000000CA";
const SIZE = { columns: 80, rows: 24 };

/** A device's link, as far as terminals look at it. */
class Link implements Pick<DeviceLink, "device" | "epoch" | "watch"> {
  readonly device = "laptop0000000000";
  epoch = 1;
  viewer: TerminalViewer | undefined;
  readonly said: string[] = [];
  refuses: KithError | undefined;

  watch(
    call: string,
    size: typeof SIZE,
    from: number | undefined,
    viewer: TerminalViewer,
  ): Watched {
    if (this.refuses) throw this.refuses;
    this.said.push(`watch ${call.slice(-2)} ${size.columns}x${size.rows} from ${from}`);
    this.viewer = viewer;
    return {
      type: (bytes) => (
        this.said.push(`typed ${Buffer.from(bytes).toString()}`),
        Promise.resolve(true)
      ),
      resize: (now) => void this.said.push(`size ${now.columns}x${now.rows}`),
      taken: (bytes) => void this.said.push(`taken ${bytes}`),
      close: () => void this.said.push("close"),
    };
  }
}

function start(change: Partial<Call> = {}) {
  const calls = new Map<string, Call>();
  const presence = new Presence();
  let hear: (data: { call: Call }) => void = () => {};
  const terminals = new Terminals({
    runtime: { on: (_, fn) => ((hear = fn as typeof hear), () => {}) },
    calls: { get: (id) => calls.get(id), list: () => [...calls.values()] },
    presence,
  });
  const link = new Link();
  const keep = (now: Partial<Call>) => {
    const call = { ...calls.get(ID), ...now } as Call;
    calls.set(ID, call);
    hear({ call });
    return new Promise((resolve) => setImmediate(resolve));
  };
  const up = (epoch = 1) => {
    link.epoch = epoch;
    presence.up(link as unknown as DeviceLink);
  };
  void keep({
    ...{ id: ID, cap: "shell.open", device: link.device, name: "laptop", state: "sent", epoch: 1 },
    ...change,
  });
  const screen = () => {
    const said: string[] = [];
    const ends: Closed[] = [];
    let gate: Promise<void> = Promise.resolve();
    return {
      said,
      ends,
      hold: (until: Promise<void>) => void (gate = until),
      state: (open: boolean, why: string) => void said.push(open ? "open" : `waits: ${why}`),
      output: (text: string, at: number) => (said.push(`${text} @${at}`), gate),
      closed: (end: Closed) => void (said.push(`closed: ${end.why}`), ends.push(end)),
    };
  };
  return { terminals, link, keep, up, screen };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));
const bytes = (text: string) => Buffer.from(text);

test("a viewer sees the filtered output with the byte at which it would go on, and types", async () => {
  const { terminals, link, up, screen } = start();
  up();
  const mine = screen();
  const seat = terminals.attach(ID, SIZE, undefined, mine);
  link.viewer?.opened(0);
  link.viewer?.output(bytes("hi\x1b]52;c;?\x07\x1b[3"));
  await settle();
  link.viewer?.output(bytes("1mred"));
  await settle();
  // The second line begins with the sequence that was held: whoever goes on, goes on before it.
  expect(mine.said).toEqual(["open", "hi @11", "\x1b[31mred @19"]);
  expect(await seat.type(bytes("ls\r"))).toBe(true);
  seat.resize({ columns: 100, rows: 30 });
  expect(link.said).toEqual([
    "watch CA 80x24 from undefined",
    ...["taken 14", "taken 5", "typed ls\r", "size 100x30"],
  ]);
});

test("a device gets credit when the operator's socket has taken the output, not before", async () => {
  const { terminals, link, up, screen } = start();
  up();
  const mine = screen();
  const gate = Promise.withResolvers<void>();
  mine.hold(gate.promise);
  terminals.attach(ID, SIZE, undefined, mine);
  link.viewer?.opened(0);
  for (const part of ["a", "b", "c"]) link.viewer?.output(bytes(part));
  await settle();
  expect(mine.said).toEqual(["open", "a @1"]);
  expect(link.said).not.toContain("taken 1");
  gate.resolve();
  await settle();
  // What came meanwhile shares a line.
  expect(mine.said).toEqual(["open", "a @1", "bc @3"]);
  expect(link.said.slice(1)).toEqual(["taken 1", "taken 2"]);
});

describe("a viewer waits", () => {
  test("until its call is permitted and sent", async () => {
    const { terminals, link, keep, up, screen } = start({ state: "asked" });
    up();
    const mine = screen();
    terminals.attach(ID, SIZE, undefined, mine);
    expect(mine.said[0]).toContain("permission");
    await keep({ state: "sent" });
    expect(link.said).toEqual(["watch CA 80x24 from undefined"]);
  });

  test("until the ledgers were compared on a new link, and goes on before what it has not seen", async () => {
    const { terminals, link, keep, up, screen } = start();
    up();
    const mine = screen();
    const gate = Promise.withResolvers<void>();
    terminals.attach(ID, SIZE, 100, mine);
    link.viewer?.opened(100);
    link.viewer?.output(bytes("seen\x1b["));
    await settle();
    mine.hold(gate.promise);
    link.viewer?.output(bytes("1m!"));
    link.viewer?.output(bytes("never shown"));
    link.viewer?.closed();
    up(2);
    await settle();
    expect(mine.said.at(-1)).toContain("waits");
    await keep({ epoch: 2 });
    expect(link.said.at(-1)).toBe("watch CA 80x24 from 109");
    link.viewer?.opened(109);
    gate.resolve();
    link.viewer?.output(bytes("again"));
    await settle();
    expect(mine.said.slice(-2)).toEqual(["open", "again @114"]);
    expect(mine.said).toContain("\x1b[1m! @109");
  });
});

test("a second viewer takes over, and the first is told", async () => {
  const { terminals, link, up, screen } = start();
  up();
  const [first, second] = [screen(), screen()];
  const seat = terminals.attach(ID, SIZE, undefined, first);
  terminals.attach(ID, SIZE, undefined, second);
  expect(first.ends).toMatchObject([{ why: "taken" }]);
  link.viewer?.opened(0);
  seat.leave();
  link.viewer?.output(bytes("x"));
  await settle();
  expect(second.said).toEqual(["open", "x @1"]);
});

describe("a viewer is closed", () => {
  test("when the shell ended, after its last output", async () => {
    const { terminals, link, keep, up, screen } = start();
    up();
    const mine = screen();
    const gate = Promise.withResolvers<void>();
    mine.hold(gate.promise);
    terminals.attach(ID, SIZE, undefined, mine);
    link.viewer?.opened(0);
    link.viewer?.output(bytes("a"));
    link.viewer?.output(bytes("bye"));
    await keep({ state: "done", out: { end: "exit", exit_code: 3 } });
    expect(mine.ends).toEqual([]);
    gate.resolve();
    await settle();
    expect(mine.said.slice(1)).toEqual(["a @1", "bye @4", "closed: ended"]);
    expect(mine.ends[0]?.text).toBe("The shell of laptop ended with code 3.");
  });

  test("with the reason when its rights ended", async () => {
    const { terminals, keep, up, screen } = start();
    up();
    const mine = screen();
    terminals.attach(ID, SIZE, undefined, mine);
    const failure = {
      code: "revoked",
      message: "the device was revoked",
      effect: "unknown",
    } as const;
    await keep({ state: "unknown", failure });
    expect(mine.ends).toMatchObject([{ why: "failed", error: { code: "revoked" } }]);
  });

  test("when the device has too many", () => {
    const { terminals, link, up, screen } = start();
    up();
    link.refuses = new KithError("rate", "too many");
    const mine = screen();
    terminals.attach(ID, SIZE, undefined, mine);
    expect(mine.ends).toMatchObject([{ why: "failed", error: { code: "rate" } }]);
  });
});

test("only a terminal that is open, or waits to be, can be watched", () => {
  for (const change of [{ state: "unknown" }, { cap: "shell.run" }] as const) {
    const { terminals, screen } = start(change);
    expect(() => terminals.attach(ID, SIZE, undefined, screen())).toThrow(
      expect.objectContaining({ code: "call-unknown" }),
    );
  }
});
