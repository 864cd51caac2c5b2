// @ts-check
/** Files between this computer and devices, and between devices: `kith send`, `get` and `copy`. */
import { basename, extname, parse, resolve } from "node:path";
import process from "node:process";
import { copyAs, tame, usage } from "./print.mjs";
import { print, request } from "./request.mjs";
import { number, printResult, term } from "./verbs.mjs";

/** @typedef {import("./verbs.mjs").Context} Context */

/**
 * Permission and patience, as every call takes them.
 * @param {Context} context
 */
function asked({ verb, flags }) {
  const wait = number(flags.wait, "--wait", verb);
  const deliver = number(flags.deliver, "--deliver", verb);
  return {
    allow: term(flags.allow, verb),
    ...(wait !== undefined && { wait_ms: Number(wait) * 1_000 }),
    ...(deliver !== undefined && { deliver_s: Number(deliver) }),
  };
}

/**
 * A call with content, which a terminal sees move.
 * @param {Context} context
 * @param {string} what
 * @param {object} call
 */
async function invoke(context, what, call) {
  const { isTTY, columns } = process.stderr;
  if (context.json || !isTTY) return request(context, "invoke", call);
  /** One row, written over and over. @param {string} text */
  const show = (text) => process.stderr.write(`\r\x1b[K${tame(text).slice(0, columns - 1)}`);
  show(`${what} …`);
  try {
    return await request(context, "invoke", { ...call, progress: true }, (event, { bytes, of }) => {
      if (event !== "call.progress") return;
      show(`${what} … ${of > 0 ? `${Math.floor((bytes / of) * 100)} %` : size(bytes)}`);
    });
  } finally {
    show("");
  }
}

/** Without the path in the gateway's own folder. @param {string} text */
const firstLine = (text) => text.split("\n", 1)[0] ?? "";

/** @param {number} bytes */
const size = (bytes) =>
  bytes < 1e3
    ? `${bytes} bytes`
    : bytes < 1e6
      ? `${Math.ceil(bytes / 1e3)} kB`
      : `${(bytes / 1e6).toFixed(1)} MB`;

/** @param {Context} context @param {any[]} words */
export async function send(context, [file, device, path = basename(file)]) {
  const { root, replaces } = context.flags;
  const { out: content } = await request(context, "content.put", { path: resolve(file) });
  const what = `Sending ${basename(file)} (${size(content.bytes)}) to ${device}`;
  const args = { path, ...(root && { root }), ...(replaces && { replaces }) };
  const call = { device, cap: "files.write", args, content, ...asked(context) };
  await printResult(context, await invoke(context, what, call));
}

/** By the end of its name; the device looks at the content itself. @type {Record<string, string>} */
const SOUNDS = {
  ".ogg": "audio/ogg",
  ".opus": "audio/ogg",
  ".mp3": "audio/mpeg",
  ".wav": "audio/wav",
  ".flac": "audio/flac",
};

/** @param {Context} context @param {any[]} words */
export async function play(context, [file, device]) {
  const type = SOUNDS[extname(file).toLowerCase()];
  if (type === undefined)
    throw usage(`a device plays ${Object.keys(SOUNDS).join(", ")}, not ${basename(file)}`, "play");
  const { out: content } = await request(context, "content.put", { path: resolve(file), type });
  const what = `Sending ${basename(file)} (${size(content.bytes)}) to ${device}`;
  const call = { device, cap: "audio.play", content, ...asked(context) };
  await printResult(context, await invoke(context, what, call));
}

/** @param {Context} context @param {any[]} words */
export async function get(context, [device, path]) {
  const { root, out = "." } = context.flags;
  const args = { path, ...(root && { root }) };
  const call = { device, cap: "files.read", args, ...asked(context) };
  const { out: told, text } = await invoke(context, `Fetching ${path} from ${device}`, call);
  const [stream] = told.streams;
  const { name, ext } = parse(basename(path));
  const saved = await copyAs(stream.path, resolve(out), name, ext);
  print(
    context,
    { ...told, streams: [{ ...stream, path: saved }] },
    `${firstLine(text)}\n${saved}`,
  );
}

/** Two calls, each with its own permission. @param {Context} context @param {any[]} words */
export async function copy(context, [from, path, to, into = basename(path)]) {
  const read = { device: from, cap: "files.read", args: { path }, ...asked(context) };
  const { out } = await invoke(context, `Fetching ${path} from ${from}`, read);
  const [{ sha256, type, bytes }] = out.streams;
  const content = { sha256, type, bytes };
  const write = { device: to, cap: "files.write", args: { path: into }, content };
  const what = `Sending it (${size(bytes)}) to ${to}`;
  await printResult(context, await invoke(context, what, { ...write, ...asked(context) }));
}
