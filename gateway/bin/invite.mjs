// @ts-check
/** `kith pair invite`: one line to paste at a new device, and the same as a QR code. */
import process from "node:process";
import { line, tame, usage } from "./print.mjs";
import { print, request } from "./request.mjs";

const UNITS = /** @type {Record<string, number>} */ ({ s: 1, m: 60, h: 3_600 });

/** @param {import("./verbs.mjs").Context} context */
export async function invite(context) {
  const { caps, ttl, open } = context.flags;
  const asked = {
    ...(caps === undefined ? {} : { caps: caps.split(",").map(trimmed).filter(Boolean) }),
    ...(ttl === undefined ? {} : { ttl_s: seconds(ttl) }),
  };
  const terminal = process.stdin.isTTY && process.stdout.isTTY && !context.json;
  const address = open ?? (terminal ? await chooseAddress(context) : undefined);
  if (address !== undefined) {
    const { text } = await request(context, "pair.open", { address });
    if (!context.json) line(tame(text));
  }
  const { out, text } = await request(context, "pair.invite", asked);
  print(context, out, text);
  if (terminal) line(await picture(out.link));
}

const trimmed = (/** @type {string} */ word) => word.trim();

/** @param {string} text */
function seconds(text) {
  const [, number, unit = "m"] = /^(\d{1,5})([smh])?$/.exec(text) ?? [];
  if (number === undefined)
    throw usage(`--ttl takes a time such as 10m or 2h, not ${JSON.stringify(text)}`, "pair");
  return Number(number) * (UNITS[unit] ?? 60);
}

/** Asked once: what is opened stays open. @param {import("./verbs.mjs").Context} context */
async function chooseAddress(context) {
  const { out } = await request(context, "pair.open");
  const reached = out.listen.some(
    (/** @type {string} */ one) => !/^(?:127\.|\[::1\]|localhost)/.test(one),
  );
  if (reached || out.own.length === 0) return undefined;
  line("Only this machine can reach the gateway now. Which address should devices come in by?");
  out.own.forEach(
    (/** @type {{ host: string, reach: string }} */ { host, reach }, /** @type {number} */ at) =>
      line(`  ${at + 1}  ${host} (${reach === "tailnet" ? "your tailnet" : "this network"})`),
  );
  line("  0  none: the new device is this machine");
  const { createInterface } = await import("node:readline/promises");
  const reader = createInterface({ input: process.stdin, output: process.stdout });
  reader.on("SIGINT", () => process.exit(130));
  try {
    for (;;) {
      const typed = (await reader.question("Number [1]: ")).trim();
      const number = typed === "" ? 1 : Number(typed);
      if (number === 0) return undefined;
      if (out.own[number - 1]) return out.own[number - 1].host;
    }
  } finally {
    reader.close();
  }
}

/** Two rows of the code in one line of text. @param {string} link */
async function picture(link) {
  const { renderUnicodeCompact } = await import("uqr");
  return renderUnicodeCompact(link, { border: 2 });
}
