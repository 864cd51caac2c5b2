// @ts-check
/**
 * The chat in a terminal: what is typed is said to the gateway (also /help and the like), what it
 * says is printed above the line that is being typed. Without a terminal, lines in and lines out.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { openChat } from "./chat-link.mjs";
import { watchConsent } from "./consent.mjs";
import { Failure } from "./control.mjs";
import { isTerminal, paint, tame, terminal, toJson, wrap } from "./print.mjs";

/**
 * @param {{ home: string, json: boolean, name?: string, greeting?: string,
 *   ready?: (note: (text: string) => void, leave: () => void) => void }} how `ready` gets what prints a line
 *   above the prompt, and what ends the chat
 * @returns {Promise<number>} when the person left
 */
export async function chat({ home, json, name, greeting = "Ctrl-D leaves, /help helps.", ready }) {
  const person = isTerminal() && !json;
  /** @type {import("node:readline").Interface | undefined} */
  let reader;
  let waiting = 0;
  let over = false;

  /** The row above the prompt shows an answer that is still coming. */
  let drafted = false;
  const clear = () => process.stdout.write(drafted ? "\x1b[1A\r\x1b[J" : "\r\x1b[J");
  const put = (/** @type {string} */ text) => {
    if (person) clear();
    drafted = false;
    process.stdout.write(`${text}\n`);
    if (person && !over) reader?.prompt(true);
  };
  const onDraft = (/** @type {string} */ text) => {
    // What is typed must stay on one row, or nobody knows which row is above it.
    const room = process.stdout.columns - 4;
    if (!person || over || (reader?.line.length ?? 0) > room) return;
    clear();
    const line = tame(text).trimEnd().replaceAll("\n", " ");
    process.stdout.write(`${paint("dim", line.length > room ? `… ${line.slice(-room)}` : line)}\n`);
    drafted = true;
    reader?.prompt(true);
  };
  const note = (/** @type {string} */ text) =>
    put(paint("dim", json ? toJson({ note: text }) : text));
  const wrong = (/** @type {any} */ why) =>
    put(
      json
        ? toJson({ error: why })
        : paint("red", tame(`${why.message}\n${why.remedy ?? ""}`.trimEnd())),
    );

  const onMessage = (/** @type {any} */ message) => {
    if (json) put(toJson(message));
    else {
      const text = tame(message.text);
      const hint = message.question && !text.includes("/allow");
      const words = hint ? `${text}\n/allow once, 15m, 1h or today, or /deny` : text;
      const lines = person ? wrap(words, process.stdout.columns - 1) : words;
      if (words) put(message.question ? paint("yellow", lines) : lines);
      // A question which device is meant says all of it already.
      const said =
        message.error?.code === "device-ambiguous" || text.includes(message.error?.message);
      if (message.error && !said) wrong(message.error);
      if (message.picture) put(message.picture);
    }
    if (message.final && waiting > 0) waiting--;
    if (over && waiting === 0) leave();
  };

  let leave = () => {};
  const left = new Promise((resolve) => (leave = () => resolve(undefined)));
  const link = await openChat({
    home,
    ...(name !== undefined && { chat: name }),
    terminal: person ? await terminal() : undefined,
    onMessage,
    onDraft,
    onLost: () => note("The gateway went away; trying to reach it again."),
    onBack: () => note("The gateway is back."),
    onError: wrong,
  });
  reader = createInterface({
    input: process.stdin,
    ...(person && { output: process.stdout, prompt: paint("bold", "› "), historySize: 200 }),
  });
  ready?.(note, leave);
  const device = person
    ? watchConsent(home, (text) =>
        put(paint("yellow", wrap(tame(text), process.stdout.columns - 1))),
      )
    : undefined;

  reader.on("line", (text) => {
    if (text.trim() && !device?.answer(text)) {
      waiting++;
      link.say(text).catch((why) => {
        waiting--;
        wrong(Failure.from(why));
      });
    }
    if (person) reader?.prompt();
  });
  reader.on("error", leave); // The terminal went away.
  reader.on("SIGINT", leave); // Ctrl-C; Ctrl-D closes the reader.
  reader.on("close", () => {
    over = true;
    if (person || waiting === 0) leave();
  });
  if (person) note(greeting);

  await left;
  over = true;
  device?.stop();
  link.close();
  reader.close();
  if (person) process.stdout.write("\n");
  return 0;
}
