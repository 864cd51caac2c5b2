// @ts-check
/**
 * `npm run demo`: what a newcomer does by hand, unattended, with the real processes and sockets.
 *
 *   gateway ─► chat: /pair ─► node shows a code ─► chat: /approve CODE ─► node: return code
 *           ─► chat: "grab a photo ..." ─► /allow once ─► photo  (--crash: SIGKILL before the first frame)
 *
 * With --provider a language model hears the sentence, asks for the photo, looks at it and tells what is on it.
 *
 * Every check is done on what arrived: the file, its hash, its size in pixels, the audit, the node's ledger.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { prepare } from "./build.mjs";
import { openChat } from "./chat-link.mjs";
import { Failure } from "./control.mjs";
import { launch, stop } from "./processes.mjs";
import { fail, line, paint, tame, terminal, toJson } from "./print.mjs";

const PATIENCE_MS = 30_000;
const POLICY = "camera.snap=allow,camera.list=allow,device.info=allow,device.status=allow";

const began = performance.now();
const since = () => Math.round(performance.now() - began);
const step = (/** @type {string} */ text) =>
  line(`${paint("dim", `${(since() / 1_000).toFixed(2).padStart(6)} s`)}  ${tame(text)}`);

/** Only what a program needs to run: no setting, key or token of the person's own gateway. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) =>
    /^(PATH|HOME|USERPROFILE|LANG|LC_.*|TMPDIR|TEMP|TMP|TERM|SYSTEMROOT|WINDIR|COMSPEC|APPDATA|LOCALAPPDATA|XDG_RUNTIME_DIR)$/i.test(
      name,
    ),
  ),
);

/** @type {Map<string, import("./processes.mjs").Launched>} what runs, by name */
const running = new Map();
/** @type {Awaited<ReturnType<typeof openChat>> | undefined} */
let chat;

/** What a person types or presses at either end until the device is paired. */
let pairingActions = 0;
const typed = (/** @type {string} */ text) => {
  pairingActions++;
  return text;
};

/** @type {any[]} what the gateway said and nobody has looked at */
const inbox = [];
let heard = () => {};

/**
 * The next message that fits. A message with an error ends the demo.
 * @param {string} what
 * @param {(message: any) => unknown} fits
 */
async function hear(what, fits) {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    for (let message = inbox.shift(); message; message = inbox.shift()) {
      if (message.error) throw Failure.from(message.error);
      if (fits(message)) return message;
    }
    await within(
      what,
      end - performance.now(),
      new Promise((resolve) => (heard = () => resolve(undefined))),
    );
  }
}

/** @template T @param {string} what @param {number} ms @param {Promise<T>} promise @returns {Promise<T>} */
function within(what, ms, promise) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new Failure(
            "timeout",
            `${what} did not come in ${PATIENCE_MS / 1_000} s`,
            "Look at the logs of the demo's home, then try again.",
          ),
        ),
      ms,
    );
  });
  return Promise.race([promise, /** @type {Promise<never>} */ (late)]).finally(() =>
    clearTimeout(timer),
  );
}

/** A loopback port that is free now. @returns {Promise<number>} */
const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });

/** @param {string} home */
async function startGateway(home) {
  const gateway = launch("gateway", ["--home", home, "--json"], { env });
  running.set("gateway", gateway);
  return { gateway, ...(await within("the gateway", PATIENCE_MS, gateway.event("ready"))) };
}

/** Width and height from a JPEG's frame header. @param {Buffer} file */
function jpegSize(file) {
  if (file.readUInt16BE(0) !== 0xffd8) throw new Failure("internal", "the photo is not a JPEG");
  for (let at = 2; at + 9 < file.length; at += 2 + file.readUInt16BE(at + 2)) {
    const marker = file[at + 1] ?? 0;
    if (file[at] !== 0xff) break;
    // SOF0 to SOF15, without DHT, JPG and DAC, which lie among them.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { width: file.readUInt16BE(at + 7), height: file.readUInt16BE(at + 5) };
    }
  }
  throw new Failure("internal", "the photo has no frame header");
}

/** Looks at the file itself, not at what was said about it. @param {any} result */
function checkPhoto(result) {
  const [stream] = result.streams ?? [];
  if (!stream?.path) throw new Failure("internal", "the answer has no photo");
  if (!isAbsolute(stream.path)) throw new Failure("internal", "the photo's path is not absolute");
  const file = readFileSync(stream.path);
  const sha256 = createHash("sha256").update(file).digest("hex");
  const { width, height } = jpegSize(file);
  const said = {
    bytes: stream.bytes,
    sha256: stream.sha256,
    width: result.out.width_px,
    height: result.out.height_px,
  };
  for (const [what, found] of Object.entries({ bytes: file.length, sha256, width, height })) {
    const claim = /** @type {Record<string, unknown>} */ (said)[what];
    if (claim !== found)
      throw new Failure("internal", `the photo's ${what} is ${found}, not ${claim}`);
  }
  return { photo: stream.path, width, height, bytes: file.length, sha256 };
}

/** How often the camera's driver was started, by the node's own ledger. @param {string} nodeHome */
async function countShots(nodeHome) {
  let text = "";
  const ledger = launch("node", ["ledger", "--home", nodeHome, "--json"], { env });
  ledger.child.stdout?.on("data", (chunk) => (text += chunk));
  await within("the node's ledger", PATIENCE_MS, ledger.ended);
  // One object with all rows, or a row per line.
  const said = text
    .split("\n")
    .filter(Boolean)
    .map((one) => JSON.parse(one));
  const refused = said.find((one) => one.error);
  if (refused) throw Failure.from(refused.error);
  const snaps = said.flatMap((one) => one.rows ?? one).filter((row) => row.cap === "camera.snap");
  return snaps.reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + row.starts, 0);
}

/** @typedef {{ provider: string, baseUrl?: string | undefined, name: string }} Asked the model that answers */

/** Any key will do: it goes nowhere but to the address that was given. @param {Asked | undefined} model */
function modelConfig(model) {
  if (!model) return "";
  env.KITH_DEMO_KEY = "demo";
  const { provider, name, baseUrl } = model;
  const lines = { provider, name, apiKey: "${env:KITH_DEMO_KEY}", ...(baseUrl && { baseUrl }) };
  const text = Object.entries(lines).map(([key, value]) => `  ${key}: ${JSON.stringify(value)}`);
  return `model:\n${text.join("\n")}\n`;
}

/** Pictures that the model was sent, by the audit. */
async function picturesSeen() {
  const rows = (await chat?.call("audit.list", { limit: 1_000 }))?.out.rows ?? [];
  return rows
    .filter((/** @type {any} */ row) => row.what === "model.answered")
    .reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + row.data.pictures, 0);
}

/** @param {{ crash: boolean, model?: Asked | undefined }} how */
async function demo({ crash, model }) {
  const ms = { gatewayReady: 0, nodeConnected: 0, paired: 0, photo: 0 };
  await prepare();
  const home = mkdtempSync(join(tmpdir(), "kith-demo-"));
  const nodeHome = join(home, "node");
  env.KITH_HOME = home;
  step(`a fresh home: ${home}`);
  const config = `listen: 127.0.0.1:${await freePort()}\n${modelConfig(model)}`;
  writeFileSync(join(home, "config.yaml"), config, { mode: 0o600 });

  const { gateway, listen } = await startGateway(home);
  ms.gatewayReady = since();
  step(`the gateway is ready on ${listen}`);

  const screen = await terminal();
  chat = await openChat({
    home,
    terminal: screen,
    onMessage: (message) => {
      if (message.text) step(`gateway: ${message.text}`);
      if (message.picture && screen) process.stdout.write(`${message.picture}\n`);
      inbox.push(message);
      heard();
    },
    onLost: () => step("chat: the gateway went away; trying to reach it again"),
    onBack: () => step("chat: the gateway is back"),
  });
  const { say: tell } = chat;
  const say = (/** @type {string} */ text) => {
    step(`you: ${text}`);
    return tell(text);
  };

  await say(typed("/pair"));
  await hear("the answer to /pair", (message) => message.final);

  const args = ["--home", nodeHome, "--gateway", listen, "--name", "laptop", "--allow", POLICY];
  const node = launch("node", [...args, "--camera", "test-pattern", "--json"], {
    env,
    onEvent: (event) => event.event === "connected" && (ms.nodeConnected ||= since()),
  });
  running.set("node", node);
  const nodeSays = (/** @type {string} */ event) =>
    within(`the node's "${event}"`, PATIENCE_MS, node.event(event));
  step(`laptop: connected to ${(await nodeSays("connected")).address}`);
  const { code } = await nodeSays("code");
  step(`laptop: shows the code ${code}`);

  await say(typed(`/approve ${code}`));
  const [, returnCode] = await hear("the return code", (message) =>
    /return code\D{0,20}(\d{4})\b/i.test(message.text),
  ).then((message) => /return code\D{0,20}(\d{4})\b/i.exec(message.text) ?? []);
  await nodeSays("approved");
  step(`at the laptop you type: ${returnCode}`);
  node.child.stdin?.write(`${typed(String(returnCode))}\n`);
  await nodeSays("paired");
  ms.paired = since();
  await nodeSays("ready");
  step(`laptop: paired and ready, after ${pairingActions} things typed at the two ends`);
  const actions = pairingActions;

  const wish = "grab a photo from my laptop camera";
  await say(model ? `${wish} and tell me what is on it` : wish);
  await hear("the question", (message) => message.question);
  const cameraOn = within(
    "the camera",
    PATIENCE_MS,
    node.event("notice", (event) => event.on === true),
  );
  cameraOn.catch(() => {}); // Waited for below, where it is looked at.
  const killed =
    crash &&
    cameraOn.then(async () => {
      gateway.child.kill("SIGKILL");
      step("crash: the gateway is killed between permission and photo");
      await gateway.ended;
      const again = await startGateway(home);
      step(`crash: a new gateway is ready on ${again.listen}`);
    });
  await say("/allow once");
  const [{ result }] = await Promise.all([
    hear("the photo", (message) =>
      model ? message.result?.streams?.[0] : message.final && message.result,
    ),
    killed,
  ]);
  ms.photo = since();

  const answer = model && (await hear("the model's answer", (message) => message.final));
  const photo = checkPhoto(result);
  step(`the photo: ${photo.photo} (${photo.width} x ${photo.height}, ${photo.bytes} bytes)`);
  const audit = await chat.call("audit.verify");
  const modelSawPicture = model && (await picturesSeen()) > 0;
  if (!audit.out.verified) throw new Failure("store-damaged", `the audit: ${audit.out.problem}`);
  step(`the audit is whole: ${audit.out.rows} rows`);
  await stop([node]);
  const shots = await countShots(nodeHome);
  step(`the camera was started ${shots === 1 ? "once" : `${shots} times`}`);
  if (shots !== 1)
    throw new Failure("internal", `the camera was started ${shots} times for one photo`);
  return {
    ok: true,
    ...photo,
    device: result.name ?? result.device,
    camera: result.out.camera,
    pairingActions: actions,
    shots,
    auditVerified: true,
    ...(model && { answer: answer.text, modelSawPicture }),
    ms,
  };
}

async function main() {
  const options = /** @type {const} */ ({
    json: { type: "boolean" },
    crash: { type: "boolean" },
    provider: { type: "string" },
    "base-url": { type: "string" },
    model: { type: "string" },
  });
  const json = process.argv.includes("--json");
  const told = new Promise((_, reject) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
      process.on(signal, () =>
        reject(new Failure("cancelled", "the demo was stopped", "Start it again.")),
      );
    }
  });
  const outcome = await Promise.race([
    (async () => {
      const { values } = parseArgs({ options });
      const { provider, "base-url": baseUrl, model: name = "demo" } = values;
      return demo({
        crash: values.crash === true,
        model: provider === undefined ? undefined : { provider, baseUrl, name },
      });
    })(),
    /** @type {Promise<never>} */ (told),
  ]).catch((why) => why);
  chat?.close();
  await stop([...running.values()]);
  if (env.KITH_HOME)
    step(
      `everything was ended; the demo's home stays until you remove it: ${resolve(env.KITH_HOME)}`,
    );
  if (outcome instanceof Error) process.exitCode = fail(outcome, json) && 1;
  else if (json) line(toJson(outcome));
  process.stdout.write("", () => process.exit());
}

await main();
