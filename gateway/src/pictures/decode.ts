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
import { resolve as absolute } from "node:path";
import * as v from "valibot";
import { KithError } from "@kith/shared/errors";
import { onAbort, runCaged } from "../cage.ts";

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

/** The child's whole output; what there is of it when a signal killed it. */
const run = (file: string, wish: Wish, options: DecodeOptions): Promise<Buffer> =>
  runCaged({
    limitMs: LIMIT_MS,
    ...options,
    called: "decoding",
    script: options.childUrl ?? besideUs(),
    args: [absolute(file), wish.as, `${wish.width}`, `${wish.height}`],
    mostBytes: MAX_OUTPUT_BYTES,
    heapMib: 64,
  });

/** From source the child is TypeScript as we are; in the bundle it lies beside `gateway.mjs`. */
function besideUs(): URL {
  const here = import.meta.url;
  return new URL(here.endsWith(".ts") ? "./decode.child.ts" : "./decode.child.mjs", here);
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
