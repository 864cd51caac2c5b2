/**
 * An append-only file of records: u32 length ‖ u32 CRC-32 ‖ body, big-endian.
 *
 * Appends that wait at the same time share one write and one fdatasync. A torn tail (a write
 * that a power cut interrupted) was never acknowledged and is cut at the next open.
 */
import { readSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { KithError } from "@kith/shared/errors";
import { isMissing, syncFolder } from "./disk.ts";

const HEAD_BYTES = 8;
/** Twice the largest control frame: a longer length is damage, not a record. */
export const MOST_RECORD_BYTES = 131_072;

export interface Found {
  /** Where the body starts in the file. */
  readonly offset: number;
  readonly body: Uint8Array;
}

export interface LogContent {
  readonly records: readonly Found[];
  /** Up to here the file is good. */
  readonly good: number;
  /** Behind a broken record stand sound ones: no torn tail, but damage. */
  readonly damaged: boolean;
}

/** All sound records from the start of the file; none where there is no file. */
export async function readLog(path: string): Promise<LogContent> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (isMissing(error)) return { records: [], good: 0, damaged: false };
    throw error;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bodyAt = (at: number): Uint8Array | undefined => {
    if (at + HEAD_BYTES > bytes.length) return undefined;
    const length = view.getUint32(at);
    if (length === 0 || length > MOST_RECORD_BYTES || at + HEAD_BYTES + length > bytes.length)
      return undefined;
    const body = bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length);
    return crc32(body) === view.getUint32(at + 4) ? body : undefined;
  };
  const records: Found[] = [];
  let good = 0;
  for (let body = bodyAt(0); body; body = bodyAt(good)) {
    records.push({ offset: good + HEAD_BYTES, body });
    good += HEAD_BYTES + body.length;
  }
  let damaged = false;
  for (let at = good + 1; !damaged && at < bytes.length; at++) damaged = bodyAt(at) !== undefined;
  return { records, good, damaged };
}

interface Waiting {
  readonly body: Uint8Array;
  readonly durable: boolean;
  readonly resolve: (offset: number) => void;
  readonly reject: (error: unknown) => void;
}

export class Log {
  readonly #file: FileHandle;
  #end: number;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | undefined;
  #broken: unknown;

  private constructor(file: FileHandle, end: number) {
    this.#file = file;
    this.#end = end;
  }

  /** Opens for appending behind `end`; what stands after it is cut off. */
  static async open(path: string, end: number): Promise<Log> {
    const file = await open(path, "a+", 0o600);
    if ((await file.stat()).size !== end) {
      await file.truncate(end);
      await file.sync();
    }
    await syncFolder(dirname(path));
    return new Log(file, end);
  }

  /** Resolves with the body's place when it is written, and on disk where `durable`. @throws KithError disk-full */
  append(body: Uint8Array, durable: boolean): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    if (body.length > MOST_RECORD_BYTES) reject(new RangeError("a record too large"));
    else this.#waiting.push({ body, durable, resolve, reject });
    this.#flushing ??= this.#flush();
    return promise;
  }

  /** A body that `append` or `readLog` placed. */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    if (readSync(this.#file.fd, bytes, 0, length, offset) !== length)
      throw new KithError("store-damaged", "the ledger is cut short");
    return bytes;
  }

  async close(): Promise<void> {
    await this.#flushing;
    await this.#file.close();
  }

  async #flush(): Promise<void> {
    // Let everything of this turn join the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        if (this.#broken) throw this.#broken;
        const places = await this.#write(batch);
        for (const [at, one] of batch.entries()) one.resolve(places[at] ?? 0);
      } catch (error) {
        for (const one of batch) one.reject(error);
      }
    }
    this.#flushing = undefined;
  }

  async #write(batch: readonly Waiting[]): Promise<number[]> {
    const bytes = new Uint8Array(
      batch.reduce((sum, { body }) => sum + HEAD_BYTES + body.length, 0),
    );
    const view = new DataView(bytes.buffer);
    const places: number[] = [];
    let at = 0;
    for (const { body } of batch) {
      view.setUint32(at, body.length);
      view.setUint32(at + 4, crc32(body));
      bytes.set(body, at + HEAD_BYTES);
      places.push(this.#end + at + HEAD_BYTES);
      at += HEAD_BYTES + body.length;
    }
    try {
      await this.#file.appendFile(bytes);
    } catch (cause) {
      // Half a batch may stand there: whatever follows must not come behind it.
      await this.#file.truncate(this.#end).catch((error: unknown) => (this.#broken = error));
      throw new KithError("disk-full", "the device cannot write its ledger", { cause });
    }
    if (batch.some(({ durable }) => durable)) {
      try {
        await this.#file.datasync();
      } catch (cause) {
        // After a failed fsync nobody knows what is on disk: nothing may be promised any more.
        this.#broken = new KithError("store-damaged", "the device's ledger could not be stored", {
          cause,
        });
        throw this.#broken;
      }
    }
    this.#end += bytes.length;
    return places;
  }
}
