/**
 * One gateway, assembled. Started from the ground up, stopped in reverse: nothing comes in
 * before it can be handled.
 *
 *   store ─ runtime ─ performers ─ calls, devices, pairing ─ mesh ─ control socket
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { catalogue } from "@kith/shared/capabilities/index";
import { type Clock, type Rng, systemClock, systemRng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { hex, keyId, newId } from "@kith/shared/ids";
import { times } from "@kith/shared/protocol/limits";
import { SleepWatch } from "@kith/shared/sleep";
import { Console } from "./channels/console.ts";
import { inbox } from "./channels/inbox.ts";
import { type Config, readConfig } from "./config.ts";
import { pairingHandlers } from "./devices/pairing.ts";
import { Presence } from "./devices/presence.ts";
import { latestTime } from "./grants/latest.ts";
import { fingerprinter } from "./audit/fingerprint.ts";
import { SAFE_MODE, countStart } from "./invocations/boots.ts";
import { type Call, ended } from "./invocations/call.ts";
import { Calls } from "./invocations/calls.ts";
import { linkHandlers } from "./invocations/links.ts";
import { Sending } from "./invocations/sending.ts";
import { Waiting } from "./operators/waiting.ts";
import { loadKeys } from "./keys.ts";
import { kinds } from "./kinds.ts";
import { fileLog } from "./log.ts";
import { MediaStore } from "./media/media.ts";
import { type Mesh, startMesh } from "./mesh/server.ts";
import { commandModel } from "./model/commands.ts";
import type { Turn } from "./model/model.ts";
import { startControl } from "./operators/control.ts";
import { methods } from "./operators/methods.ts";
import { controlPath, privateFolder, windows } from "./platform.ts";
import type { ActorId, Event } from "./runtime/effect.ts";
import { Runtime } from "./runtime/runtime.ts";
import { type ChatMessage, question } from "./sessions/words.ts";
import { Pulse } from "./store/stall.ts";
import { openStore } from "./store/store.ts";

export const VERSION = "0.1.0";

/** After a start, devices may be on their way back for so long: calls to them wait instead of failing. */
const SETTLING_MS = 10_000;
/** How often content that nobody finished is looked for. */
const SWEEP_MS = 600_000;
/** How long sent calls may finish when the gateway is asked to stop. */
const DRAIN_MS = 1_000;

export interface Gateway {
  readonly addresses: readonly string[];
  readonly id: string;
  stop(): Promise<void>;
}

export interface GatewayOptions {
  readonly home: string;
  /** The process must end: the outcome of a commit is not known, or another gateway took over. */
  readonly fatal: (error: unknown) => void;
  readonly clock?: Clock;
  readonly rng?: Rng;
}

/** @throws KithError config-invalid, home-locked, home-unsafe, store-damaged, store-newer, port-taken */
export async function startGateway({
  home,
  fatal,
  clock = systemClock,
  rng = systemRng,
}: GatewayOptions): Promise<Gateway> {
  privateFolder(home);
  privateFolder(join(home, "logs"));
  const config = readConfig(home);
  const log = fileLog(join(home, "logs"), () => clock.now());
  const damage = Promise.withResolvers<KithError>();
  const pulse = new Pulse();
  const store = openStore(home, { pulse, onFatal: fatal, onDamage: damage.resolve });
  const opened = await store.open();
  try {
    return await assemble({
      home,
      fatal,
      clock,
      rng,
      config,
      log,
      store,
      pulse,
      opened,
      damage: damage.promise,
    });
  } catch (error) {
    await store.close();
    throw error;
  }
}

interface Ground extends Required<GatewayOptions> {
  readonly config: Config;
  readonly log: ReturnType<typeof fileLog>;
  readonly store: ReturnType<typeof openStore>;
  readonly pulse: Pulse;
  /** Settles when the daily look at all rows finds one that is not what was written. */
  readonly damage: Promise<KithError>;
  readonly opened: Awaited<ReturnType<ReturnType<typeof openStore>["open"]>>;
}

async function assemble({
  home,
  fatal,
  clock,
  rng,
  config,
  log,
  store,
  pulse,
  opened,
  damage,
}: Ground): Promise<Gateway> {
  const keys = await loadKeys(home);
  const id = keyId(keys.noise.publicKey);
  const media = new MediaStore(join(home, "media"));
  privateFolder(join(home, "media"));
  await media.start();
  await media.sweep(clock.now());
  const report = (what: string, error: unknown) => log.error(what, error);

  const presence = new Presence();
  const startedAt = clock.mono();
  const console = new Console(report);
  let calls: Calls;
  const runtime = new Runtime({
    store,
    clock,
    rng,
    scheduler: { soon: (fn) => void setImmediate(fn) },
    kinds: [
      ...kinds,
      {
        name: "invocation",
        receive: (...turn) => calls.receive(...turn),
        reload: () => calls.reload(),
      },
    ],
    fatal,
    notice: (text, about) => notice(text, about),
    report,
    pulse,
  });
  calls = new Calls({
    documents: runtime.documents,
    gateway: id,
    media,
    link: (device) => presence.get(device),
    settling: () => clock.mono() - startedAt < SETTLING_MS,
    fingerprint: fingerprinter(keys.audit),
    latest: latestTime(clock, opened.lastWallMs),
  });
  const waiting = new Waiting(runtime);
  const sending = new Sending(runtime, calls, presence, clock);
  const receive = inbox(runtime, clock, rng);
  const pairing = pairingHandlers(runtime);

  /** What the owner should hear without having asked: in the chat that is always there. */
  const notice = (text: string, about?: ActorId): void => {
    log.info("notice", { text, ...(about === undefined ? {} : { about }) });
    console.notify("console", newId(clock, rng), { text, final: false });
  };
  runtime.on<{ text: string }>("notice", ({ text }) => notice(text));
  void damage.then((why) => {
    report("store", why);
    notice(`${why.message} ${why.remedy}`);
  });
  // Asked at the command line: whoever sits at the chat may answer just as well.
  runtime.on<{ call: string }>("call.asked", ({ call: asked }) => {
    const call = calls.get(asked);
    if (call) console.announce("console", newId(clock, rng), question({ ...call, call: asked }));
  });
  runtime.on<{ row: { name: string }; how: string }>("device.paired", ({ row, how }) => {
    if (how === "code")
      notice(`New device: ${row.name}. If that was not you, say /revoke ${row.name}.`);
  });
  runtime.on<{ name?: string }>("pairing.waiting", ({ name }) =>
    notice(`${name ?? "A device"} waits with its code: /approve CODE.`),
  );

  let mesh: Mesh | undefined;
  const addresses = (): string[] =>
    (mesh?.addresses ?? []).map(
      ({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`,
    );
  const table = methods({
    runtime,
    store,
    calls,
    waiting,
    presence,
    clock,
    rng,
    gateway: { id, name: config.name, key: hex(keys.noise.publicKey), version: VERSION },
    addresses,
    home,
  });

  runtime.perform(console.performer);
  runtime.perform({
    op: "model",
    parallel: 8,
    run: async ({ args }, signal) =>
      ({
        type: "model.answered",
        answer: await commandModel.answer(args as Turn, signal),
      }) as Event,
  });
  runtime.perform({
    op: "operate",
    parallel: 8,
    run: async ({ key, args }) => {
      const {
        op,
        args: given,
        by,
      } = args as { op: string; args: Record<string, unknown>; by: string };
      const method = table.get(op);
      if (!method) throw new KithError("internal", `no method ${op}`);
      const { text } = await method.call(given, { by, key });
      const message: ChatMessage = { text, final: true };
      return { type: "operated", message } as Event;
    },
  });

  runtime.on<{ call: Call }>("call.kept", ({ call }) => {
    // Most calls bring no content: they shall not cost a look at the disk.
    const brings = Object.keys(catalogue.get(call.cap)?.streams ?? {}).length > 0;
    if (brings && ended.has(call.state))
      media.drop(call.id).catch((error: unknown) => report("media", error));
  });
  const sweep = (): void => {
    media.sweep(clock.now()).catch((error: unknown) => report("media", error));
    runtime.due.set("media", SWEEP_MS, sweep);
  };
  runtime.due.set("media", SWEEP_MS, sweep);

  // Frames that waited while this machine slept would look fresh: new links, and the ledgers tell.
  const sleep = new SleepWatch(clock);
  const tick = (): void => {
    const slept = sleep.slept();
    if (sleep.stalled() || slept)
      for (const link of presence.all()) link.end("slept", "the gateway's machine slept");
    runtime.due.set("sleep", times.sleepTickMs, tick);
  };
  tick();

  // On disk before anything is done: a process that dies at once shall count as well.
  const boots = await countStart(store, opened.clean, clock.now(), report);
  runtime.recover(opened);
  sending.recover();
  runtime.tell("pairing/desk", { type: "gateway.started" });
  mesh = await startMesh({
    listen: config.listen,
    gateway: { id, name: config.name, keys: keys.noise },
    handlers: linkHandlers({
      runtime,
      calls,
      presence,
      clock,
      sending,
      sink: (content) => media.sink(content),
    }),
    pairing,
    clock,
    rng,
    log: (what, error) => (error === undefined ? log.info(what) : log.error(what, error)),
  });

  // A name, not a path: a Unix socket's path may be about 100 bytes long, and homes are longer.
  process.chdir(home);
  const path = controlPath(home);
  // Ours by the lock of the store: what lies there is left from a crash.
  if (!windows) rmSync(path, { force: true });
  const before = process.umask(0o177);
  const control = await startControl({
    path,
    methods: table,
    console,
    inbox: receive,
    clock,
    rng,
    report,
  });
  process.umask(before);
  if (boots.entered) notice(SAFE_MODE);
  if (opened.stalled)
    notice(`I was killed because a message to ${opened.stalled} never ended; it counts as a try.`);
  log.info("ready", { id, epoch: opened.epoch, clean: opened.clean });

  return {
    addresses: addresses(),
    id,
    async stop() {
      await control.close();
      const until = clock.mono() + DRAIN_MS;
      while (calls.list().some(({ state }) => state === "sent") && clock.mono() < until) {
        await new Promise<void>((resolve) => clock.after(20, resolve));
      }
      await mesh?.close();
      await runtime.stop();
      await store.close();
      log.info("stopped");
    },
  };
}
