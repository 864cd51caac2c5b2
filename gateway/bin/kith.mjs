#!/usr/bin/env node
// @ts-check
/** The command `kith`: finds the verb, prints help, and turns what happened into an exit code. */
import process from "node:process";
import { parseArgs } from "node:util";
import { kithHome } from "./control.mjs";
import { fail, line, toJson, usage } from "./print.mjs";
import { forms, verbs } from "./verbs.mjs";

/** @param {string[]} argv */
async function main([name = "--help", ...argv]) {
  if (/^(-V|--version|version)$/.test(name)) {
    const { readFileSync } = await import("node:fs");
    const { version } = JSON.parse(
      readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
    );
    line(argv.includes("--json") ? toJson({ ok: true, version }) : version);
    return 0;
  }
  if (/^(help|-h|--help)$/.test(name)) return help(argv.includes("--json"), overview());
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (!verb) throw usage(`there is no verb ${JSON.stringify(name)}`);
  const asksHelp = verb.passThrough
    ? /^(-h|--help)$/.test(argv[0] ?? "")
    : argv.some((arg) => arg === "--help" || arg === "-h");
  if (asksHelp) return help(argv.includes("--json"), helpOf(name, verb));
  if (verb.passThrough) return verb.passThrough(argv);

  const { values: flags, positionals } = parse(name, verb, argv);
  const form = forms(verb).find((form) => form.fits(positionals));
  if (!form) throw usage(`that is not how \`kith ${name}\` is used`, name);
  const json = flags.json === true;
  const context = { home: kithHome(), verb: name, json, flags };
  return (await form.run(context, ...form.params(positionals))) ?? 0;
}

/**
 * @param {string} name
 * @param {import("./verbs.mjs").Verb} verb
 * @param {string[]} args
 */
function parse(name, verb, args) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: { json: { type: "boolean" }, ...verb.options },
    });
  } catch (why) {
    throw usage(/** @type {Error} */ (why).message.split(". ")[0] ?? "", name);
  }
}

/** @param {boolean} json @param {string} text */
function help(json, text) {
  line(json ? toJson({ ok: true, help: text }) : text);
  return 0;
}

function overview() {
  const rows = Object.entries(verbs).map(([name, verb]) => `  ${name.padEnd(10)} ${verb.about}`);
  return `kith: your own machines, asked from one place.\n\n${rows.join("\n")}

  kith VERB --help   how a verb is used, with an example
  --json             one JSON object on the last line, for scripts
  KITH_HOME          where everything is kept (default ~/.kith)

Exit codes: 0 done, 1 failed, 2 usage, 3 needs your permission first, 4 may or may not have happened.`;
}

/** @param {string} name @param {import("./verbs.mjs").Verb} verb */
function helpOf(name, verb) {
  const uses = forms(verb).map((form) => `  kith ${name} ${form.pattern}`.trimEnd());
  const options = Object.entries({ ...verb.hints, json: "one JSON object for scripts" }).map(
    ([option, hint]) => `  --${option.padEnd(18)} ${hint}`,
  );
  return `${verb.about}\n\n${uses.join("\n")}\n\nOptions:\n${options.join("\n")}\n\nExample:\n  ${verb.example.replaceAll("\n", "\n  ")}`;
}

process.stdout.on("error", () => process.exit()); // The reader of a pipe went away: nobody listens.
const json = process.argv.includes("--json");
main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (why) => (process.exitCode = fail(why, json)),
);
