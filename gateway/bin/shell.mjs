// @ts-check
/**
 * `kith shell`: this terminal on a device's. The shell is the device's: it goes on when this end, the
 * link or the gateway goes away, and whoever comes back goes on at the byte where they were.
 *
 *   ask ─► attach ─► raw ══ bytes both ways ══ detach (Enter ~ d), the shell's end, or another viewer
 *             ▲        └── gateway away: attach again, from the last byte ──┘
 *             └─────────────────────────────────────────────┘
 *
 * The gateway lets nothing through that a terminal answers, stores, or takes for typing.
 */
import { spawnSync } from "node:child_process";
import { constants } from "node:os";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, Failure } from "./control.mjs";
import { line, tame, toJson, usage } from "./print.mjs";
import { print, request } from "./request.mjs";

const REDIAL_MS = 250;
/** So long a gateway may be away before we give up. The shell goes on. */
const PATIENCE_MS = 300_000;
/** What lasts shorter is not worth a line on somebody's screen. */
const WAIT_TOLD_MS = 700;
/** Between two sizes, so that a full-screen program sees both and draws itself anew. */
const REDRAW_MS = 150;

/**
 * What is typed, without what is meant for us: after Enter, `~d` detaches, `~?` tells, `~~` is one `~`.
 * Anything else after a `~` goes as it is.
 */
export function keys() {
  let fresh = true;
  let tilde = false;
  /** @param {Uint8Array} typed @returns {{ bytes: Uint8Array, asked?: "detach" | "help" }} */
  return (typed) => {
    /** @type {number[]} */
    const bytes = [];
    for (const byte of typed) {
      if (tilde) {
        tilde = false;
        if (byte === 0x64) return { bytes: Uint8Array.from(bytes), asked: "detach" };
        if (byte === 0x3f) {
          fresh = true;
          return { bytes: Uint8Array.from(bytes), asked: "help" };
        }
        bytes.push(0x7e);
        if (byte === 0x7e) {
          fresh = false;
          continue;
        }
      } else if (fresh && byte === 0x7e) {
        tilde = true;
        continue;
      }
      bytes.push(byte);
      fresh = byte === 0x0d || byte === 0x0a;
    }
    return { bytes: Uint8Array.from(bytes) };
  };
}

/** The private modes that a program has changed, and how to take them back. */
export function modes() {
  /** @type {Map<string, boolean>} */
  const changed = new Map();
  return {
    /** @param {string} text of the gateway: every sequence in it is whole */
    see(text) {
      // oxlint-disable-next-line no-control-regex -- an escape sequence begins with one
      for (const [, list = "", final] of text.matchAll(/\x1b\[\?([\d;]+)([hl])/g))
        for (const mode of list.split(";")) changed.set(mode, final === "h");
      if (text.includes("\x1bc")) changed.clear();
    },
    /** Everything as it was: a shell wants wrapped lines and a cursor. */
    undo() {
      const on = [...changed].filter(([mode, set]) => set && mode !== "7" && mode !== "25");
      const back = on.map(([mode]) => `\x1b[?${mode}l`).join("");
      changed.clear();
      // New margins move the cursor, so it is kept meanwhile.
      return `${back}\x1b[?7h\x1b[?25h\x1b7\x1b[r\x1b8\x1b>\x1b(B\x0f\x1b[0m`;
    },
  };
}

/** @param {import("./verbs.mjs").Context} context @param {string | undefined} device */
export async function shell(context, device) {
  const { flags, json } = context;
  if (flags.list) {
    const { out, text } = await request(context, "shell.list");
    return print(context, out, text);
  }
  if (flags.close !== undefined) {
    const { out, text } = await request(context, "shell.close", { call: flags.close });
    return print(context, out, text);
  }
  if ((device === undefined) === (flags.attach === undefined))
    throw usage("name a device, or a shell to --attach to", "shell");
  const { stdin, stdout } = process;
  if (!stdin.isTTY || !stdout.isTTY)
    throw new Failure(
      "usage",
      "a shell needs a terminal, and this is none",
      "Run it in a terminal; for scripts there is `kith invoke DEVICE shell.run`.",
    );
  const size = () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 });
  let call = flags.attach;
  let asked = false;
  if (device !== undefined) {
    const { allow } = flags;
    const { out } = await request(context, "shell.open", { device, ...size(), allow });
    call = out.call;
    asked = out.state === "asked" && !json;
    if (asked)
      line(
        `${tame(out.name)}: this needs your permission. Say /allow once in a chat, or: kith allow ${call.slice(-6)} once --no-wait\nCtrl-C takes the question back.`,
      );
  }
  const end = await watch(context, call, size, device !== undefined, asked);
  if (end.error) throw Failure.from({ ...end.error, message: end.text });
  const said = json ? toJson({ ok: true, call, why: end.why, text: end.text }) : tame(end.text);
  // Nothing that is still open, a terminal's input for one, may keep us once it is over.
  stdout.write(`${said}\n`, () => process.exit(0));
}

/**
 * Until it is over, in whatever way; the terminal is as before then.
 * @param {import("./verbs.mjs").Context} context
 * @param {string} wanted the call, or the end of its id
 * @param {() => { columns: number, rows: number }} size
 * @param {boolean} born it was opened just now
 * @param {boolean} told somebody read already that it waits
 * @returns {Promise<{ why: string, text: string, error?: any }>}
 */
async function watch({ home }, wanted, size, born, told) {
  const { stdin, stdout } = process;
  const seen = modes();
  const read = keys();
  let call = wanted;
  let name = "";
  /** @type {number | undefined} */
  let at;
  let open = false;
  let known = born;
  let away = false;
  /** @type {import("./control.mjs").Link | undefined} */
  let link;
  /** @type {(end: { why: string, text: string, error?: any }) => void} */
  let settle = () => {};
  const over = new Promise((resolve) => (settle = resolve));
  let ended = false;
  void over.then(() => (ended = true));

  const note = (/** @type {string} */ text) => stdout.write(`\r\n[kith] ${tame(text)}\r\n`);
  /** @type {NodeJS.Timeout | undefined} */
  let telling;
  const waits = (/** @type {string} */ why) => {
    open = false;
    clearTimeout(telling);
    if (told) return void (told = false);
    telling = setTimeout(() => note(`${name}: waiting, ${why}. Enter ~ d leaves.`), WAIT_TOLD_MS);
  };

  let greeted = false;
  /** Once, above what the shell shows. */
  const greet = () => {
    if (!greeted) note("Enter ~ d leaves the shell running, Enter ~ ? helps.");
    greeted = true;
  };

  const hear = (/** @type {string} */ event, /** @type {any} */ data) => {
    greet();
    if (event === "shell.output") {
      at = data.at;
      seen.see(data.text);
      stdout.write(data.text);
    } else if (event === "shell.closed") settle(data);
    else if (event === "shell.state" && !data.open) waits(data.why);
    else if (event === "shell.state") {
      clearTimeout(telling);
      open = true;
      if (away) note("the gateway is back.");
      away = false;
      // A program that fills the screen has something else on it now than it believes.
      if (known) known = false;
      else void redraw();
    }
  };
  const resize = (/** @type {object} */ now) =>
    void link?.call("shell.resize", now).catch(() => {});
  const redraw = async () => {
    const { columns, rows } = size();
    resize({ columns, rows: rows > 1 ? rows - 1 : 2 });
    await sleep(REDRAW_MS);
    resize(size());
  };

  const join = async () => {
    const joined = await connect(home, hear);
    try {
      const from = at === undefined ? {} : { from: at };
      const { out } = await joined.call("shell.attach", { call, ...size(), ...from });
      call = out.call;
      name = tame(out.name);
      link = joined;
      // Somebody left meanwhile.
      if (ended) joined.close();
      void joined.closed.then(lost);
    } catch (why) {
      joined.close();
      throw why;
    }
  };
  const lost = async () => {
    link = undefined;
    open = false;
    if (ended) return;
    clearTimeout(telling);
    away = true;
    note("the gateway went away; the shell goes on. Trying to reach it again; Enter ~ d leaves.");
    for (let left = PATIENCE_MS; left > 0 && !ended; left -= REDIAL_MS) {
      await sleep(REDIAL_MS);
      if (ended) return;
      try {
        return await join();
      } catch (why) {
        const failure = Failure.from(why);
        if (failure.code === "gateway-away" || failure.lost) continue;
        return settle({ why: "failed", text: failure.message, error: failure });
      }
    }
    settle({
      why: "failed",
      text: "the gateway stays away",
      error: new Failure("gateway-away", ""),
    });
  };

  const detached = () => ({
    why: "detached",
    text: `Detached. The shell goes on: kith shell --attach ${call.slice(-6)}`,
  });
  /** What was typed and is not taken yet: one request at a time keeps the order. */
  let typing = Promise.resolve();
  const type = (/** @type {Buffer} */ typed) => {
    const { bytes, asked } = read(typed);
    if (bytes.length > 0 && link && open)
      for (let from = 0; from < bytes.length; from += 32_768) {
        const data = Buffer.from(bytes.subarray(from, from + 32_768)).toString("base64");
        typing = typing.then(async () => {
          await link?.call("shell.input", { data }).catch(() => {}); // The state tells.
        });
      }
    // Nothing takes it: what is typed blindly is not kept for later, and Ctrl-C ends the wait.
    else if (bytes.includes(3)) return settle(detached());
    else if (bytes.length > 0) stdout.write("\x07");
    if (asked === "detach") settle(detached());
    if (asked === "help") note("Enter ~ d leaves the shell running; Enter ~ ~ types one ~.");
  };

  const restore = () => {
    clearTimeout(telling);
    if (stdin.isRaw) stdin.setRawMode(false);
    stdout.write(seen.undo());
  };
  const resized = () => resize(size());
  const killed = (/** @type {NodeJS.Signals} */ signal) =>
    process.exit(128 + constants.signals[signal]);
  const signals = /** @type {const} */ (["SIGTERM", "SIGHUP", "SIGINT"]);

  // The terminal is ready before the first byte comes: somebody may answer a prompt as soon as they see it.
  process.once("exit", restore);
  for (const signal of signals) process.on(signal, killed);
  stdout.on("resize", resized);
  stdin.setRawMode(true);
  // Node leaves one thing on: a line feed would go to the first column, where a program that fills the
  // screen means straight down. Without the program `stty` it stays so; the end of raw mode undoes both.
  spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
  stdin.on("data", type);
  stdin.on("end", () => settle(detached()));
  stdin.resume();
  try {
    await join();
    greet();
    const end = /** @type {{ why: string, text: string, error?: any }} */ (await over);
    await withdraw(end);
    return end;
  } finally {
    ended = true;
    process.removeListener("exit", restore);
    for (const signal of signals) process.removeListener(signal, killed);
    stdout.off("resize", resized);
    stdin.off("data", type);
    stdin.pause();
    restore();
    stdout.write("\r\n");
    /** @type {any} */ (link)?.close();
  }

  /** Whoever leaves before it was permitted takes the question back. */
  async function withdraw(/** @type {{ why: string, text: string }} */ end) {
    if (end.why !== "detached" || at !== undefined || !link) return;
    const back = await link.call("calls.cancel", { id: call }).catch(() => undefined);
    if (back) end.text = "Taken back: nothing was opened.";
  }
}
