// @ts-check
/** What a person or a script reads: text without control characters, JSON, exit codes, files. */
import process from "node:process";
import { Failure } from "./control.mjs";

const UNPRINTABLE = /(?!\n)[\p{Cc}\p{Bidi_C}\u2028\u2029]/gu;

/**
 * Text of others as it may reach a terminal: nothing that moves, colours or reorders.
 * @param {unknown} text
 */
export const tame = (text) =>
  String(text ?? "")
    .replace(/\r\n?/g, "\n")
    .replace(/\t/g, "  ")
    .replace(UNPRINTABLE, "");

/**
 * JSON on one line. `stringify` escapes up to U+001F only; 0x9B alone begins an escape sequence.
 * @param {unknown} value
 */
export const toJson = (value) =>
  JSON.stringify(value).replace(
    UNPRINTABLE,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

const CODES = { bold: "1", dim: "2", red: "31", yellow: "33" };

/**
 * @param {keyof typeof CODES} style
 * @param {string} text
 * @param {{ isTTY?: boolean }} stream where it will be written
 */
export const paint = (style, text, stream = process.stdout) =>
  stream.isTTY && !process.env.NO_COLOR ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;

export const isTerminal = () => Boolean(process.stdin.isTTY && process.stdout.isTTY);

export const terminal = async () =>
  (await import("./terminal.mjs")).describeTerminal(process.env, process.stdout);

/** @param {string} text */
export const line = (text) => void process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);

/** @param {string} message */
export const usage = (message, verb = "") =>
  new Failure("usage", message, verb ? `See \`kith ${verb} --help\`.` : undefined);

/** @param {string} code */
export const exitCode = (code) => ({ usage: 2, "approval-needed": 3, unknown: 4 })[code] ?? 1;

/**
 * Breaks long lines between words, so that a terminal does not break them within.
 * @param {string} text @param {number} columns
 */
export function wrap(text, columns) {
  if (!(columns >= 20)) return text;
  return text
    .split("\n")
    .flatMap((line) => {
      const lines = [];
      // What has no space to break at, such as a path, is left whole: it shall be copied whole.
      for (let rest = line; ;) {
        const cut = rest.length > columns ? rest.lastIndexOf(" ", columns) : -1;
        if (cut <= 0 || rest.slice(0, cut).trim() === "") return [...lines, rest];
        lines.push(rest.slice(0, cut));
        rest = `${/^ */.exec(line)?.[0] ?? ""}${rest.slice(cut + 1)}`;
      }
    })
    .join("\n");
}

/**
 * Prints a failure and gives the exit code of the process.
 * @param {unknown} why
 * @param {boolean} json
 */
export function fail(why, json) {
  const { code, message, remedy } = Failure.from(why);
  if (json) line(toJson({ ok: false, error: { code, message, remedy } }));
  else {
    const head = paint("red", "kith:", process.stderr);
    process.stderr.write(`${head} ${tame(message)}\n${remedy ? `  ${tame(remedy)}\n` : ""}`);
  }
  return exitCode(code);
}

/** @type {Record<string, string>} */
const EXTENSIONS = { jpeg: "jpg", plain: "txt", "octet-stream": "bin", quicktime: "mov" };

/**
 * Copies the streams of a result into `dir` under readable names, never over another file.
 * @param {any} out of `invoke`
 * @param {string} dir absolute
 */
export async function saveStreams(out, dir) {
  const streams = [];
  for (const stream of out.streams ?? []) {
    const kind = String(stream.type ?? "")
      .replace(/^.*\//, "")
      .replace(/[^\w-]/g, "");
    const name = String(stream.role).replace(/[^\w-]/g, "_") || "file";
    streams.push({
      ...stream,
      path: await copyAs(stream.path, dir, name, `.${EXTENSIONS[kind] ?? (kind || "bin")}`),
    });
  }
  return { ...out, streams };
}

/**
 * Copies a file under the first name that is free: `photo.jpg`, `photo-2.jpg`. Returns its path.
 * @param {string} from
 * @param {string} dir
 * @param {string} name
 * @param {string} ext with its dot, or empty
 */
export async function copyAs(from, dir, name, ext) {
  const fs = await import("node:fs/promises");
  await fs.mkdir(dir, { recursive: true });
  for (let n = 1; ; n++) {
    const path = `${dir}/${name}${n > 1 ? `-${n}` : ""}${ext}`;
    try {
      await fs.copyFile(from, path, fs.constants.COPYFILE_EXCL);
      return path;
    } catch (why) {
      if (/** @type {any} */ (why).code !== "EEXIST") throw why;
    }
  }
}
