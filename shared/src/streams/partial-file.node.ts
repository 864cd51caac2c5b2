/**
 * Content that comes in parts and over several links into one file, for Node: hashed as it comes,
 * resumable where it stopped, and in its place only when size and hash are right.
 */
import { type Hash, createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { KithError } from "../errors.ts";
import { hex } from "../ids.ts";
import type { Sink } from "./receiver.ts";

const READ_BYTES = 1_048_576;
/** As `a+`, and never through a link that somebody put there. Windows has no O_NOFOLLOW. */
const FLAGS =
  constants.O_APPEND | constants.O_CREAT | constants.O_RDWR | (constants.O_NOFOLLOW ?? 0);

export interface Place {
  /** Rights of the file. */
  readonly mode: number;
  /** The content is whole: makes it durable, closes it, and puts it where it belongs. */
  settle(file: FileHandle, sha256: string): Promise<void>;
  /** Nothing more comes: it was closed, is whole, or was given up. */
  over?(): void;
}

export class PartialFile implements Sink {
  readonly #path: string;
  readonly #place: Place;
  readonly #hash: Hash = createHash("sha256");
  #file: FileHandle | undefined;
  length = 0;

  constructor(path: string, place: Place) {
    this.#path = path;
    this.#place = place;
  }

  /** Reads what an earlier process or link left, to know its hash so far. Call it first. */
  async begin(): Promise<void> {
    this.#file = await open(this.#path, FLAGS, this.#place.mode);
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
    this.#place.over?.();
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
    this.#place.over?.();
    const found = this.#hash.digest("hex");
    if (size !== this.length || found !== hex(sha256)) {
      await file.close();
      await rm(this.#path, { force: true });
      throw new KithError("hash-mismatch", "the content changed on the way");
    }
    try {
      await this.#place.settle(file, found);
    } finally {
      await file.close(); // where it failed before that; a second time changes nothing
    }
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
