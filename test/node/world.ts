/**
 * A node on a real disk with fake drivers and a clock that moves only when told, and the far
 * end of its links in memory: sealed frames, no socket.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cameraSnap } from "@kith/shared/capabilities/camera";
import { deviceInfo } from "@kith/shared/capabilities/device";
import { filesRead } from "@kith/shared/capabilities/files";
import { shellOpen } from "@kith/shared/capabilities/shell";
import { type Clock, type Rng, systemRng } from "@kith/shared/clock";
import { newId } from "@kith/shared/ids";
import { importKey } from "@kith/shared/noise/cipher";
import type { Invoke } from "@kith/shared/protocol/call";
import { Channel, type ChannelKeys } from "@kith/shared/protocol/channel";
import { type Frame, toGateway, toNode } from "@kith/shared/protocol/frames";
import type { Hello } from "@kith/shared/protocol/session";
import type { Transport } from "@kith/shared/transport";
import { Home } from "@kith/node-agent/config";
import { Consent } from "@kith/node-agent/consent";
import type { AnyDriver, Tools } from "@kith/node-agent/drivers/driver";
import { Ledger } from "@kith/node-agent/ledger";
import { Link } from "@kith/node-agent/link";
import { notices } from "@kith/node-agent/notice";
import type { AgentEvent } from "@kith/node-agent/events";
import { Incoming } from "@kith/node-agent/incoming";
import { Outgoing } from "@kith/node-agent/outgoing";
import { Policy } from "@kith/node-agent/policy";
import { Server } from "@kith/node-agent/serve";
import type { Wire } from "@kith/node-agent/socket";
import { Peer } from "./gateway.ts";

/** Time that moves only when told. */
export class FakeClock implements Clock {
  #mono = 1_000;
  /** Wall minus monotonic; a test moves it to let the machine sleep. */
  offset = 1_700_000_000_000;
  readonly #timers = new Set<{ due: number; fn: () => void }>();

  now = () => this.#mono + this.offset;
  mono = () => this.#mono;

  after = (ms: number, fn: () => void) => {
    const timer = { due: this.#mono + ms, fn };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };

  pass(ms: number): void {
    const until = this.#mono + ms;
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.due - b.due)[0];
      if (!next || next.due > until) break;
      this.#timers.delete(next);
      this.#mono = Math.max(this.#mono, next.due);
      next.fn();
    }
    this.#mono = until;
  }
}

/** Lets everything that waits for the disk or for a turn go on, until nothing more happens. */
export async function settle(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits for something that will come; the test's own patience is the bound. */
export async function until(look: () => unknown): Promise<void> {
  while (!look()) await settle(1);
}

/** A folder that is gone after the test. */
export async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "kith-node-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** What a fake driver does; a test replaces it. */
export type Run = (args: Record<string, unknown>, tools: Tools) => Promise<unknown>;

export const photo = new Uint8Array(300_000).map((_, at) => (at * 7) & 255);

const snapOut = { taken_at_ms: 1, camera: "fake", width_px: 4, height_px: 3 };
export const snap: Run = async (_args, tools) => {
  await tools.notice("photo: fake");
  tools.stream("image", "image/jpeg", { bytes: photo });
  return snapOut;
};
export const info: Run = async () => ({
  os: "linux",
  release: "1",
  arch: "x64",
  cpus: 1,
  memory_bytes: 1,
  agent: "test",
});

const driver = (
  capability: unknown,
  run: { current: Run; runs: number },
  parallel = 1,
  maxMs = 600_000,
): AnyDriver => ({
  capability: capability as AnyDriver["capability"],
  parallel,
  maxMs,
  probe: () => Promise.resolve({ state: "ready" }),
  run: (args: unknown, tools) => {
    run.runs++;
    return run.current(args as Record<string, unknown>, tools) as never;
  },
});

let calls = 0;
/** An id26 that says what it is. */
export const id = (name: string) =>
  name
    .toUpperCase()
    .replaceAll(/[ILOU]/g, "X")
    .padEnd(26, "Z")
    .slice(0, 26);

export interface NodeWorld extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly home: Home;
  readonly events: AgentEvent[];
  readonly logged: unknown[];
  /** Nobody can see what the agent says. */
  mute: boolean;
  readonly snap: { current: Run; runs: number };
  readonly info: { current: Run; runs: number };
  readonly files: { current: Run; runs: number };
  readonly shell: { current: Run; runs: number };
  readonly consent: Consent;
  readonly policy: Policy;
  readonly server: Server;
  readonly ledger: Ledger;
  readonly outgoing: Outgoing;
  /** The node's end of the newest link. */
  readonly link: Link;
  /** A new link, welcomed; returns the gateway's end. */
  connect(): Promise<Peer>;
  /** A new link without its welcome. */
  dial(): Peer;
  /** Drops the link without a word. */
  cut(): void;
  /** The process ends without a word and starts again on the same disk. */
  crash(): Promise<void>;
  /** Passes time in steps in which both sides can speak. */
  live(ms: number): Promise<void>;
  /** An invoke of this epoch that is allowed, with changes. */
  invoke(change?: Partial<Invoke>): Invoke;
}

export async function node(
  policy: Record<string, "ask" | "allow"> = {
    "camera.snap": "allow",
    "device.info": "allow",
    "files.read": "allow",
    "shell.open": "allow",
  },
): Promise<NodeWorld> {
  const place = await folder();
  const clock = new FakeClock();
  const rng: Rng = systemRng;
  const home = await Home.open(join(place.path, "node"), { name: "laptop", kind: "laptop" });
  await home.save({ policy });
  const events: AgentEvent[] = [];
  const logged: unknown[] = [];
  const muted = { now: false };
  const runs = {
    snap: { current: snap, runs: 0 },
    info: { current: info, runs: 0 },
    files: { current: info, runs: 0 },
    shell: { current: info, runs: 0 },
  };
  const drivers = [
    driver(cameraSnap, runs.snap),
    driver(deviceInfo, runs.info, 2, 5_000),
    driver(filesRead, runs.files, 4),
    driver(shellOpen, runs.shell, 4, shellOpen.ttlMs),
  ];
  let epoch = 0;
  let n = 0;
  let drop = () => {};

  async function start() {
    const ledger = await Ledger.open(home.path("ledger.log"), clock, rng);
    const outgoing = new Outgoing(home.path("spool"), clock, rng);
    const incoming = new Incoming();
    await outgoing.recover(ledger.streams());
    const consent = new Consent(clock);
    const rules = new Policy(home, clock);
    const say = (event: AgentEvent) =>
      muted.now ? Promise.reject(new Error("EPIPE")) : Promise.resolve(void events.push(event));
    const log = (error: unknown) => void logged.push(error);
    const server = new Server({
      drivers,
      policy: rules,
      ledger,
      consent,
      outgoing,
      incoming,
      notices: notices(say, clock),
      clock,
      log,
    });
    return { ledger, outgoing, incoming, consent, policy: rules, server };
  }
  let parts = await start();
  let link: Link | undefined;

  const world: NodeWorld = {
    ...{ clock, home, events, logged, ...runs },
    get mute() {
      return muted.now;
    },
    set mute(now) {
      muted.now = now;
    },
    get consent() {
      return parts.consent;
    },
    get policy() {
      return parts.policy;
    },
    get server() {
      return parts.server;
    },
    get ledger() {
      return parts.ledger;
    },
    get outgoing() {
      return parts.outgoing;
    },
    get link() {
      if (!link) throw new Error("no link yet");
      return link;
    },
    dial() {
      const { peer, wire, keys, lose } = pipe();
      drop = lose;
      const hello: Hello = {
        ...{
          t: "hello",
          minor: 0,
          features: [],
          name: "laptop",
          kind: "laptop",
          os: "linux",
          arch: "x64",
          agent: "test",
        },
        ...{ boot: newId(clock, rng), ledger: parts.ledger.id, last_epoch: home.epoch },
      };
      const open = (on: ConstructorParameters<typeof Channel<typeof toNode>>[3]) =>
        new Channel(wire, keys, toNode, on, queueMicrotask);
      link = new Link(wire, open, hello, {
        clock,
        rng,
        home,
        server: parts.server,
        outgoing: parts.outgoing,
        incoming: parts.incoming,
        ready: () => {},
      });
      return peer;
    },
    async connect() {
      const peer = world.dial();
      await peer.welcome((epoch = Math.max(epoch, home.epoch) + 1));
      while (link?.epoch !== epoch) await settle(1);
      return peer;
    },
    cut: () => drop(),
    async live(ms) {
      for (let left = ms; left > 0; left -= 2_000) {
        clock.pass(Math.min(2_000, left));
        await settle(5);
      }
    },
    async crash() {
      drop();
      // The old process writes nothing more: its ledger file is closed under it.
      parts.outgoing.stop();
      await parts.ledger.close();
      parts = await start();
    },
    invoke: (change = {}) => ({
      ...{
        t: "invoke",
        call: id(`CA${++calls}`),
        n: ++n,
        epoch,
        cap: "camera.snap",
        v: 1,
        args: {},
        effect: "idempotent",
      },
      ...{
        ttl_ms: 15_000,
        seen: 0,
        grant: id(`GR${calls}`),
        why: { origin: "owner", text: "a photo" },
        max_bytes: 33_554_432,
      },
      ...change,
    }),
    async [Symbol.asyncDispose]() {
      drop();
      await settle();
      parts.outgoing.stop();
      await parts.ledger.close().catch(() => {});
      await place[Symbol.asyncDispose]();
    },
  };
  return world;
}

/** Two ends of a link: the node's wire, and a gateway's channel behind a `Peer`. */
function pipe(): { peer: Peer; wire: Wire; keys: ChannelKeys; lose: () => void } {
  const peer = new Peer();
  const [up, down] = [key(), key()];
  const closed = Promise.withResolvers<number>();
  let open = true;
  let toNodeSide: (message: Uint8Array) => void = () => {};
  const lose = (code = 1006): void => {
    if (!open) return;
    open = false;
    closed.resolve(code);
    peer.gone(code);
  };
  const carry = (to: (message: Uint8Array) => void) => (bytes: Uint8Array) => {
    const copy = new Uint8Array(bytes);
    setImmediate(() => open && to(copy));
  };
  const still = { buffered: 0, pause: () => {}, resume: () => {} };
  // Our own last words still arrive: a close follows what was sent before it.
  const close = (code: number) => void setImmediate(() => lose(code));
  const wire: Wire = {
    ...{
      ...still,
      address: "memory",
      remote: "",
      closed: closed.promise,
      close,
      terminate: () => close(1006),
    },
    send: carry((message) => channel.receive(message)),
    next: () => Promise.reject(new Error("no handshake here")),
    deliver: (to) => void (toNodeSide = to),
  };
  const far: Transport = {
    ...still,
    close,
    terminate: () => close(1006),
    send: carry((message) => toNodeSide(message)),
  };
  const channel: Channel<typeof toGateway> = new Channel(
    far,
    { send: down, receive: up },
    toGateway,
    {
      onFrame: (frame) => {
        if (frame.t === "ping" && peer.answersPings) channel.send({ t: "pong", n: frame.n });
        peer.take(frame);
      },
      onChunk: (ch, offset, data) => peer.take({ t: "chunk", ch, offset, data }),
      onMalformed: (error) => void Promise.reject(error),
      onFault: (code) => lose(code),
      onRollover: () => {},
    },
    queueMicrotask,
  );
  peer.bind((frame: Frame) => channel.send(frame));
  peer.chunk = (ch, offset, data) => channel.sendChunk(ch, offset, data);
  return { peer, wire, keys: { send: up, receive: down }, lose };
}

const key = () => importKey(randomBytes(32)) as ChannelKeys["send"];
