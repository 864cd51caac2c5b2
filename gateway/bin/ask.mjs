// @ts-check
/** `kith ask`: one sentence in, the answer out; a question on the way is put to whoever is there. */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { openChat } from "./chat-link.mjs";
import { Failure } from "./control.mjs";
import { fail, isTerminal, line, paint, tame, terminal, toJson } from "./print.mjs";
import { number, printResult, term } from "./verbs.mjs";

const CHOICES = "[once, 15m, 1h, today, no]";

/** A gateway that is started again is back in less. */
const AWAY_MS = 60_000;

/**
 * @param {import("./verbs.mjs").Context} context
 * @param {string} text
 */
export async function ask(context, text) {
  const { home, json, flags } = context;
  const allow = term(flags.allow, "ask");
  const wait = number(flags.wait, "--wait", "ask");
  const inline = isTerminal() && !json && !allow && wait === undefined;
  const over = new AbortController(); // Ends what still waits: our own question, timers.
  let away = new AbortController();
  /** @type {Awaited<ReturnType<typeof openChat>> | undefined} */
  let link;

  /** @type {(message: any) => void} */
  let resolve = () => {};
  /** @type {(why: unknown) => void} */
  let reject = () => {};
  const last = new Promise((done, failed) => ([resolve, reject] = [done, failed]));
  last.catch(() => {}); // Awaited below; it may fail while the chat is still being opened.

  const question = async (/** @type {any} */ asked) => {
    const id = asked.approval;
    if (!inline && !allow) {
      if (wait !== undefined) await sleep(Number(wait) * 1_000, undefined, over);
      const open = (await link?.call("approvals.list"))?.out.approvals;
      const still = open?.find((/** @type {any} */ one) => one.id === id);
      if (!still && wait !== undefined) return; // Answered elsewhere; it runs.
      const what = `${still?.name ?? asked.device} may not be asked for ${asked.cap} yet (approval ${id})`;
      throw new Failure("approval-needed", what, `kith allow ${id} once`);
    }
    const word = allow ?? (await choose(over.signal));
    const answer =
      word === "no" ? link?.call("deny", { id }) : link?.call("allow", { id, for: word });
    await answer?.catch((why) => {
      // Somebody else was quicker, or the answer was lost: the chat still tells how it ended.
      if (why.code !== "approval-unknown" && !why.lost) throw why;
    });
  };

  try {
    link = await openChat({
      home,
      chat: "ask",
      terminal: json ? undefined : await terminal(),
      onMessage: (message) => {
        if (!json && !message.error) show(message);
        if (message.question) question(message.question).catch(reject);
        else if (message.final) resolve(message);
      },
      onError: reject,
      onLost: () => {
        const gone = new Failure("unknown", "the gateway went away and did not come back");
        sleep(AWAY_MS, undefined, (away = new AbortController())).then(
          () => reject(gone),
          () => {},
        );
      },
      onBack: () => away.abort(),
    });
    await link.say(text);
    const { error, result, text: words } = /** @type {any} */ (await last);
    if (error) return fail(error, json);
    if (result && (json || flags.out !== undefined))
      await printResult(context, { out: result, text: "" });
    else if (json) line(toJson({ ok: true, text: tame(words) }));
    return 0;
  } finally {
    over.abort();
    away.abort();
    link?.close();
  }
}

/** @param {any} message */
function show(message) {
  if (message.text) line(tame(message.text));
  if (message.picture) process.stdout.write(`${message.picture}\n`);
}

/** @param {AbortSignal} signal aborted when the chat went on without us, which rejects */
async function choose(signal) {
  const { createInterface } = await import("node:readline/promises");
  const reader = createInterface({ input: process.stdin, output: process.stdout });
  reader.on("SIGINT", () => process.exit(1));
  try {
    for (;;) {
      const word = await reader.question(paint("bold", `${CHOICES} `), { signal });
      const plain = word
        .trim()
        .toLowerCase()
        .replace(/^(yes|y)$/, "once")
        .replace(/^n$/, "no");
      if (["once", "15m", "1h", "today", "no"].includes(plain)) return plain;
    }
  } finally {
    reader.close();
  }
}
