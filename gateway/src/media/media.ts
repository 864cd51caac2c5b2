/**
 * The content store: files named by their SHA-256, so nobody outside ever names one. Content
 * on its way lies in `partial/` under its stream's id and may be resumed.
 */
import { type Hash, createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { KithError } from "@kith/shared/errors";
import { hex } from "@kith/shared/ids";
import type { Sink } from "@kith/shared/streams/receiver";
import type { Media } from "../invocations/results.ts";
import { crashpoint } from "../runtime/crashpoint.ts";

const EXTENSIONS: Readonly<Record<string, string>> = {
  "image/jpeg": "jpg",
  "image/png": "png",
  "image/webp": "webp",
  "application/pdf": "pdf",
  "text/plain": "txt",
};
/** Partial content that nobody resumed for so long is thrown away. */
const KEEP_PARTIAL_MS = 3_600_000;
const READ_BYTES = 1_048_576;

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

  constructor(folder: string) {
    this.#folder = folder;
    this.#partial = join(folder, "partial");
  }

  /** Makes the folders. */
  async start(): Promise<void> {
    await mkdir(this.#partial, { recursive: true, mode: 0o700 });
  }

  /** Clears what nobody will resume: at the start and from time to time. `now` in Unix ms. */
  async sweep(now: number): Promise<void> {
    for (const name of (await readdir(this.#partial)).toSorted()) {
      if (this.#open.has(name)) continue;
      const path = join(this.#partial, name);
      const found = await stat(path).catch(() => undefined);
      if (found && now - found.mtimeMs > KEEP_PARTIAL_MS) await rm(path, { force: true });
    }
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
    const file = new PartialFile(
      join(this.#partial, name),
      (sha256) => this.#path(sha256, type),
      this.#folder,
      () => this.#open.delete(name),
    );
    this.#open.set(name, file);
    try {
      await file.begin();
    } catch (error) {
      this.#open.delete(name);
      throw error;
    }
    return file;
  }
}

class PartialFile implements Sink {
  readonly #path: string;
  readonly #final: (sha256: string) => string;
  readonly #folder: string;
  readonly #over: () => void;
  readonly #hash: Hash = createHash("sha256");
  #file: FileHandle | undefined;
  length = 0;

  constructor(path: string, final: (sha256: string) => string, folder: string, over: () => void) {
    this.#path = path;
    this.#final = final;
    this.#folder = folder;
    this.#over = over;
  }

  /** Reads what an earlier process left, to know its hash so far. */
  async begin(): Promise<void> {
    // 0600: content of the owner's devices; r+ keeps what is there.
    this.#file = await open(this.#path, "a+", 0o600);
    const buffer = new Uint8Array(READ_BYTES);
    for (;;) {
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, this.length);
      if (bytesRead === 0) return;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.length += bytesRead;
    }
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    if (!this.#file) throw new KithError("gone", "the content was given up");
    const written = writeAll(this.#file, parts);
    // Beside the write. Where that fails the content is given up, and its hash with it.
    for (const part of parts) this.#hash.update(part);
    await written;
    for (const part of parts) this.length += part.length;
  }

  async close(): Promise<void> {
    const file = this.#file;
    if (!file) return;
    this.#file = undefined;
    this.#over();
    await file.close();
  }

  async discard(): Promise<void> {
    await this.close();
    await rm(this.#path, { force: true });
  }

  async finish(size: number, sha256: Uint8Array): Promise<void> {
    const file = this.#file;
    if (!file) throw new KithError("gone", "the content was given up");
    this.#file = undefined;
    this.#over();
    const found = this.#hash.digest("hex");
    if (size !== this.length || found !== hex(sha256)) {
      await file.close();
      await rm(this.#path, { force: true });
      throw new KithError("hash-mismatch", "the content changed on the way");
    }
    crashpoint("md.sync");
    await file.sync();
    await file.close();
    await rename(this.#path, this.#final(found));
    const folder = await open(this.#folder, "r");
    // Windows cannot sync a folder; there the rename itself is durable enough.
    await folder.sync().catch(() => {});
    await folder.close();
    crashpoint("md.done");
  }
}

async function writeAll(file: FileHandle, parts: readonly Uint8Array[]): Promise<void> {
  try {
    let { bytesWritten: done } = await file.writev(parts);
    for (const part of parts) {
      let at = Math.min(done, part.length);
      done -= at;
      while (at < part.length) at += (await file.write(part, at)).bytesWritten;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOSPC")
      throw new KithError("disk-full", "no space for the content", { cause: error });
    throw error;
  }
}
