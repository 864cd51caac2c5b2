// @ts-check
/**
 * The verbs of `kith`: what each is for, how it is written, what it asks the gateway.
 * A form is a pattern (`rename DEVICE NAME`; lower case is literal, brackets are optional)
 * and what to do with the words that fill it. Whatever a verb needs more is loaded when it runs.
 */
import { resolve } from "node:path";
import { Failure } from "./control.mjs";
import { saveStreams, tame, usage } from "./print.mjs";
import { print, request } from "./request.mjs";

/**
 * @typedef {{ home: string, verb: string, json: boolean, flags: Record<string, any> }} Context
 * @typedef {(context: Context, ...words: any[]) => Promise<number | void>} Run
 * @typedef {{ about: string, example: string, forms: Record<string, Run>,
 *   options?: Record<string, { type: "string" | "boolean" }>, hints?: Record<string, string>,
 *   passThrough?: (argv: string[]) => Promise<number> }} Verb
 */

const TERMS = ["once", "15m", "1h", "today"];
const string = /** @type {const} */ ({ type: "string" });
const boolean = /** @type {const} */ ({ type: "boolean" });

/** @param {Verb} verb */
export const forms = (verb) =>
  Object.entries(verb.forms).map(([pattern, run]) => {
    const words = pattern.split(" ").filter(Boolean);
    const least = words.filter((word) => !word.startsWith("[")).length;
    const many = pattern.includes("...");
    const literal = words.map((word) => /^\[?([a-z]+)/.exec(word)?.[1]);
    return {
      pattern,
      run,
      fits: (/** @type {string[]} */ given) =>
        given.length >= least &&
        (many || given.length <= words.length) &&
        literal.every((word, at) => !word || given[at] === undefined || given[at] === word),
      params: (/** @type {string[]} */ given) =>
        words
          .map((_, at) => (many && at === words.length - 1 ? given.slice(at).join(" ") : given[at]))
          .filter((_, at) => !literal[at]),
    };
  });

/**
 * Prints the result of a call; with `--out` its files first get readable names there.
 * @param {Context} context
 * @param {import("./control.mjs").Answer} answer
 */
export async function printResult(context, { out, text }) {
  if (context.flags.out === undefined || !out.streams) return print(context, out, text);
  const saved = await saveStreams(out, resolve(context.flags.out));
  const paths = saved.streams.map((/** @type {any} */ stream) => stream.path);
  print(context, saved, [text, ...paths].join("\n"));
}

/**
 * A form that only asks and prints.
 * @param {string} op
 * @param {(words: any[], flags: Record<string, any>) => object} [args]
 * @returns {Run}
 */
const asks =
  (op, args = () => ({})) =>
  async (context, ...words) => {
    const { out, text } = await request(context, op, args(words, context.flags));
    print(context, out, text);
  };

/** @param {unknown} term @param {string} verb */
export function term(term, verb) {
  if (term === undefined || TERMS.includes(String(term))) return term;
  throw usage(`permission is given for ${TERMS.join(", ")}, not ${JSON.stringify(term)}`, verb);
}

/** @param {string | undefined} text @param {string} what @param {string} verb */
export function number(text, what, verb) {
  if (text === undefined || /^\d{1,7}$/.test(text)) return text && Number(text);
  throw usage(`${what} must be a number, not ${JSON.stringify(text)}`, verb);
}

/** @param {string | undefined} text */
function jsonArgs(text = "{}") {
  try {
    const args = JSON.parse(text);
    if (args !== null && typeof args === "object" && !Array.isArray(args)) return args;
  } catch {
    // The same remedy as for JSON of another shape.
  }
  throw usage(`the arguments must be a JSON object, such as '{"facing":"back"}'`, "invoke");
}

/** @param {string | undefined} what @returns {"gateway" | "node"} */
function service(what = "gateway") {
  if (what === "gateway" || what === "node") return what;
  throw usage(`a service is gateway or node, not ${JSON.stringify(what)}`, "service");
}

const ALLOW_HINT = "once, 15m, 1h or today: permission by your own word";
const WAIT_HINT = "seconds to wait until somebody permits it elsewhere";
const ROOT_HINT = "name of the shared folder, when there are several";
const OUT_HINT = "folder that gets the files, under readable names";

/** @type {Record<string, Verb>} */
export const verbs = {
  init: {
    about: "Set up the gateway of this computer: six questions with safe answers.",
    example: "kith init\nkith init --yes\nkith init --yes --model auto",
    options: { yes: boolean, model: string, "base-url": string },
    hints: {
      model:
        "auto (the first that answers: your key in the environment, or Ollama), none, or PROVIDER/NAME",
      "base-url": "ADDRESS of the service of --model, if it is elsewhere",
      yes: "take the safe answer to each: only this computer, nothing turned on, no start at login",
    },
    forms: { "": async (context) => (await import("./init.mjs")).init(context) },
  },
  up: {
    about: "Start the gateway and this computer's device; in a terminal, open a chat.",
    example: "kith up",
    forms: { "": async (context) => (await import("./up.mjs")).up(context) },
  },
  node: {
    about: "Be a device: run the node-agent. All of its options: kith node run --help.",
    example: "kith node\nkith node --gateway 192.168.1.10 --name laptop --allow camera.snap=ask",
    forms: { "[setup|questions|yes|no|lock|unlock|ledger] [OPTIONS...]": async () => {} },
    hints: {
      gateway: "HOST[:PORT] to connect to, or --local for this machine's own",
      name: "what the device is called",
      allow: "CAP=ask|allow,... what it may be asked for",
      camera: "NAME of a camera, or test-pattern",
      root: "NAME=PATH of a folder whose files may be asked for",
      driver: "FILE of a module with a capability of your own",
    },
    passThrough: async (argv) => (await import("./device.mjs")).node(argv),
  },
  doctor: {
    about: "Tell what is true now, and for what is not right what to do.",
    example: "kith doctor\nkith doctor mesh",
    forms: {
      "": async (context) => (await import("./doctor.mjs")).doctor(context),
      mesh: async (context) => (await import("./doctor.mjs")).doctorMesh(context),
    },
  },
  service: {
    about:
      "Let the system start the gateway with this computer's device by itself; `node`: a device whose gateway is elsewhere.",
    example: "kith service install\nkith service install node",
    forms: {
      "install [WHAT]": async (context, what) =>
        (await import("./service.mjs")).install(context, service(what)),
      "status [WHAT]": async (context, what) =>
        (await import("./service.mjs")).status(context, service(what)),
      "uninstall [WHAT]": async (context, what) =>
        (await import("./service.mjs")).uninstall(context, service(what)),
      "": async (context) => (await import("./service.mjs")).status(context, "gateway"),
    },
  },
  chat: {
    about:
      "Talk with your gateway; Ctrl-D leaves. NAME is another chat, such as that of another assistant (agents in config.yaml).",
    example: "kith chat work",
    forms: {
      "[NAME]": async (context, name) => (await import("./chat.mjs")).chat({ ...context, name }),
    },
  },
  ask: {
    about: "Say one thing and wait for the answer.",
    example: 'kith ask "grab a photo from my laptop camera" --allow once',
    options: { allow: string, wait: string, out: string },
    hints: { allow: ALLOW_HINT, wait: WAIT_HINT, out: OUT_HINT },
    forms: { "TEXT...": async (context, text) => (await import("./ask.mjs")).ask(context, text) },
  },
  invoke: {
    about: "Run one capability of one device.",
    example: `kith invoke laptop camera.snap '{"facing":"any"}' --allow once --out .`,
    options: { allow: string, wait: string, deliver: string, unlocked: boolean, out: string },
    hints: {
      allow: ALLOW_HINT,
      wait: WAIT_HINT,
      deliver: "seconds it may wait for a device that is away; it is done when the device is back",
      unlocked: "with --deliver: also until somebody unlocks the device",
      out: OUT_HINT,
    },
    forms: {
      "DEVICE CAPABILITY [JSON]": async (context, device, cap, json) => {
        const args = jsonArgs(json);
        const allow = term(context.flags.allow, "invoke");
        const wait = number(context.flags.wait, "--wait", "invoke");
        const wait_ms = wait === undefined ? undefined : Number(wait) * 1_000;
        const deliver = number(context.flags.deliver, "--deliver", "invoke");
        const deliver_s = deliver === undefined ? undefined : Number(deliver);
        const { unlocked } = context.flags;
        const asked = { device, cap, args, allow, deliver_s, unlocked, wait_ms };
        await printResult(context, await request(context, "invoke", asked));
      },
    },
  },
  send: {
    about: "Put a file of this computer into a shared folder of a device.",
    example: "kith send report.pdf phone\nkith send notes.txt laptop docs/notes.txt --root home",
    options: { root: string, replaces: string, allow: string, wait: string, deliver: string },
    hints: {
      root: ROOT_HINT,
      replaces: "SHA-256 of the file there that it replaces; that version is kept for a week",
      allow: ALLOW_HINT,
      wait: WAIT_HINT,
      deliver: "seconds it may wait for a device that is away",
    },
    forms: {
      "FILE DEVICE [PATH]": async (context, ...words) =>
        (await import("./transfer.mjs")).send(context, words),
    },
  },
  play: {
    about: "Play a sound of this computer aloud on a device.",
    example: "kith play doorbell.mp3 kitchen",
    options: { allow: string, wait: string, deliver: string },
    hints: {
      allow: ALLOW_HINT,
      wait: WAIT_HINT,
      deliver: "seconds it may wait for a device that is away",
    },
    forms: {
      "FILE DEVICE": async (context, ...words) =>
        (await import("./transfer.mjs")).play(context, words),
    },
  },
  get: {
    about: "Fetch a file from a shared folder of a device.",
    example: "kith get laptop report.pdf --out .",
    options: { root: string, allow: string, wait: string, out: string },
    hints: { root: ROOT_HINT, allow: ALLOW_HINT, wait: WAIT_HINT, out: `${OUT_HINT} (here)` },
    forms: {
      "DEVICE PATH": async (context, ...words) =>
        (await import("./transfer.mjs")).get(context, words),
    },
  },
  copy: {
    about: "Copy a file from a shared folder of one device to another device.",
    example: "kith copy laptop report.pdf phone",
    options: { allow: string, wait: string },
    hints: { allow: ALLOW_HINT, wait: WAIT_HINT },
    forms: {
      "DEVICE PATH DEVICE [PATH]": async (context, ...words) =>
        (await import("./transfer.mjs")).copy(context, words),
    },
  },
  shell: {
    about:
      "Open a terminal on a device. It is asked for each time; it goes on when you leave or the gateway is away.",
    example:
      "kith shell laptop --allow once\nkith shell --list\nkith shell --attach 5N1PWD\nkith shell --close 5N1PWD",
    options: { allow: string, attach: string, close: string, list: boolean },
    hints: {
      allow: "once, 15m, 1h or today: permission by your own word, and how long it may stay open",
      attach: "ID of one that is open: go on there (Enter ~ d leaves it running)",
      close: "ID of one that is open: end it",
      list: "those that are open",
    },
    forms: {
      "[DEVICE]": async (context, device) => {
        term(context.flags.allow, "shell");
        return (await import("./shell.mjs")).shell(context, device);
      },
    },
  },
  pair: {
    about:
      "Let a new device in: by a line to paste there, or by a code that it shows and you type here.",
    example:
      "kith pair invite --caps camera,device\nkith pair listen\nkith pair approve E8Z-PKG-EJH",
    options: { caps: string, ttl: string, open: string },
    hints: {
      caps: "CAP,... that the device turns on by it; `camera` means all that begin so",
      ttl: "how long the line works, from 1m to 24h (default 10m)",
      open: "ADDRESS of this machine to open to devices first (`kith pair open` lists them)",
    },
    forms: {
      invite: async (context) => (await import("./invite.mjs")).invite(context),
      listen: asks("pair.listen"),
      "open [ADDRESS]": asks("pair.open", ([address]) => ({ address })),
      "withdraw TICKET": asks("pair.withdraw", ([ticket]) => ({ ticket })),
      "approve CODE...": asks("pair.approve", ([code]) => ({ code: code.replaceAll(" ", "-") })),
      "[list]": asks("pair.list"),
    },
  },
  devices: {
    about:
      "List, rename or revoke devices; let one be asked for more than it was paired for; release one that is held because its key seemed copied.",
    example: "kith devices rename laptop kitchen",
    forms: {
      "[list]": asks("devices.list"),
      "rename DEVICE NAME": asks("devices.rename", ([device, name]) => ({ device, name })),
      "revoke DEVICE": asks("devices.revoke", ([device]) => ({ device })),
      "widen DEVICE CAPABILITY": asks("devices.widen", ([device, cap]) => ({ device, cap })),
      "release DEVICE": asks("devices.release", ([device]) => ({ device })),
    },
  },
  models: {
    about:
      "List the language models of config.yaml, or try each: says in a sentence whether it answers, or what is wrong.",
    example: "kith models test",
    forms: { "[list]": asks("models.list"), test: asks("models.test") },
  },
  secrets: {
    about:
      "Keep keys and passwords sealed, for `${secret:NAME}` in config.yaml. The value is typed unseen or comes through standard input.",
    example: "kith secrets set anthropic\nkith secrets set anthropic < key.txt",
    forms: {
      "[list]": asks("secrets.list"),
      "set NAME": async (context, name) => (await import("./secrets.mjs")).set(context, name),
      "remove NAME": asks("secrets.remove", ([name]) => ({ name })),
    },
  },
  skills: {
    about:
      "List the assistant's skills, check those in a folder, or approve one as it is now: until then no model hears of it.",
    example: "kith skills check ./my-skills\nkith skills approve invoices",
    forms: {
      "[list]": asks("skills.list"),
      "check FOLDER": asks("skills.check", ([folder]) => ({ folder: resolve(folder) })),
      "approve NAME": asks("skills.approve", ([name]) => ({ name })),
    },
  },
  transcripts: {
    about:
      "Write the transcripts of chats anew from what is stored: transcripts/CHAT/DAY.md in the home.",
    example: "kith transcripts rebuild",
    forms: { rebuild: asks("transcripts.rebuild") },
  },
  reminders: {
    about:
      "List reminders, set one, or cancel one. WHEN is a time in quotes; --run has it done by the assistant; --missed says what becomes of times when the gateway was away.",
    example:
      'kith reminders add "every monday at 7:30" "water the plants"\nkith reminders cancel 1',
    options: { run: boolean, missed: string },
    hints: {
      run: "the assistant does it, instead of a reminder",
      missed: "skip, once (the last one) or all",
    },
    forms: {
      "[list]": asks("reminders.list"),
      "add WHEN TEXT...": asks("reminders.add", ([when, text], { run, missed }) => ({
        ...{ when, text },
        ...(run && { run }),
        ...(missed !== undefined && { missed }),
      })),
      "cancel ID": asks("reminders.cancel", ([id]) => ({ id })),
    },
  },
  usage: {
    about:
      "Tell what was used today of tokens, money, tool calls and devices, and what the limits are.",
    example: "kith usage --json",
    forms: { "[list]": asks("usage.list") },
  },
  egress: {
    about: "List whom the gateway talked to: hosts, how often, how much came, when last.",
    example: "kith egress",
    forms: { "[list]": asks("egress.list") },
  },
  memory: {
    about:
      "Search, read, add to, vouch for or forget what the assistant remembers. It is Markdown in `memory/` of the home: edit it as you like.",
    example:
      'kith memory search dentist\nkith memory show people\nkith memory add "Anna\'s birthday is 3 May" --file people\nkith memory trust 5N1PWD\nkith memory forget dentist --yes',
    options: { agent: string, file: string, line: string, yes: boolean },
    hints: {
      agent: "whose memory, where there are several assistants (default main)",
      file: "with add: the file it goes to, without .md (default notes)",
      line: "with show: the line to begin with",
      yes: "with forget: do it; without, it is only shown",
    },
    forms: {
      "search WORDS...": asks("memory.search", ([words], { agent }) => ({ words, agent })),
      "show [FILE]": asks("memory.show", ([file], { agent, line }) => ({
        ...{ file, agent, line: number(line, "--line", "memory") },
      })),
      "add TEXT...": asks("memory.add", ([text], { agent, file }) => ({ text, file, agent })),
      "trust IDS...": asks("memory.trust", ([ids], { agent }) => ({ ids: ids.split(" "), agent })),
      "forget WHAT...": asks("memory.forget", ([what], { agent, yes }) => ({ what, agent, yes })),
    },
  },
  cancel: {
    about: "Take back a call that waits for permission or for its device.",
    example: "kith cancel 01K3V9QZ6T0R8M4X2C7B5N1PWD",
    forms: { ID: asks("calls.cancel", ([id]) => ({ id })) },
  },
  approvals: {
    about: "List the questions that wait for your answer.",
    example: "kith approvals",
    forms: { "[list]": asks("approvals.list") },
  },
  allow: {
    about: "Answer a question with yes (once, 15m, 1h, today) and wait for the result.",
    example: "kith allow 01K3V9QZ6T0R8M4X2C7B5N1PWD once",
    options: { "no-wait": boolean, out: string },
    hints: { "no-wait": "do not wait until the call has ended", out: OUT_HINT },
    forms: {
      "ID [TERM]": async (context, id, given = "once") => {
        const wait = !context.flags["no-wait"];
        const answer = { id, for: term(given, "allow"), wait };
        await printResult(context, await request(context, "allow", answer));
      },
    },
  },
  deny: {
    about: "Answer a question with no.",
    example: "kith deny 01K3V9QZ6T0R8M4X2C7B5N1PWD",
    forms: { ID: asks("deny", ([id]) => ({ id })) },
  },
  grants: {
    about:
      "List, revoke or explain permissions. explain says step by step what decides; --requester, --person, --chat, --agent, --model and --tainted ask as they would.",
    example: "kith grants explain laptop camera.snap --requester console:anna",
    options: {
      ...{ requester: string, person: string, chat: string, agent: string },
      ...{ model: boolean, tainted: boolean },
    },
    forms: {
      "[list]": asks("grants.list"),
      "revoke ID": asks("grants.revoke", ([id]) => ({ id })),
      "explain TOOL": asks("grants.explain", ([cap], { person, chat, agent }) => ({
        ...{ cap, person, chat, agent },
      })),
      "explain DEVICE CAPABILITY [REQUESTER]": asks(
        "grants.explain",
        ([device, cap, named], { requester = named, person, chat, agent, model, tainted }) => ({
          ...{ device, cap, requester, person, chat, agent, model, tainted },
        }),
      ),
    },
  },
  audit: {
    about: "List what was done, or prove that the list is whole.",
    example: "kith audit verify",
    options: { limit: string, about: string },
    hints: { limit: "rows to show (default 50)", about: "only what belongs to this id" },
    forms: {
      "[list]": asks("audit.list", (_, { limit, about }) => ({
        limit: number(limit, "--limit", "audit"),
        about,
      })),
      verify: async (context) => {
        const { out, text } = await request(context, "audit.verify");
        if (!out.verified) throw new Failure("store-damaged", tame(out.problem ?? text));
        print(context, out, text);
      },
    },
  },
  why: {
    about: "Tell the story of a call, approval, device, chat, session or grant.",
    example: "kith why 01K3V9QZ6T0R8M4X2C7B5N1PWD\nkith why laptop --all",
    options: { all: boolean },
    hints: { all: "also what is older" },
    forms: { "ID...": asks("why", ([id], { all }) => ({ id, all: all === true })) },
  },
  actors: {
    about: "Show the live actors: state, waiting messages, failures; or start one again.",
    example: "kith actors\nkith actors restart session/01K3V9QZ6T0R8M4X2C7B5N1PWD",
    forms: {
      "[list]": asks("actors.list"),
      "restart ID": asks("actors.restart", ([id]) => ({ id })),
    },
  },
  dead: {
    about: "List messages that were put aside after three failures; try one again, or drop it.",
    example: "kith dead\nkith dead retry 7",
    forms: {
      "[list]": asks("dead.list"),
      "retry N": asks("dead.retry", ([n]) => ({ n: number(n, "N", "dead") })),
      "drop N": asks("dead.drop", ([n]) => ({ n: number(n, "N", "dead") })),
    },
  },
  safe: {
    about:
      "End safe mode, in which no call is sent: it begins after three crashes within five minutes.",
    example: "kith safe off",
    forms: { off: asks("safe.off") },
  },
  lock: {
    about: "Refuse everything at once, at the gateway and at this device, until it is lifted.",
    example: "kith lock\nkith lock --lift",
    options: { lift: boolean },
    hints: { lift: "end the lock" },
    forms: { "": async (context) => (await import("./device.mjs")).lock(context) },
  },
};
