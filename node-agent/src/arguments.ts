/** What the person typed. What is given here is the owner's word: it is stored and used from then on. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { catalogue } from "@kith/shared/capabilities/index";
import { isOwn } from "@kith/shared/capabilities/own";
import { KithError } from "@kith/shared/errors";
import { type Invitation, isInvitation, readInvitation } from "@kith/shared/protocol/invitation";
import { readTicket } from "@kith/shared/noise/ticket";
import { type CeilingMode, modes } from "@kith/shared/tailnet/ceiling";
import { type Place, readAddress, readPlace } from "./config.ts";
import type { Choice } from "./person.ts";
import type { Rule } from "./policy.ts";

export const help = `kith node: lets your assistant use this machine, as far as you allow.

  kith node 'kith://pair#...'        pair by the line that \`kith pair invite\` printed, then serve
  kith node                          serve; the first time: look for gateways here, and ask which
  kith node --gateway HOST[:PORT]    pair by code with a gateway elsewhere, then serve
  kith node --local                  pair with the gateway on this machine, then serve
  kith node setup                    choose what this machine may do (off / ask / allow)
  kith node questions                what your assistant asks on this machine now
  kith node yes CODE | no CODE       answer the one of that code
  kith node lock | unlock            everything off, at once; works without a gateway
  kith node ledger                   what was done here

  --allow CAP=off|ask|allow,...   e.g. --allow camera.snap=ask,device.status=allow
  --camera NAME                   use this camera only; \`test-pattern\` for a machine without one
  --root NAME=PATH                share a folder under a name (files.read, shell.run)
  --place LAT,LON[,NAME] | off    where this machine stands, in degrees (location.get)
  --driver FILE | off             a capability of your own, from a module; \`off\` forgets them all
  --tailnet auto|strict|off       how the policy of a Tailscale network is read; \`strict\`: nothing that it
                                  does not permit, wherever the gateway is reached
  --tailscaled SOCKET             where its daemon listens, if not in its usual place
  --gateway HOST[:PORT]           where the gateway is (port ${5_484} if none is given)
  --ticket TICKET                 a ticket typed by hand, with --gateway
  --name NAME                     how this machine is called (its host name if not given)
  --pair                          pair again, although this machine is paired
  --home DIR                      where all of this is kept ($KITH_HOME/node)
  --json                          one JSON object per line
  --version
  --help

  kith node --gateway 192.168.1.10 --allow camera.snap=ask
  kith node --local --camera test-pattern --allow camera.snap=allow
  kith node --root docs=~/Documents --allow files.read=ask
`;

const verbs = ["run", "setup", "questions", "yes", "no", "lock", "unlock", "ledger"] as const;

export interface Arguments {
  readonly verb: (typeof verbs)[number];
  readonly json: boolean;
  readonly help: boolean;
  readonly version: boolean;
  readonly local: boolean;
  readonly pair: boolean;
  /** Started by a launcher that holds our input open: the agent ends when that closes. */
  readonly supervised: boolean;
  /** Which question is answered. */
  readonly code?: string;
  readonly home?: string;
  readonly gateway?: string;
  /** From a pairing link, or a ticket typed by hand, which knows no gateway. */
  readonly invitation?: Pick<Invitation, "ticket" | "caps"> & Partial<Invitation>;
  readonly name?: string;
  readonly allow?: Choice;
  readonly cameras?: string[];
  readonly roots?: Record<string, string>;
  /** Where this machine is; `off`: nobody shall know. */
  readonly place?: Place | "off";
  /** How the tailnet's policy is read, and where its daemon listens. */
  readonly tailnet?: { readonly ceiling?: CeilingMode; readonly socket?: string };
  /** Modules to know besides those that are known; \`off\`: none any more. */
  readonly drivers?: readonly string[] | "off";
}

const usage = (message: string) => new KithError("usage", message);

/** @throws KithError usage */
export function readArguments(argv: readonly string[]): Arguments {
  const text = { type: "string" } as const;
  const texts = { type: "string", multiple: true } as const;
  const flag = { type: "boolean", default: false } as const;
  const options = {
    ...{
      home: text,
      gateway: text,
      ticket: text,
      name: text,
      allow: texts,
      camera: texts,
      root: texts,
      place: text,
      driver: texts,
      tailnet: text,
      tailscaled: text,
    },
    ...{
      json: flag,
      local: flag,
      pair: flag,
      supervised: flag,
      version: flag,
      help: { ...flag, short: "h" },
    },
  } as const;
  let parsed;
  try {
    parsed = parseArgs({ args: southern(argv), options, allowPositionals: true, strict: true });
  } catch (error) {
    throw usage(error instanceof Error ? error.message : "unknown arguments");
  }
  const { values, positionals } = parsed;
  const link = positionals.find(isInvitation);
  if (link !== undefined) positionals.splice(positionals.indexOf(link), 1);
  const verb = verbs.find((one) => one === (positionals[0] ?? "run"));
  const answers = verb === "yes" || verb === "no";
  if (!verb || positionals.length > (answers ? 2 : 1))
    throw usage(`no such verb: ${positionals.join(" ")}`);
  const code = answers ? positionals[1] : undefined;
  if (answers && code === undefined)
    throw usage(`say which: kith node ${verb} CODE, as in \`kith node questions\``);
  if (values.gateway !== undefined && values.local)
    throw usage("--gateway and --local exclude each other");
  if (link !== undefined && (verb !== "run" || values.local || values.ticket !== undefined))
    throw usage("a pairing link needs neither --local nor --ticket, and no verb");
  if (values.ticket !== undefined && values.gateway === undefined)
    throw usage("--ticket needs --gateway HOST");
  const invitation =
    link !== undefined
      ? readInvitation(link)
      : values.ticket !== undefined
        ? { ticket: readTicket(values.ticket), caps: [] }
        : undefined;
  return {
    ...(invitation && { invitation }),
    ...(code !== undefined && { code }),
    ...{ verb, json: values.json, help: values.help, version: values.version },
    ...{ local: values.local, pair: values.pair },
    supervised: values.supervised,
    ...(values.home !== undefined && { home: resolve(values.home) }),
    ...(values.gateway !== undefined && { gateway: readAddress(values.gateway) }),
    ...(values.name !== undefined && { name: values.name }),
    ...(values.allow && { allow: readAllow(values.allow) }),
    ...(values.camera && { cameras: values.camera }),
    ...(values.place !== undefined && {
      place: values.place === "off" ? ("off" as const) : readPlace(values.place),
    }),
    ...(values.driver && {
      drivers: values.driver.includes("off")
        ? ("off" as const)
        : values.driver.map((path) => resolve(path)),
    }),
    ...((values.tailnet ?? values.tailscaled) !== undefined && {
      tailnet: {
        ...(values.tailnet !== undefined && { ceiling: readMode(values.tailnet) }),
        ...(values.tailscaled !== undefined && { socket: resolve(values.tailscaled) }),
      },
    }),
    ...(values.root && { roots: Object.fromEntries(values.root.map(readRoot)) }),
  };
}

/** Joins `--place -33.9,151.2`: half of the world begins with a dash, as an option does. */
const southern = (argv: readonly string[]): string[] =>
  argv.flatMap((word, at) => {
    const place = (one: string | undefined, value: string | undefined) =>
      one === "--place" && value !== undefined && /^-\d/.test(value);
    if (place(argv[at - 1], word)) return [];
    return place(word, argv[at + 1]) ? [`--place=${argv[at + 1]}`] : [word];
  });

function readAllow(typed: readonly string[]): Choice {
  const choice: Record<string, Rule> = {};
  for (const part of typed.flatMap((one) => one.split(",")).filter((one) => one.trim() !== "")) {
    const [, cap = "", rule = ""] = /^\s*([^=\s]+)\s*=\s*(off|ask|allow)\s*$/.exec(part) ?? [];
    if (!rule)
      throw usage(`--allow takes CAP=off, CAP=ask or CAP=allow, not ${JSON.stringify(part)}`);
    if (!catalogue.has(cap) && !isOwn(cap))
      throw usage(`no such capability: ${cap}; there are ${[...catalogue.keys()].join(", ")}`);
    choice[cap] = rule as Rule;
  }
  return choice;
}

function readMode(typed: string): CeilingMode {
  const mode = modes.find((one) => one === typed);
  if (!mode) throw usage(`--tailnet takes auto, strict or off, not ${JSON.stringify(typed)}`);
  return mode;
}

function readRoot(typed: string): [string, string] {
  const [, name, path] = /^([^=]+)=(.+)$/.exec(typed) ?? [];
  if (!name || !path) throw usage(`--root takes NAME=PATH, not ${JSON.stringify(typed)}`);
  return [name, resolve(path)];
}
