// @ts-check
/** `kith secrets set NAME`: the value is typed unseen, or comes through standard input; never as an argument. */
import process from "node:process";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { isTerminal, usage } from "./print.mjs";
import { print, request } from "./request.mjs";

const MOST_BYTES = 65_536;

/** @param {import("./verbs.mjs").Context} context @param {string} name */
export async function set(context, name) {
  const value = (await (isTerminal() ? typed(name) : piped())).trim();
  if (value === "")
    throw usage("type the value, or pipe it in: it is never an argument", "secrets");
  const { out, text } = await request(context, "secrets.set", { name, value });
  print(context, out, text);
}

/** @param {string} name */
async function typed(name) {
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const reader = createInterface({ input: process.stdin, output, terminal: true });
  reader.on("SIGINT", () => process.exit(130));
  process.stderr.write(`Value of ${name} (it is not shown): `);
  try {
    return await reader.question("");
  } finally {
    reader.close();
    process.stderr.write("\n");
  }
}

async function piped() {
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) {
    text += chunk;
    if (text.length > MOST_BYTES) throw usage("a value is at most 64 KiB", "secrets");
  }
  return text;
}
