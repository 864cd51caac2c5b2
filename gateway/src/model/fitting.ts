/** A picture as a model's service takes it: what is larger costs more, or is refused, and shows the model no more. */
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DecodeOptions, decodePicture } from "../pictures/decode.ts";
import type { Picture } from "./provider.ts";

/** Longest side. */
const EDGE_PX = 1_600;
/** As it goes, in base64: so Anthropic counts its limit of 5 MiB. */
const SENT_BYTES = 5 * 1_048_576;
const sentBytes = (data: Uint8Array): number => Math.ceil(data.length / 3) * 4;

/** A conversation shows its newest four again with each question; null: it fits as it is. */
const MOST_KNOWN = 8;
const known = new Map<string, Uint8Array | null>();

/**
 * The same picture, byte for byte, where neither side is longer than 1600 px and it is at most 5 MiB as base64; else a
 * JPEG that is so. What is no picture (`image/*`) is returned as it is. The same picture always gives the same bytes.
 * @throws KithError as `decodePicture` does
 */
export async function fitting(picture: Picture, options: DecodeOptions = {}): Promise<Picture> {
  if (!picture.type.startsWith("image/")) return picture;
  const name = createHash("sha256").update(picture.data).digest("hex");
  const data = known.get(name) ?? (known.has(name) ? null : await smaller(picture, options));
  known.delete(name);
  known.set(name, data);
  for (const [oldest] of known) if (known.size > MOST_KNOWN) known.delete(oldest);
  return data === null ? picture : { ...picture, type: "image/jpeg", data };
}

/** Decoded behind bars, from a file that only this user reads. */
async function smaller({ data }: Picture, options: DecodeOptions): Promise<Uint8Array | null> {
  const folder = await mkdtemp(join(tmpdir(), "kith-picture-"));
  try {
    const file = join(folder, "picture");
    await writeFile(file, data, { mode: 0o600 });
    const wish = { as: "jpeg", width: EDGE_PX, height: EDGE_PX } as const;
    const { original, bytes } = await decodePicture(file, wish, options);
    const fits = Math.max(original.width, original.height) <= EDGE_PX;
    return fits && sentBytes(data) <= SENT_BYTES ? null : bytes;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
