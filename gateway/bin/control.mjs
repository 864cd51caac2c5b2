// @ts-check
/**
 * The client's end of the control socket (docs/control.md): one JSON object per line.
 *
 *   connect ── request ──► gateway          `call` resolves with its answer
 *           ◄─ answer, chat.message ──      or rejects with a Failure
 *
 * Loads nothing but node:net, os, path and process: every verb of `kith` pays for this file.
 */
import { createConnection } from "node:net";
import { homedir } from "node:os";
import { resolve } from "node:path";
import process from "node:process";

/** Lines are at most 1 MiB; more without an end is not the gateway speaking. */
const MAX_LINE = 1_048_576;

/** What the client itself can find wrong; the words of shared/src/errors.ts (a test compares). */
export const remedies = {
  usage: "See `kith --help`, or `kith VERB --help`.",
  "gateway-away": "Start the gateway with `npm start` or `kith up`.",
  "approval-needed": "Allow it with `kith allow ID once` (or 15m, 1h, today), or `kith deny ID`.",
  unknown:
    "It may or may not have happened; look at the device before you ask again. `kith why ID` tells what is known.",
  schema: "Update the older side: one of the two speaks a frame the other does not know.",
  "store-damaged":
    "Do not delete anything. Restore a backup, or move kith.db aside to start empty.",
  timeout:
    "The device started but did not finish in time. Ask again; if it stays, look at the device.",
  internal: "This is a defect of Kith. The log has the details; please report it.",
  "install-failed": "Look at npm's words above, check the network and the disk, then start again.",
};

/** What went wrong, with what to do next: `{code, message, remedy}` of the gateway or our own. */
export class Failure extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {string} [remedy]
   */
  constructor(code, message, remedy) {
    super(message);
    this.code = code;
    this.remedy = remedy ?? /** @type {Record<string, string>} */ (remedies)[code] ?? "";
    /** The connection broke before the answer came. */
    this.lost = false;
  }

  /** @param {any} error as it came over a socket or a pipe, so of any shape */
  static from(error) {
    if (error instanceof Failure) return error;
    if (typeof error?.code !== "string" || error instanceof Error) {
      return new Failure("internal", String(error?.message ?? error));
    }
    return new Failure(error.code, String(error.message ?? error.code), error.remedy);
  }
}

export function kithHome() {
  return resolve(process.env.KITH_HOME || resolve(homedir(), ".kith"));
}

/**
 * A Unix socket's path is at most about 100 bytes, so we stand in the home while connecting.
 * @param {string} home
 * @param {string} name
 */
function dial(home, name) {
  if (process.platform === "win32") {
    return createConnection(
      `\\\\.\\pipe\\kith-${Buffer.from(home).toString("hex").slice(-64)}-${name}`,
    );
  }
  const here = process.cwd();
  process.chdir(home);
  try {
    return createConnection(name);
  } finally {
    process.chdir(here);
  }
}

/** @param {string} op */
function lost(op) {
  const asked = /\.(list|verify|explain|open|say|seen)$|^(why|status)$/.test(op);
  const failure = asked
    ? new Failure("gateway-away", "the gateway went away before it answered")
    : new Failure("unknown", `the gateway went away before it answered ${op}`);
  failure.lost = true;
  return failure;
}

/**
 * @typedef {{ out: any, text: string }} Answer
 * @typedef {{ call: (op: string, args?: object) => Promise<Answer>, close: () => void, closed: Promise<void> }} Link
 * @param {string} home
 * @param {(event: string, data: any) => void} [onEvent]
 * @param {string} [name] of the socket in that home
 * @returns {Promise<Link>} rejects with `gateway-away`
 */
export function connect(home, onEvent = () => {}, name = "control.sock") {
  const away = (/** @type {any} */ cause) =>
    new Failure("gateway-away", `no gateway answers in ${home} (${cause.code ?? cause.message})`);
  return new Promise((resolve, reject) => {
    /** @type {import("node:net").Socket} */
    let socket;
    try {
      socket = dial(home, name);
    } catch (cause) {
      return reject(away(cause));
    }
    /** @type {Map<number, { op: string, resolve: (answer: Answer) => void, reject: (why: Failure) => void }>} */
    const open = new Map();
    let rest = "";
    let last = 0;
    const take = (/** @type {string} */ line) => {
      const message = JSON.parse(line);
      if (message.event) return onEvent(String(message.event), message.data ?? {});
      const asked = open.get(message.id);
      open.delete(message.id);
      if (message.ok) asked?.resolve({ out: message.out ?? {}, text: String(message.text ?? "") });
      else asked?.reject(Failure.from(message.error));
    };
    socket.setEncoding("utf8");
    socket.on("data", (/** @type {any} */ data) => {
      const lines = (rest + data).split("\n");
      rest = lines.pop() ?? "";
      try {
        for (const line of lines) if (line.trim()) take(line);
        if (rest.length > MAX_LINE) throw new Error("a line without an end");
      } catch {
        // Not JSON or far too long: a peer that we do not understand is a closed one.
        socket.destroy();
      }
    });
    const closed = new Promise((done) => socket.once("close", () => done(undefined)));
    socket.on("error", (cause) => reject(away(cause))); // After the connection: `close` tells.
    socket.once("close", () => {
      for (const asked of open.values()) asked.reject(lost(asked.op));
      open.clear();
    });
    socket.once("connect", () =>
      resolve({
        closed: /** @type {Promise<void>} */ (closed),
        close: () => socket.destroy(),
        call: (op, args = {}) =>
          new Promise((resolve, reject) => {
            if (socket.destroyed) return reject(lost(op));
            open.set(++last, { op, resolve, reject });
            socket.write(`${JSON.stringify({ id: last, op, args })}\n`);
          }),
      }),
    );
  });
}
