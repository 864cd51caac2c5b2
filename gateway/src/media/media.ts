/**
 * The content store: files named by their SHA-256, so nobody outside ever names one. Content
 * on its way lies in `partial/` under its stream's id and may be resumed.
 */
import { createHash } from "node:crypto";
import { constants, existsSync, statSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { KithError } from "@kith/shared/errors";
import { hex } from "@kith/shared/ids";
import { FileSource } from "@kith/shared/streams/file-source.node";
import { PartialFile } from "@kith/shared/streams/partial-file.node";
import type { Sink } from "@kith/shared/streams/receiver";
import type { Source } from "@kith/shared/streams/sender";
import { limits } from "@kith/shared/protocol/limits";
import type { StoredContent } from "../invocations/content.ts";
import type { Media } from "../invocations/results.ts";
import { crashpoint } from "../runtime/crashpoint.ts";

const EXTENSIONS: Readonly<Record<string, string>> = {
  "image/jpeg": "jpg",
  "image/png": "png",
  "image/webp": "webp",
  "video/mp4": "mp4",
  "audio/ogg": "ogg",
  "application/pdf": "pdf",
  "text/plain": "txt",
};
/** Content is kept for so long after it came: longer than any call may wait for its device. */
const KEEP_MS = 30 * 86_400_000;
const SHA256_DIGITS = 64;
/** No content of ours is older. A file that says so came while the clock was not set yet. */
const FIRST_MS = Date.UTC(2026, 0, 1);
/** How often the whole folder is looked through. */
const LOOK_MS = 86_400_000;
const SETTLED_MS = 3_600_000;
/** Partial content that nobody resumed for so long is thrown away. */
const KEEP_PARTIAL_MS = 3_600_000;
const READ_BYTES = 1_048_576;
/** What the wire allows for one content. */
const MOST_BYTES = limits.streamBytesMost;

/** As `#path` names it; what somebody else put there is not ours to remove. */
const OURS = /^[0-9a-f]{64}\.[a-z0-9]{1,4}$/;

/** O_NONBLOCK: opening a pipe must not wait for its other end. Windows has none. */
const FILE = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** Which content of which call: one file each, however many streams try to bring it. */
export interface Content {
  readonly call: string;
  readonly role: string;
  readonly stream: string;
  readonly type: string;
}

export class MediaStore implements Media {
  readonly #folder: string;
  readonly #partial: string;
  readonly #open = new Map<string, PartialFile>();
  /** When the whole is looked through next. */
  #next: number | undefined;

  constructor(folder: string) {
    this.#folder = folder;
    this.#partial = join(folder, "partial");
  }

  /** Makes the folders. */
  async start(): Promise<void> {
    await mkdir(this.#partial, { recursive: true, mode: 0o700 });
  }

  /** Clears what nobody will resume, and once a day what is old: at the start and from time to time. `now` in Unix ms. */
  async sweep(now: number, held: ReadonlySet<string> = new Set()): Promise<void> {
    await clear(this.#partial, now - KEEP_PARTIAL_MS, (name) => !this.#open.has(name));
    // Not at the start: a clock that is wrong then may be set right within the hour.
    this.#next ??= now + SETTLED_MS;
    if (now < this.#next) return;
    this.#next = now + LOOK_MS;
    const old = (name: string) => OURS.test(name) && !held.has(name.slice(0, SHA256_DIGITS));
    await clear(this.#folder, now - KEEP_MS, old, now);
  }

  /** The call is over: nobody will bring the rest of its content. */
  async drop(call: string): Promise<void> {
    for (const name of (await readdir(this.#partial)).toSorted()) {
      if (name.startsWith(`${call}.`) && !this.#open.has(name))
        await rm(join(this.#partial, name), { force: true });
    }
  }

  #path(sha256: string, type: string): string {
    return join(this.#folder, `${sha256}.${EXTENSIONS[type] ?? "bin"}`);
  }

  find(sha256: string, type: string, bytes: number): string | undefined {
    const path = this.#path(sha256, type);
    return existsSync(path) && statSync(path).size === bytes ? path : undefined;
  }

  /** Where this stream goes on: an open partial file, one of an earlier process, or a new one. */
  async sink({ call, role, stream, type }: Content): Promise<Sink> {
    const name = `${call}.${role}.${stream}`;
    const known = this.#open.get(name);
    if (known) return known;
    // Another stream for the same content: what the earlier one brought is worth nothing now.
    for (const other of await readdir(this.#partial)) {
      if (other.startsWith(`${call}.${role}.`) && other !== name)
        await (this.#open.get(other)?.discard() ?? rm(join(this.#partial, other), { force: true }));
    }
    const path = join(this.#partial, name);
    const settle = async (whole: FileHandle, sha256: string): Promise<void> => {
      crashpoint("md.sync");
      await whole.sync();
      await whole.close();
      await rename(path, this.#path(sha256, type));
      const folder = await open(this.#folder, "r");
      // Windows cannot sync a folder; there the rename itself is durable enough.
      await folder.sync().catch(() => {});
      await folder.close();
      crashpoint("md.done");
    };
    const file = new PartialFile(path, {
      // 0600: content of the owner's devices.
      mode: 0o600,
      settle,
      over: () => this.#open.delete(name),
    });
    this.#open.set(name, file);
    try {
      await file.begin();
    } catch (error) {
      this.#open.delete(name);
      throw error;
    }
    return file;
  }

  /** The bytes of content that `find` knows. @throws KithError gone */
  async source(sha256: string, type: string, bytes: number): Promise<Source> {
    const path = this.find(sha256, type, bytes);
    if (path === undefined) throw new KithError("gone", "the content is no longer here");
    return new FileSource(await open(path, "r"), bytes);
  }

  /**
   * Takes a file of this machine in, as it is now; `id` names what is on its way.
   * @throws KithError bad-args for what is no regular file, too-big, disk-full
   */
  async put(path: string, type: string, id: string): Promise<StoredContent> {
    const file = await open(path, FILE).catch((cause: NodeJS.ErrnoException) => {
      const why = cause.code === "ENOENT" ? "there is no such file" : "it cannot be read";
      throw new KithError("bad-args", `${path}: ${why}`, { cause });
    });
    try {
      const { size } = await regular(file, path);
      if (size > MOST_BYTES) throw new KithError("too-big", `${path} has more than 4 GiB`);
      const sink = await this.sink({ call: id, role: "put", stream: id, type });
      try {
        const hash = createHash("sha256");
        const buffer = new Uint8Array(READ_BYTES);
        for (let at = 0; at < size;) {
          const { bytesRead } = await file.read(buffer, 0, Math.min(READ_BYTES, size - at), at);
          if (bytesRead === 0) throw new KithError("bad-args", `${path} became shorter meanwhile`);
          const part = buffer.subarray(0, bytesRead);
          hash.update(part);
          await sink.write([part]);
          at += bytesRead;
        }
        const sha256 = hash.digest();
        await sink.finish(size, sha256);
        return { sha256: hex(sha256), type, bytes: size };
      } catch (error) {
        await sink.discard();
        throw error;
      }
    } finally {
      await file.close();
    }
  }
}

/** Removes the files of a folder that are older than that, one after the other: nobody waits for it. */
async function clear(
  folder: string,
  before: number,
  may: (name: string) => boolean,
  now?: number,
): Promise<void> {
  for (const name of (await readdir(folder)).toSorted()) {
    if (!may(name)) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined); // gone meanwhile
    if (!found?.isFile() || found.mtimeMs >= before) continue;
    // With `now`: what came before the clock was set counts from now on.
    if (now !== undefined && found.mtimeMs < FIRST_MS)
      await utimes(path, found.atime, new Date(now));
    else await rm(path, { force: true });
  }
}

async function regular(file: FileHandle, path: string) {
  const found = await file.stat();
  if (!found.isFile()) throw new KithError("bad-args", `${path} is no regular file`);
  return found;
}
