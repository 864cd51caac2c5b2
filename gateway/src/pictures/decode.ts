/**
 * Pictures from devices and chats, decoded where a hostile one can do no harm.
 *
 *   decodePicture ─► at most 2 at once ─► sh: ulimit ─► node decode.child ─► sharp
 *                         │ 16 wait                         │
 *                      busy                  header and pixels, checked here
 *
 * The child has no secret in its environment, writes no file, and is killed with
 * its process group when the time is up. On Linux the kernel holds its memory to
 * 512 MiB; elsewhere only JavaScript's heap and the limit on pixels do.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { resolve as absolute } from "node:path";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { KithError } from "@kith/shared/errors";

/** What to make of a picture: its format, and the box it must fit in. Never enlarged. */
export interface Wish {
  /** `rgb` is three bytes a pixel, row by row; transparency becomes white in all three. */
  readonly as: "rgb" | "png" | "jpeg";
  /** In pixels, 1 to 4096. */
  readonly width: number;
  readonly height: number;
}

/** Upright, in sRGB, without metadata. */
export interface Picture {
  /** In pixels, as are all sizes here. */
  readonly width: number;
  readonly height: number;
  /** Of the file, upright. */
  readonly original: { readonly width: number; readonly height: number };
  readonly bytes: Uint8Array;
}

export interface DecodeOptions {
  readonly signal?: AbortSignal;
  /** The Node that runs the child; default: the one that runs us. */
  readonly node?: string;
  readonly childUrl?: URL;
  readonly limitMs?: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** The slowest picture found below the other limits: a PNG of 1 x 16,000,000 pixels, 3 s. */
const LIMIT_MS = 5_000;

/** Bytes; an `rgb` picture of 2,300 x 2,300 fits. */
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

const MAX_EDGE_PX = 4096;
const MAX_RUNNING = 2;
const MAX_WAITING = 16;

/** Private writable memory of the child, in KiB. */
const CEILING_KIB = 512 * 1024;

/** V8 reserves its code range up front and the kernel counts it: 512 MiB on x64, never filled. */
const CODE_RANGE_KIB = 512 * 1024;

/** No core dump, no file written, 10 s of processor, a ceiling on memory; then the command itself. */
const CAGE = 'set -e; ulimit -c 0; ulimit -f 0; ulimit -t 10; ulimit -d "$1"; shift; exec "$@"';

/** All that the child gets of our environment (security.md, C7). */
const ENVIRONMENT = ["PATH", "HOME", "LANG", "TMPDIR"];

const refusals = {
  "too-big": "the picture has more pixels or bytes than can be shown",
  "bad-result": "the file is no JPEG, PNG or WebP picture, or it is damaged",
  gone: "the picture is no longer there",
  "not-ready": "there is no picture decoder for this system",
} as const;

const refusal = v.strictObject({ code: v.picklist(Object.keys(refusals) as Refusal[]) });
type Refusal = keyof typeof refusals;

const int = (max: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(max));

const edge = int(MAX_EDGE_PX);

/** For this wish: a child that was taken over cannot answer with more than was asked. */
const answerTo = ({ width, height }: Wish) =>
  v.strictObject({
    width: int(width),
    height: int(height),
    original: v.strictObject({ width: int(50e6), height: int(50e6) }),
  });

/**
 * Decodes a JPEG, PNG or WebP file of at most 32 MiB and 50 megapixels.
 *
 * @throws KithError too-big, bad-result, gone, not-ready, timeout (5 s), cancelled
 *   (by `signal`), busy (16 others wait), bad-args, internal (no child could be started)
 */
export async function decodePicture(
  file: string,
  wish: Wish,
  options: DecodeOptions = {},
): Promise<Picture> {
  const { width, height } = wish;
  if (!v.is(edge, width) || !v.is(edge, height) || file.includes("\0"))
    throw new KithError("bad-args", "no such file name, or no such size of picture");
  await turn(options.signal);
  try {
    return check(await run(file, wish, options), wish);
  } finally {
    pass();
  }
}

let running = 0;
const waiting: (() => void)[] = [];

async function turn(signal?: AbortSignal): Promise<void> {
  if (running < MAX_RUNNING) {
    running += 1;
    return;
  }
  if (waiting.length >= MAX_WAITING) throw new KithError("busy", "too many pictures wait");
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  waiting.push(resolve);
  using _ = onAbort(signal, () => {
    const place = waiting.indexOf(resolve);
    if (place < 0) return; // its turn came in the same moment; `run` will see the signal
    waiting.splice(place, 1);
    reject(cancelled());
  });
  await promise;
}

/** Hands the turn to the next who waits. */
function pass(): void {
  const next = waiting.shift();
  if (next) next();
  else running -= 1;
}

const cancelled = () => new KithError("cancelled", "the picture is not wanted any more");

function onAbort(signal: AbortSignal | undefined, react: () => void): Disposable {
  if (signal?.aborted) react();
  else signal?.addEventListener("abort", react);
  return { [Symbol.dispose]: () => signal?.removeEventListener("abort", react) };
}

/** The child's whole output; what there is of it when a signal killed it. */
async function run(file: string, wish: Wish, options: DecodeOptions): Promise<Buffer> {
  const { signal, node = process.execPath, childUrl = besideUs(), limitMs = LIMIT_MS } = options;
  const { env = process.env } = options;
  if (signal?.aborted) throw cancelled();

  const [command, ...args] = caged(node, fileURLToPath(childUrl));
  const child = spawn(
    command,
    [...args, absolute(file), wish.as, `${wish.width}`, `${wish.height}`],
    {
      cwd: "/",
      env: Object.fromEntries(
        ENVIRONMENT.flatMap((name) => (env[name] ? [[name, env[name]]] : [])),
      ),
      stdio: ["ignore", "pipe", "ignore"],
      detached: process.platform !== "win32", // a process group of its own
      windowsHide: true,
    },
  );

  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const stop = (error: KithError) => {
    reject(error);
    kill(child);
  };
  const timer = setTimeout(
    () => stop(new KithError("timeout", `decoding took longer than ${limitMs} ms`)),
    limitMs,
  );
  using _ = onAbort(signal, () => stop(cancelled()));

  const chunks: Buffer[] = [];
  let size = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > MAX_OUTPUT_BYTES) stop(new KithError("too-big", refusals["too-big"]));
    else chunks.push(chunk);
  });
  child.on("error", (cause) => reject(new KithError("internal", "no decoder started", { cause })));
  // A picture can kill its decoder by a signal only; an exit code tells of a defect of ours.
  child.on("close", (code) => {
    if (code) reject(new KithError("internal", `the picture decoder ended with ${code}`));
    else resolve(Buffer.concat(chunks));
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

/** From source the child is TypeScript as we are; in the bundle it lies beside `gateway.mjs`. */
function besideUs(): URL {
  const here = import.meta.url;
  return new URL(here.endsWith(".ts") ? "./decode.child.ts" : "./decode.child.mjs", here);
}

/**
 * The command line that runs `script` under the kernel's limits where we know how.
 * Without a JIT there is no code range to pay for, and no memory that is writable and
 * executable; stripping types needs WebAssembly, so from source it stays on.
 */
function caged(node: string, script: string): [string, ...string[]] {
  const jit = script.endsWith(".ts");
  const inner = ["--max-old-space-size=64", ...(jit ? [] : ["--jitless"]), script];
  if (process.platform !== "linux") return [node, ...inner];
  const ceiling = CEILING_KIB + (jit ? CODE_RANGE_KIB : 0);
  return ["/bin/sh", "-c", CAGE, "sh", `${ceiling}`, node, ...inner];
}

function kill(child: ChildProcess): void {
  try {
    if (child.pid === undefined) return;
    if (process.platform === "win32") child.kill("SIGKILL");
    else process.kill(-child.pid, "SIGKILL");
  } catch {
    // ESRCH: it ended by itself in the same moment.
  }
}

/** Believes nothing of what the child says that can be counted here. */
function check(output: Buffer, wish: Wish): Picture {
  const end = output.subarray(0, 256).indexOf("\n");
  const header = parse(output.subarray(0, Math.max(end, 0)));
  if (v.is(refusal, header)) throw new KithError(header.code, refusals[header.code]);

  const bytes = output.subarray(end + 1);
  if (!v.is(answerTo(wish), header) || !isWhole(bytes, wish.as, header))
    throw new KithError("bad-result", refusals["bad-result"]);
  return { ...header, bytes };
}

function parse(header: Buffer): unknown {
  try {
    return JSON.parse(header.toString());
  } catch {
    return undefined; // killed before its first line
  }
}

function isWhole(bytes: Buffer, as: Wish["as"], { width, height }: Omit<Wish, "as">): boolean {
  if (as === "rgb") return bytes.length === width * height * 3;
  return bytes.toString("latin1", 0, 4).startsWith(as === "png" ? "\x89PNG" : "\xff\xd8\xff");
}
