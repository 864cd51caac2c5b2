/**
 * One gateway, assembled. Started from the ground up, stopped in reverse: nothing comes in
 * before it can be handled.
 *
 *   store ─ core.ts: runtime, performers, calls, devices, pairing ─ mesh ─ control socket
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { catalogue } from "@kith/shared/capabilities/index";
import { type Clock, type Rng, systemClock, systemRng } from "@kith/shared/clock";
import { type KithError } from "@kith/shared/errors";
import { hex, keyId } from "@kith/shared/ids";
import { fingerprinter } from "./audit/fingerprint.ts";
import { pricesOf } from "./budgets/prices.ts";
import type { Inbox } from "./channels/inbox.ts";
import { type Config, DEFAULT_PORT, addListen, readConfig, readSecret, setName } from "./config.ts";
import { agentHash, agentPath } from "./agent-file.ts";
import { type Core, assemble } from "./core.ts";
import { Egress } from "./egress/egress.ts";
import { Register } from "./egress/register.ts";
import { loadKeys } from "./keys.ts";
import { fileLog } from "./log.ts";
import { MediaStore } from "./media/media.ts";
import { Memories } from "./memory/memory.ts";
import { memoryTools } from "./memory/tools.ts";
import { Announcer } from "./mesh/announce.ts";
import { reachOf, reachable, written } from "./mesh/reachable.ts";
import { type Mesh, startMesh } from "./mesh/server.ts";
import { Tailnet } from "./mesh/tailscale.ts";
import { Agents, several } from "./model/agents.ts";
import { assistant } from "./model/assistant.ts";
import { commandModel } from "./model/commands.ts";
import type { ChosenModel, StoredItem } from "./model/model.ts";
import { fallback } from "./model/providers/fallback.ts";
import { startControl } from "./operators/control.ts";
import { egressMethods } from "./operators/egress-methods.ts";
import { openModel } from "./operators/model-methods.ts";
import { Transcripts } from "./transcripts/transcripts.ts";
import { controlPath, privateFolder, windows } from "./platform.ts";
import type { Runtime } from "./runtime/runtime.ts";
import { ownSkills } from "./skills/own.ts";
import { skillTools } from "./skills/skill-tool.ts";
import { Skills } from "./skills/skills.ts";
import { Pulse } from "./store/stall.ts";
import { openStore } from "./store/store.ts";
import type { Search } from "./web/search.ts";
import { isSeen } from "./web/seen.ts";
import { webTools } from "./web/tools.ts";
import { typeOf, workspaceOf, workspaceTools } from "./workspace/tools.ts";

export const VERSION = "0.1.0";

/** Of a conversation, so many rows are looked through for an address. */
const ROWS = 512;

/** How long sent calls may finish when the gateway is asked to stop. */
const DRAIN_MS = 1_000;

export interface Gateway {
  readonly addresses: readonly string[];
  readonly id: string;
  /** Where whoever hears people hands in what they said. */
  readonly receive: Inbox;
  stop(): Promise<void>;
}

export interface GatewayOptions {
  readonly home: string;
  /** The process must end: the outcome of a commit is not known, or another gateway took over. */
  readonly fatal: (error: unknown) => void;
  readonly clock?: Clock;
  readonly rng?: Rng;
}

/** How late a transcript may be. */
const TRANSCRIPTS_MS = 10_000;
/** Tokens that a model reads at once: what nearly every one of today has. */
const WINDOW = 128_000;

/** @throws KithError config-invalid */
async function chosen(
  models: NonNullable<Config["model"]>,
  register: Register,
  home: string,
  clock: Clock,
): Promise<ChosenModel | undefined> {
  const counted = (host: string, requests: number, bytes: number) =>
    register.count(host, requests, bytes);
  const opened = await Promise.all(models.map((one) => openModel(one, home, counted)));
  return opened[0] && { ...opened[0], provider: fallback(opened, clock) };
}

/** @throws KithError config-invalid */
const searchBy = (search: NonNullable<Config["search"]>, home: string): Search =>
  search.provider === "brave"
    ? { provider: "brave", key: readSecret(search.apiKey, home) }
    : search;

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
  let mesh: Mesh | undefined;
  let started: Runtime | undefined;
  let memory: Memories | undefined;
  const tailnet =
    config.tailnet === "off" ? undefined : new Tailnet({ clock, socket: config.tailnet.socket });
  const stopped = [() => tailnet?.stop()];
  try {
    const keys = await loadKeys(home);
    const id = keyId(keys.noise.publicKey);
    memory = new Memories({ home, fingerprint: fingerprinter(keys.memory), clock, rng });
    const contents = new MediaStore(join(home, "media"));
    privateFolder(join(home, "media"));
    await contents.start();
    await contents.sweep(clock.now());
    const report = (what: string, error: unknown) => log.error(what, error);

    const addresses = (): string[] => {
      const listen = mesh?.addresses ?? [];
      const more = tailnet?.ways(listen) ?? [];
      const open = reachable(listen);
      // Loopback is a way only where there is nothing else.
      const far = more.length > 0 ? open.filter(({ host }) => reachOf(host) !== "machine") : open;
      return [...far, ...more].map(written);
    };
    const local = (): string => {
      const listen = mesh?.addresses ?? [];
      const loopback = listen.find(({ host }) => reachOf(host) === "machine");
      const [any] = reachable(listen);
      return written(loopback ?? any ?? { host: "127.0.0.1", port: DEFAULT_PORT });
    };
    const announcer = new Announcer({
      ...{ id, clock, log: report },
      addresses: () => reachable(mesh?.addresses ?? []),
    });
    stopped.push(() => announcer.stop());
    const pairable = () => core.pairing.open() || core.tickets.live().length > 0;
    const open = async (host: string, by: string): Promise<string> => {
      const port = config.listen[0]?.port ?? DEFAULT_PORT;
      const known = reachable(mesh?.addresses ?? []).find((one) => one.host === host);
      if (known) return written(known);
      // The file first: what it refuses is not open either.
      const undo = addListen(home, written({ host, port }));
      try {
        await mesh?.listen({ host, port });
      } catch (error) {
        undo();
        throw error;
      }
      log.info("opened", { host, port, by });
      announcer.set(pairable());
      return written({ host, port });
    };
    const register = new Register(clock);
    const choose = (models: NonNullable<Config["model"]>) => chosen(models, register, home, clock);
    const remembers = memory;
    const transcripts: Transcripts = new Transcripts({
      ...{ home, store, documents: () => core.runtime.documents },
    });
    const skills: Skills = new Skills({
      ...{ own: ownSkills, home, documents: () => core.runtime.documents },
    });
    const briefing = async (agent: string): Promise<string> => {
      const notes = await remembers.index(agent);
      return [notes && `Your long-term memory has: ${notes}.`, skills.prompt(agent)]
        .filter(Boolean)
        .join("\n");
    };
    const model = config.model && (await choose(config.model));
    const others = new Map<string, ChosenModel>();
    for (const [name, agent] of Object.entries(config.agents)) {
      const own = agent.model && (await choose(agent.model));
      if (own) others.set(name, own);
    }
    const core: Core = assemble({
      ...{ store, clock, rng, fatal, report, pulse, home, addresses, local, open, contents },
      tailnet,
      ceiling: config.tailnet === "off" ? "off" : config.tailnet.ceiling,
      setName: (called) => setName(home, called),
      agentHash,
      ...{ memory, skills, transcripts },
      scheduler: { soon: (fn) => void setImmediate(fn) },
      model,
      limits: config.budgets,
      prices: pricesOf(
        [config, ...Object.values(config.agents)].flatMap(({ model: any = [] }) => any),
        config.prices,
      ),
      agents: new Agents(config.agents),
      attach: async (agent, path, id) => {
        const type = typeOf(path);
        const keep = (held: string) => contents.put(held, type, id);
        const content = await workspaceOf(home, agent).hold(path, keep);
        const { sha256, bytes } = content;
        const name = path.slice(path.lastIndexOf("/") + 1);
        return { ...content, name, path: contents.find(sha256, type, bytes) ?? "" };
      },
      boundaries: config.permissions,
      timezone: config.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
      tools: [
        ...memoryTools(memory),
        ...workspaceTools(home, (path, type, id) => contents.put(path, type, id)),
        ...skillTools(skills),
        ...webTools({
          egress: new Egress({ ...config.egress, clock, register }),
          ...{ contents, search: config.search && searchBy(config.search, home) },
          seen: (session, url) =>
            isSeen(
              store.series("item", session, ROWS).map(({ body }) => body as StoredItem),
              url,
            ),
        }),
      ],
      answers: (parts) => {
        const by = (one: ChosenModel) => assistant({ ...parts, ...one, window: WINDOW, briefing });
        const theirs = [...others].map(([name, one]) => [name, by(one)] as const);
        return several(model ? by(model) : commandModel, new Map(theirs));
      },
      gateway: { id, name: config.name, key: hex(keys.noise.publicKey), version: VERSION },
      fingerprint: fingerprinter(keys.audit),
      lastWallMs: opened.lastWallMs,
      noticed: (text, about) =>
        log.info("notice", { text, ...(about === undefined ? {} : { about }) }),
    });
    // After those who keep what is told here, so that they know already.
    for (const topic of ["pairing.window", "tickets.live"])
      core.runtime.on(topic, () => announcer.set(mesh !== undefined && pairable()));
    void damage.promise.then((why) => {
      report("store", why);
      core.notice(`${why.message} ${why.remedy}`);
    });
    await core.start(opened);
    const write = (): void => {
      try {
        transcripts.follow(clock.now());
      } catch (error) {
        report("transcripts", error);
      }
      core.runtime.due.set("transcripts", TRANSCRIPTS_MS, write);
    };
    write();
    started = core.runtime;
    mesh = await startMesh({
      listen: config.listen,
      agent: agentPath,
      gateway: { id, name: config.name, keys: keys.noise },
      handlers: core.links,
      pairing: core.pairing,
      tickets: core.tickets,
      ...(tailnet && { tailnet }),
      clock,
      rng,
      log: (what, error) => (error === undefined ? log.info(what) : log.error(what, error)),
    });

    announcer.set(pairable());

    // A name, not a path: a Unix socket's path may be about 100 bytes long, and homes are longer.
    process.chdir(home);
    const path = controlPath(home);
    // Ours by the lock of the store: what lies there is left from a crash.
    if (!windows) rmSync(path, { force: true });
    const before = process.umask(0o177);
    const control = await startControl({
      path,
      methods: new Map([...core.methods, ...egressMethods({ register, clock })]),
      console: core.console,
      inbox: core.receive,
      terminals: core.terminals,
      clock,
      rng,
      report,
    });
    process.umask(before);
    log.info("ready", { id, epoch: opened.epoch, clean: opened.clean });

    return {
      addresses: addresses(),
      id,
      receive: core.receive,
      async stop() {
        await control.close();
        const until = clock.mono() + DRAIN_MS;
        // A terminal goes on without us, for hours.
        const finishing = () =>
          core.calls
            .list()
            .some(({ state, cap }) => state === "sent" && !catalogue.get(cap)?.terminal);
        while (finishing() && clock.mono() < until) {
          await new Promise<void>((resolve) => clock.after(20, resolve));
        }
        for (const stop of stopped) stop();
        await mesh?.close();
        await core.runtime.stop();
        await memory?.close();
        await store.close();
        log.info("stopped");
      },
    };
  } catch (error) {
    for (const stop of stopped) stop();
    await mesh?.close();
    // It still reads what the last process left, and the store closes now: in order, or not at all.
    await started?.stop().catch(fatal);
    await memory?.close();
    // What a crash left in doubt is taken up by the start alone.
    await store.close({ clean: started !== undefined || opened.clean });
    throw error;
  }
}
