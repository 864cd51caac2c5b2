/** The node agent: the only file that knows every concrete part. */
import "./new-enough.ts";
import { rm } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { systemClock, systemRng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { hex, newId } from "@kith/shared/ids";
import { ticketKey } from "@kith/shared/noise/ticket";
import { tame } from "@kith/shared/protocol/words";
import { Agent } from "./agent.ts";
import { answerHere } from "./answer.ts";
import { type Arguments, help, readArguments } from "./arguments.ts";
import { askOnDesktop } from "./ask-on-desktop.ts";
import { Home, kithHome, readAddress, type Settings } from "./config.ts";
import { Consent } from "./consent.ts";
import { current, remade } from "./current.ts";
import { chooseGateway } from "./choose-gateway.ts";
import { player } from "./drivers/audio/play.ts";
import { recorder } from "./drivers/audio/record.ts";
import { cameras, cameraSources } from "./drivers/camera/cameras.ts";
import { clipboard } from "./drivers/clipboard/clipboard.ts";
import { device } from "./drivers/device/device.ts";
import type { AnyDriver } from "./drivers/driver.ts";
import { loadOwn } from "./drivers/own.ts";
import { fileLister } from "./drivers/files/list.ts";
import { fileReader, sharedFolders } from "./drivers/files/read.ts";
import { fileWriter } from "./drivers/files/write.ts";
import { location } from "./drivers/location/place.ts";
import { notify } from "./drivers/notify/notify.ts";
import { screens, screenSource } from "./drivers/screen/screens.ts";
import { speaker } from "./drivers/speech/say.ts";
import { urlOpener } from "./drivers/url/open.ts";
import { terminals } from "./drivers/shell/open.ts";
import { shell } from "./drivers/shell/run.ts";
import { chosen, failed, type Say, sentence } from "./events.ts";
import { Incoming } from "./incoming.ts";
import { Ledger } from "./ledger.ts";
import { readLedger } from "./ledger-rows.ts";
import { serveLocal } from "./local.ts";
import { holdHome } from "./lock.ts";
import { notices } from "./notice.ts";
import { probe } from "./offer.ts";
import { Outgoing } from "./outgoing.ts";
import { type Choice, Lines, type Person, turnedOn } from "./person.ts";
import { desktop, kindGuess, osName } from "./platform.ts";
import { Policy, setLock } from "./policy.ts";
import { isYes } from "./question.ts";
import { register } from "./register.ts";
import { show } from "./screen.ts";
import type { Bearer } from "./secure.ts";
import { Server } from "./serve.ts";
import { Tailnet } from "./tailnet.ts";

const VERSION = "0.1.0";
const AGENT = `kith-node/${VERSION}`;
/** A stop takes less than 1.5 s, whatever a driver does. */
const EXIT_MS = 1_300;

const clock = systemClock;
const rng = systemRng;

const defaultHome = () => join(kithHome(), "node");

/** Rejects when nobody can read it; then nothing that needs a visible sign may happen. */
function writer(json: boolean, screen = false): Say {
  return (event) =>
    new Promise((resolve, reject) => {
      const line = json ? JSON.stringify(event) : sentence(event, screen);
      process.stdout.write(`${line}\n`, (error) => (error ? reject(error) : resolve()));
    });
}

/** For us alone: errors of strangers may hold anything. */
function log(error: unknown): void {
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
}

function exitCode(error: unknown): number {
  if (!(error instanceof KithError)) return 1;
  return error.code === "usage"
    ? 2
    : error.code === "config-invalid" || error.code === "home-unsafe"
      ? 78
      : 1;
}

async function openHome(
  args: Arguments,
): Promise<{ readonly home: Home; readonly changed: boolean }> {
  const guess = await kindGuess();
  const kind = guess === "operator" || guess === "browser" ? "server" : guess;
  const home = await Home.open(args.home ?? defaultHome(), {
    name: tame(os.hostname(), 64) || "node",
    kind,
  });
  const { gateway, policy, roots } = home.settings;
  const known = args.pair
    ? {}
    : {
        ...(gateway?.key && { key: gateway.key }),
        ...(gateway?.id && { id: gateway.id }),
        ...(gateway?.unconfirmed && { unconfirmed: true }),
      };
  const { invitation } = args;
  if (!args.pair && gateway?.key && invitation?.gateway && hex(invitation.gateway) !== gateway.key)
    throw new KithError(
      "usage",
      "this machine is paired with another gateway; --pair beside the link gives that one up",
    );
  const given =
    args.gateway === undefined ? invitation?.addresses?.map(readAddress) : [args.gateway];
  const addresses = given ?? gateway?.addresses;
  const { place, allow, drivers: own, tailnet } = args;
  const drivers = own === "off" ? [] : own && [...new Set([...home.settings.drivers, ...own])];
  const change: Parameters<Home["save"]>[0] = {
    ...(args.name !== undefined && { name: args.name }),
    ...(addresses && (given !== undefined || args.pair) && { gateway: { addresses, ...known } }),
    ...(allow && { policy: turnedOn({ ...policy, ...allow }) }),
    ...(args.cameras && { cameras: args.cameras }),
    ...(args.roots && { roots: { ...roots, ...args.roots } }),
    ...(drivers && { drivers }),
    ...(place && { place: place === "off" ? undefined : place }),
    ...(tailnet && { tailnet: { ...home.settings.tailnet, ...tailnet } }),
  };
  const changed = Object.keys(change).length > 0;
  if (changed) await home.save(change);
  // Whoever pairs anew begins anew: the gateway's machine may be another one.
  if (args.pair) await rm(home.path("tailnet.json"), { force: true });
  return { home, changed };
}

/** All that this device can do; a module of its owner that does not fit is told of and left out. */
async function driversOf(home: Home, say: Say): Promise<AnyDriver[]> {
  const drivers = builtIn(home);
  for (const file of home.settings.drivers) {
    try {
      const own = await loadOwn(file);
      const { name } = own.capability;
      if (drivers.some(({ capability }) => capability.name === name))
        throw new KithError("config-invalid", `${file}: another module has ${name} already`);
      drivers.push(own);
    } catch (error) {
      if (!(error instanceof KithError)) throw error;
      await say({ event: "driver-failed", file, message: error.message });
    }
  }
  return drivers;
}

function builtIn(home: Home): AnyDriver[] {
  const { dir } = home;
  // What another `kith node` stored counts from the next look on, without a new start.
  const roots = current(
    remade(
      () => home.settings.roots,
      (now) => new Map(Object.entries(now)),
    ),
  );
  const sources = current(remade(() => home.settings.cameras, cameraSources));
  const { list, snap, clip } = cameras({ sources });
  const { info, status } = device({ agent: AGENT });
  const closed = { home: os.homedir(), own: [dir, kithHome()] };
  const shared = () => sharedFolders(roots);
  const files = fileLister(roots, shared);
  const here = desktop();
  const screen = screens(screenSource(here), clock);
  const copied = clipboard(here);
  return [
    ...[
      info,
      status,
      list,
      snap,
      clip,
      fileReader(roots),
      files.list,
      files.stat,
      fileWriter(roots, clock, shared),
      shell({ roots, closed }),
      terminals(),
    ],
    ...[screen.list, screen.snap, screen.record, copied.read, copied.write],
    ...[recorder(here, { clock }), player(here)],
    ...[notify(here), speaker(here), urlOpener(here), location(() => home.settings.place, here)],
  ];
}

/** What the line that somebody pasted here names is their word, as --allow is; that one goes before it. */
function bearerOf(
  { ticket, gateway, caps }: NonNullable<Arguments["invitation"]>,
  allow: Choice | undefined,
): Bearer {
  const named: Choice = Object.fromEntries(caps.map((cap) => [cap, "allow"]));
  return { psk: ticketKey(ticket), ...(gateway && { gateway }), turnOn: { ...named, ...allow } };
}

function aboutOf({ name, kind }: Settings) {
  return { name, kind, os: tame(osName(), 32), arch: tame(process.arch, 16), agent: AGENT };
}

/** Whether there is a tick screen: somebody sits at a terminal, and has not chosen already. */
function hasScreen({ json, allow }: Arguments): boolean {
  return process.stdin.isTTY && process.stdout.isTTY && !json && !allow;
}

function personAt(args: Arguments, drivers: readonly AnyDriver[]): Person {
  const { stdin, stdout } = process;
  const lines = new Lines(stdin);
  const screen = hasScreen(args);
  return {
    line(signal, prompt) {
      if (screen && prompt !== undefined) stdout.write(prompt);
      return lines.next(signal);
    },
    async choose(caps, now) {
      if (!screen) return undefined;
      const reasons = await whyNot(drivers);
      const looked = caps.map((cap) => ({ ...cap, reason: reasons.get(cap.name) }));
      const choice = await show(looked, now, stdin, stdout);
      // `setup` says what it stored by itself.
      if (args.verb !== "setup") stdout.write(`${chosen(choice ?? now)}\n`);
      return choice;
    },
  };
}

/** What cannot work now, and why. What is off is looked at too: only the person here hears of it. */
async function whyNot(drivers: readonly AnyDriver[]): Promise<Map<string, string>> {
  const looks = drivers.map(async (driver) => {
    const { state, reason = "it is not there" } = await probe(driver, clock);
    return [driver.capability.name as string, state === "ready" ? "" : reason] as const;
  });
  return new Map((await Promise.all(looks)).filter(([, reason]) => reason !== ""));
}

const capsOf = (drivers: readonly AnyDriver[]) =>
  drivers.map(({ capability: { name, summary } }) => ({ name, summary }));

/** Pairs with the gateway of this machine, once. The list is the one confirmation. */
async function registerHere(home: Home, drivers: readonly AnyDriver[], say: Say): Promise<void> {
  const publicKey = (await home.key()).publicKey;
  const caps = drivers.map(({ capability }) => capability.name);
  const paired = await register(kithHome(), {
    home,
    publicKey,
    about: aboutOf(home.settings),
    caps,
    clock,
  });
  await say({ event: "paired", ...paired });
}

async function setup(home: Home, args: Arguments, say: Say): Promise<void> {
  const drivers = await driversOf(home, say);
  const choice = await personAt(args, drivers).choose(capsOf(drivers), home.settings.policy);
  const skipped = hasScreen(args) && !choice;
  if (choice) await home.save({ policy: turnedOn(choice) });
  if (skipped) process.stdout.write("Skipped: nothing was changed.\n");
  if (args.local && (args.pair || !home.settings.gateway?.key))
    await registerHere(home, drivers, say);
  if (!skipped)
    await say({ event: "settings", name: home.settings.name, policy: home.settings.policy });
}

async function run(home: Home, args: Arguments, write: Say, stop: AbortSignal): Promise<void> {
  const say: Say = (event) => write(event).catch(() => {}); // nobody listens: we go on serving
  const hold = holdHome(home.path("agent.lock"));
  await say({ event: "starting", name: home.settings.name, home: home.dir });
  const drivers = await driversOf(home, say);
  const person = personAt(args, drivers);
  const tailnet = await Tailnet.open(clock, home);
  if (args.local && (args.pair || !home.settings.gateway?.key)) {
    const choice = await person.choose(capsOf(drivers), home.settings.policy);
    if (choice) await home.save({ policy: turnedOn(choice) });
    await registerHere(home, drivers, say);
  }
  if (!home.settings.gateway) {
    await chooseGateway({ ...{ home, person, say, tailnet, clock }, signal: stop });
    if (stop.aborted) return hold.release();
  }
  // A line that names nothing leaves it to whoever sits here.
  if (args.invitation?.caps.length === 0 && !home.settings.gateway?.key) {
    const choice = await person.choose(capsOf(drivers), home.settings.policy);
    if (choice) await home.save({ policy: turnedOn(choice) });
  }

  const ledger = await Ledger.open(home.path("ledger.log"), clock, rng);
  const outgoing = new Outgoing(home.path("spool"), clock, rng);
  await outgoing.recover(ledger.streams());
  const incoming = new Incoming();
  const policy = new Policy(home, clock, tailnet);
  const consent = new Consent(clock);
  const server = new Server({
    drivers,
    policy,
    ledger,
    consent,
    outgoing,
    incoming,
    notices: notices(write, clock),
    clock,
    log,
  });
  const agent = new Agent({
    ...{ clock, rng, home, drivers, policy, ledger, outgoing, incoming, server },
    ...{ person, say, tailnet },
    soon: (fn) => void setImmediate(fn),
    own: await home.key(),
    ...(args.invitation && { bearer: bearerOf(args.invitation, args.allow) }),
    boot: newId(clock, rng),
    about: aboutOf(home.settings),
    network: () => JSON.stringify(os.networkInterfaces()),
  });
  // A socket's path may be about 100 bytes long, a home's longer: stand in it and use the bare name.
  process.chdir(home.dir);
  const local = await serveLocal({
    ...{ dir: home.dir, consent },
    status: () => ({
      name: home.settings.name,
      gateway: home.settings.gateway?.id,
      epoch: agent.epoch,
      locked: policy.locked,
      open: server.open,
      policy: home.settings.policy,
    }),
  });
  askHere(consent, person, say, stop);
  askOnDesktop(consent, desktop());
  try {
    await agent.run(stop);
    await say({ event: "ended", why: "stopped" });
  } finally {
    local.close();
    outgoing.stop();
    await ledger.close();
    hold.release();
  }
}

/** On-device questions: told to everybody, answered by the terminal that runs the agent. */
function askHere(consent: Consent, person: Person, say: Say, stop: AbortSignal): void {
  let turn: Promise<unknown> = Promise.resolve();
  consent.listen((question) => {
    turn = turn.then(async () => {
      const { call, cap, text } = question;
      if (!consent.questions.includes(question)) return;
      await say({ event: "asked", call, cap, text, left_ms: consent.leftMs(question) });
      if (!process.stdin.isTTY) return;
      const typed = await person.line(
        AbortSignal.any([
          ...[stop, question.over],
          AbortSignal.timeout(Math.max(1, consent.leftMs(question))),
        ]),
      );
      if (typed !== undefined) consent.answer(call, isYes(typed));
      else await say({ event: "settled", call });
    });
  });
}

async function showLedger(home: Home, json: boolean): Promise<void> {
  const { rows } = await readLedger(home.path("ledger.log"));
  for (const { at, cap, state, starts, call, n } of rows) {
    const line = json
      ? JSON.stringify({ at, call, n, cap, state, starts })
      : `${new Date(at).toISOString()}  ${cap.padEnd(16)} ${state.padEnd(9)} ${call}`;
    process.stdout.write(`${line}\n`);
  }
  if (rows.length === 0 && !json) process.stdout.write("Nothing was asked of this device yet.\n");
}

async function main(argv: readonly string[]): Promise<number> {
  let json = argv.includes("--json");
  const stop = new AbortController();
  const end = () => {
    stop.abort();
    setTimeout(() => process.exit(0), EXIT_MS);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, end);
  // Whoever read our lines may be gone; `write` tells those who must know.
  process.stdout.on("error", () => {});
  try {
    const args = readArguments(argv);
    json = args.json;
    if (args.help) {
      process.stdout.write(help);
      return 0;
    }
    if (args.version) {
      process.stdout.write(`${VERSION}\n`);
      return 0;
    }
    const write = writer(json, hasScreen(args));
    if (args.supervised) process.stdin.on("end", end).on("error", end).resume();
    if (args.verb === "lock" || args.verb === "unlock") {
      // Whatever node.json says, and whoever runs: a lock must always work.
      await setLock(args.home ?? defaultHome(), args.verb === "lock");
      await write({ event: "locked", locked: args.verb === "lock" });
      return 0;
    }
    if (args.verb === "questions") {
      await write({ event: "questions", questions: await answerHere(args.home ?? defaultHome()) });
      return 0;
    }
    if (args.verb === "yes" || args.verb === "no") {
      const yes = args.verb === "yes";
      const { code = "" } = args;
      const [question] = await answerHere(args.home ?? defaultHome(), { code, yes });
      await write({ event: "answered", text: question?.text ?? "", yes });
      return 0;
    }
    const { home, changed } = await openHome(args);
    switch (args.verb) {
      case "run":
        try {
          await run(home, args, write, stop.signal);
        } catch (error) {
          // It was not started to be a second agent, but to change what the first one does.
          if (!changed || !(error instanceof KithError && error.code === "home-locked"))
            throw error;
          await write({ event: "stored", drivers: args.drivers !== undefined });
        }
        break;
      case "setup":
        await setup(home, args, write);
        break;
      case "ledger":
        await showLedger(home, json);
    }
    return 0;
  } catch (error) {
    if (stop.signal.aborted || (error instanceof DOMException && error.name === "AbortError"))
      return 0;
    const known =
      error instanceof KithError
        ? error
        : new KithError("internal", "the agent stopped on a defect");
    if (known !== error) log(error);
    await writer(json)(failed(known)).catch(() => {});
    return exitCode(error);
  }
}

const code = await main(process.argv.slice(2));
// A pipe takes what it can; the rest would be lost.
process.stdout.write("", () => process.exit(code));
