/**
 * Decodes one picture that nobody trusts, in a process of its own, and ends.
 *
 *   argv    file, "rgb" | "png" | "jpeg", max width, max height (px)
 *   stdout  {"width","height","original":{"width","height"}}, newline, the bytes
 *           or {"code"}, newline: why not
 *
 * A picture can crash its decoder or take it over, so this process holds nothing
 * worth taking. Its cage (memory, time, environment) is `decode.ts`; here are the
 * limits that only the library can keep.
 */
import { open } from "node:fs/promises";
import type { ErrorCode } from "@kith/shared/errors";

/** A 16,000 x 16,000 PNG of 746 kB needs 832 MB to be turned; 50 megapixels of JPEG need 250. */
const MAX_PIXELS = 50e6;

/** As the largest picture that a capability may return. */
const MAX_FILE_BYTES = 32 * 1024 * 1024;

/** Above the gateway's own limit: ends this process where the gateway died first. */
const ORPHAN_MS = 20_000;

const [file = "", as = "rgb", width = "1", height = "1"] = process.argv.slice(2);

class Refused extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode) {
    super(code);
    this.code = code;
  }
}

/** Reads it ourselves: libvips takes options out of a file's name (`x.png[unlimited]`). */
async function read(): Promise<Buffer> {
  await using handle = await open(file).catch(() => {
    throw new Refused("gone");
  });
  const about = await handle.stat();
  if (!about.isFile()) throw new Refused("bad-result");
  if (about.size > MAX_FILE_BYTES) throw new Refused("too-big");
  return await handle.readFile();
}

/** The library with three loaders: no SVG, no TIFF, no GIF, no AVIF, no PDF. */
async function library() {
  const { default: sharp } = await import("sharp").catch(() => {
    throw new Refused("not-ready");
  });
  sharp.block({ operation: ["VipsForeignLoad"] });
  sharp.unblock({
    operation: ["VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp"],
  });
  sharp.cache(false);
  sharp.concurrency(1); // each thread more costs memory
  return sharp;
}

async function decode(): Promise<[header: object, bytes: Uint8Array | string]> {
  const sharp = await library();
  const bytes = await read();
  // Reads the header only; without this look a bomb would pass for a damaged file.
  const { autoOrient: original } = await sharp(bytes, { limitInputPixels: false }).metadata();
  if (original.width * original.height > MAX_PIXELS) throw new Refused("too-big");

  // Place, owner, profile are left behind because nothing here asks sharp to keep them.
  const fitted = sharp(bytes, { limitInputPixels: MAX_PIXELS, failOn: "error" })
    .autoOrient()
    .resize(Number(width), Number(height), { fit: "inside", withoutEnlargement: true })
    .flatten({ background: "#fff" })
    .toColourspace("srgb");
  const encoded =
    as === "rgb" ? fitted.raw() : as === "png" ? fitted.png() : fitted.jpeg({ quality: 85 });
  const { data, info } = await encoded.toBuffer({ resolveWithObject: true });
  return [{ width: info.width, height: info.height, original }, data];
}

/** What the library says stays here: its messages may quote the file. */
function whyNot(error: unknown): ErrorCode {
  if (error instanceof Refused) return error.code;
  // libvips has no code for meeting the ceiling, only these words.
  return String(error).includes("out of memory") ? "too-big" : "bad-result";
}

setTimeout(() => process.exit(1), ORPHAN_MS).unref();
const [header, bytes] = await decode().catch(
  (error: unknown) => [{ code: whyNot(error) }, ""] as const,
);
process.stdout.write(`${JSON.stringify(header)}\n`);
process.stdout.write(bytes);
