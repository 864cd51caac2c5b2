/**
 * `npm run tour`: from an empty home to all that a few devices do together, as one transcript. Real processes,
 * sockets and files; what is said to be so was looked at, and the first thing that is not so ends it.
 *
 *   two devices (a line, a code) ─ /photo all ─ a shell over a killed gateway ─ 100 MiB over a link that
 *   drops three times ─ a photo for a device that sleeps
 */
import { createHash, randomFillSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { ChaosProxy } from "./faults/chaos-proxy.ts";
import { Control, type Owner, type World, freshWorld, residentMiB, until } from "./support/home.ts";
import { Seeded } from "./support/world.ts";

const HELP = `npm run tour -- [--json]

From an empty home: two devices, one photo of all, a shell that outlives the gateway, a large file
over a bad link, a photo that waits for its device. Every line was looked at.
`;

const MIB = 1_048_576;
const SIZE_MIB = 100;
const ALLOW = "camera.snap=allow,files.read=allow,files.write=allow,shell.open=allow";

const { values } = parseArgs({ options: { json: { type: "boolean" }, help: { type: "boolean" } } });
if (values.help) {
  process.stdout.write(HELP);
  process.exit();
}

const began = performance.now();
const seconds = () => (performance.now() - began) / 1_000;
const out = values.json ? process.stderr : process.stdout;
const tell = (text: string) => {
  for (const line of text.split("\n"))
    out.write(`${seconds().toFixed(1).padStart(6)} s  ${line}\n`);
};
/** What a person does. */
const does = (text: string) => tell(`> ${text}`);

function holds(what: string, is: boolean): void {
  if (!is) throw new Error(`not so: ${what}`);
  tell(`  ✓ ${what}`);
}

/** Says it, permits once what is asked about each of so many devices, and waits for the end. */
async function ask(owner: Owner, text: string, questions: number) {
  does(text);
  await owner.say(text);
  for (let n = 0; n < questions; n++) {
    const asked = await owner.hear("a question", ({ question }) => question);
    tell(asked.text.split("\n")[0] ?? "");
    const yes = `/allow once ${asked.question?.approval ?? ""}`;
    does("/allow once");
    await owner.say(yes);
  }
  const told = await owner.hear("the end", ({ results }: any) => results);
  tell(told.text);
  return told as any;
}

async function devices(home: World): Promise<void> {
  does("kith pair invite --caps camera,files.read,files.write,shell.open");
  const { out: invited } = await home.call("pair.invite", {
    caps: ["camera", "files.read", "files.write", "shell.open"],
  });
  does("at the laptop: paste that line");
  home.spawnNode("laptop", {
    args: [...share(home, "laptop"), "--camera", "test-pattern", invited.link],
  });
  await home.nodes.get("laptop")?.event("paired");
  does("/pair listen; at the phone: kith node; /approve CODE; the return code at the phone");
  await home.pair("phone", { args: [...share(home, "phone"), "--allow", ALLOW] });
  const names = (await home.devices())
    .filter(({ state }) => state === "online")
    .map(({ name }) => name);
  holds(
    "two devices are paired, one by a line, one by a code",
    names.toSorted().join() === "laptop,phone",
  );
}

function share(home: World, name: string): string[] {
  const path = join(home.folder, `${name}-shared`);
  mkdirSync(path, { recursive: true });
  return ["--root", `docs=${path}`];
}

async function photos(owner: Owner): Promise<void> {
  const told = await ask(owner, "/photo all", 2);
  const whole = told.results.every(
    ({ state, streams: [photo] }: any) =>
      state === "done" && statSync(photo.path).size === photo.bytes,
  );
  holds("one reply with a photo of each", told.results.length === 2 && whole);
}

async function shell(home: World): Promise<void> {
  does("kith shell laptop --allow 1h");
  const size = { columns: 80, rows: 24 };
  const { out: opened } = await home.call("shell.open", { device: "laptop", ...size, allow: "1h" });
  const shown = { text: "", at: 0, open: false };
  const enter = async (from?: number) => {
    const control = await Control.open(home.home, (event, data) => {
      if (event === "shell.state") shown.open = data.open;
      if (event === "shell.output") [shown.text, shown.at] = [shown.text + data.text, data.at];
    });
    await control.call("shell.attach", {
      call: opened.call,
      ...size,
      ...(from !== undefined && { from }),
    });
    await until("the shell", () => shown.open);
    return control;
  };
  const pid = async (control: Control) => {
    const from = shown.text.length;
    does("echo pid=$$");
    await control.call("shell.input", { data: Buffer.from("echo pid=$$\n").toString("base64") });
    const find = () => /pid=(\d+)/.exec(shown.text.slice(from))?.[1];
    await until("its process id", find);
    tell(`pid=${find()}`);
    return find();
  };
  const first = await enter();
  const before = await pid(first);
  does("kill -9 the gateway; start it; kith shell --attach");
  await home.gateway?.end("SIGKILL");
  first.close();
  shown.open = false;
  await home.startGateway();
  using again = await enter(shown.at);
  holds(
    "the same shell, on the device, after the gateway was killed",
    (await pid(again)) === before,
  );
  await again.call("shell.input", { data: Buffer.from("exit\n").toString("base64") });
}

async function file(home: World, owner: Owner, proxy: ChaosProxy): Promise<void> {
  const from = join(home.folder, "laptop-shared", "film.bin");
  const to = join(home.folder, "phone-shared");
  const bytes = randomFillSync(Buffer.alloc(SIZE_MIB * MIB));
  writeFileSync(from, bytes);
  const arrived = () => {
    const [draft] = readdirSync(to).filter((name) => name.startsWith(".kith-draft-"));
    return draft === undefined
      ? 0
      : (statSync(join(to, draft), { throwIfNoEntry: false })?.size ?? 0);
  };
  const pids = [home.gateway?.pid ?? 0, home.nodes.get("phone")?.pid ?? 0];
  const before = pids.map(residentMiB);
  const peak = [...before];
  let drops = 0;
  const watch = setInterval(() => {
    pids.forEach((pid, at) => (peak[at] = Math.max(peak[at] ?? 0, residentMiB(pid))));
    if (drops >= 3 || arrived() < (drops + 1) * 20 * MIB) return;
    drops++;
    tell(`the phone's link drops (${Math.round(arrived() / MIB)} MiB are there)`);
    proxy.reset();
  }, 20);
  proxy.weather = { bytesPerSecond: 60 * MIB };
  does("/copy laptop film.bin phone");
  await owner.say("/copy laptop film.bin phone");
  for (let n = 0; n < 2; n++) {
    const { text } = await owner.hear("a question", ({ question }) => question);
    tell(text.split("\n")[0] ?? "");
    does("/allow once");
    await owner.say("/allow once");
  }
  const told = await owner.hear("the end", ({ text }) => text.startsWith("film.bin is on"), 60_000);
  clearInterval(watch);
  proxy.weather = {};
  tell(told.text);
  const hash = (content: Buffer) => createHash("sha256").update(content).digest("hex");
  const grown = peak.map((mib, at) => Math.round(mib - (before[at] ?? 0)));
  holds(
    `${SIZE_MIB} MiB came over a link that dropped ${drops} times, and the hash is equal`,
    drops === 3 && hash(readFileSync(join(to, "film.bin"))) === hash(bytes),
  );
  holds(
    `the gateway grew by ${grown[0]} MiB meanwhile, the phone's agent by ${grown[1]}`,
    grown.every((mib) => mib <= 64),
  );
}

async function queued(home: World, owner: Owner): Promise<void> {
  const photosBefore = (await home.ledger("laptop")).length;
  does("the laptop sleeps");
  await home.nodes.get("laptop")?.end("SIGKILL");
  await until("the laptop to be away", async () =>
    (await home.devices()).some(({ name, state }) => name === "laptop" && state === "away"),
  );
  const text = "take a photo with my laptop when it is back within 2h";
  does(text);
  await owner.say(text);
  tell((await owner.hear("a question", ({ question }) => question)).text.split("\n")[0] ?? "");
  does("/allow once");
  await owner.say("/allow once");
  tell((await owner.hear("that it waits", (one) => one.text.startsWith("laptop is away."))).text);
  does("kill -9 the gateway, start it; the laptop wakes up");
  await home.gateway?.end("SIGKILL");
  await home.startGateway();
  await home.startNode("laptop");
  const again = await home.owner();
  const photo = await again.hear("the photo", ({ result }) => result);
  tell(photo.text);
  const rows = (await home.ledger("laptop")).slice(photosBefore);
  holds(
    "the photo that waited was taken once (the laptop's ledger)",
    rows.length === 1 && existsSync(photo.result.streams[0].path),
  );
}

await using home = await freshWorld();
does("kith up, in an empty home");
await home.startGateway();
using proxy = await ChaosProxy.open(home.port, new Seeded(1));
home.via.set("phone", proxy.port);
await devices(home);
const owner = await home.owner(undefined, true);
await photos(owner);
await shell(home);
await owner.stay();
await file(home, owner, proxy);
await queued(home, owner);
holds("the audit is whole", await home.auditIsWhole());
if (values.json) process.stdout.write(`${JSON.stringify({ ok: true, seconds: seconds() })}\n`);
