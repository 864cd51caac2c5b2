/**
 * An append-only file of records that shows what happened to it:
 *
 *   KITHLOG2 ‖ record ‖ record ‖ ... ‖ zeros up to a multiple of 256 KiB      while it is open
 *   KITHLOG2 ‖ record ‖ record ‖ ... ‖ closing record                         when it was closed
 *   record = u32 length ‖ u32 CRC-32 ‖ body ‖ mark, big-endian
 *
 * Appends that wait at the same time share one write and one fdatasync, which is cheap because
 * neither size nor place of the file changes. A write that a power cut or a kill interrupted was
 * never acknowledged: it ends in zeros, and is dropped. Whatever else is wrong (a flipped bit, a hole,
 * an end without closing record or zeros) is damage, and is said.
 */
import { readSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { KithError } from "@kith/shared/errors";
import { isMissing, syncFolder } from "./disk.ts";

const MAGIC = new TextEncoder().encode("KITHLOG2");
const HEAD_BYTES = 8;
/** Last byte of a record: where it stands, the write came to its end. */
const MARK = 0xa5;
/** Room that is made at once. */
const ROOM_BYTES = 262_144;
/** What a disk writes as a whole, or not at all. */
const SECTOR_BYTES = 512;
/** Twice the largest control frame: a longer length is damage, not a record. */
export const MOST_RECORD_BYTES = 131_072;
/** Shorter than any record of its user, so that the next one covers it. */
const CLOSING = Uint8Array.of(0);

export interface Found {
  /** Where the body starts in the file. */
  readonly offset: number;
  readonly body: Uint8Array;
}

export interface LogContent {
  readonly records: readonly Found[];
  /** Up to here the file is good. */
  readonly good: number;
  /** Up to here it is not zero: between `good` and this lies what is dropped. */
  readonly used: number;
  /** Not a write that was interrupted: something is wrong that was right once. */
  readonly damaged: boolean;
  /** Of the first form, without magic, marks and room: read, and written anew. */
  readonly old: boolean;
}

/** What a log holds, or undefined where there is no file. */
export async function readLog(path: string): Promise<LogContent | undefined> {
  try {
    return parseLog(await readFile(path));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** All sound records from the start of the file, and what to think of the rest. */
export function parseLog(bytes: Uint8Array): LogContent {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // The first form starts with a length, which is smaller than any four letters.
  const old = bytes.length >= HEAD_BYTES && view.getUint32(0) <= MOST_RECORD_BYTES;
  const mark = old ? 0 : 1;
  const bodyAt = (at: number): Uint8Array | undefined => {
    if (at + HEAD_BYTES > bytes.length) return undefined;
    const length = view.getUint32(at);
    if (length === 0 || length > MOST_RECORD_BYTES || at + HEAD_BYTES + length > bytes.length)
      return undefined;
    const body = bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length);
    return crc32(body) === view.getUint32(at + 4) ? body : undefined;
  };
  const records: Found[] = [];
  let good = old ? 0 : MAGIC.length;
  let closed = false;
  for (let body = bodyAt(good); body && !closed; body = bodyAt(good)) {
    closed = !old && body.length === CLOSING.length;
    if (closed) break;
    records.push({ offset: good + HEAD_BYTES, body });
    good += HEAD_BYTES + body.length + mark;
  }
  let used = bytes.length;
  while (used > good && bytes[used - 1] === 0) used--;
  let soundBehind = false;
  const behind = closed ? good + HEAD_BYTES + CLOSING.length + mark : good + 1;
  for (let at = behind; !soundBehind && at < used; at++) soundBehind = bodyAt(at) !== undefined;
  const whole = MAGIC.every((byte, at) => bytes[at] === byte);
  const ended = old || (whole && (closed || bytes.length % ROOM_BYTES === 0));
  const torn = old || closed || wasInterrupted(bytes, good, used);
  return { records, good, used, damaged: soundBehind || !ended || !torn, old };
}

/** Whether what stands behind the last sound record can be the start, or parts, of a write that did not end. */
function wasInterrupted(bytes: Uint8Array, good: number, used: number): boolean {
  if (used === good || bytes[used - 1] !== MARK) return true;
  for (let from = good; from < used;) {
    const to = from - (from % SECTOR_BYTES) + SECTOR_BYTES;
    if (bytes.subarray(from, Math.min(to, used)).every((byte) => byte === 0)) return true;
    from = to;
  }
  return false;
}

/** Hears where the body stands, or nothing when it was not written. */
type Settled = (offset: number | undefined) => void;

interface Waiting {
  readonly body: Uint8Array;
  readonly settled: Settled | undefined;
}

/** Records that share a write, and the promise of it. */
interface Batch extends PromiseWithResolvers<void> {
  readonly records: Waiting[];
  durable: boolean;
}

export class Log {
  readonly #file: FileHandle;
  #end: number;
  /** The size of the file: a multiple of the room that is made at once. */
  #size: number;
  /** Gathers what is appended until the write before it is done. */
  #next: Batch | undefined;
  #flushing: Promise<void> | undefined;
  #broken: unknown;

  private constructor(file: FileHandle, end: number, size: number) {
    this.#file = file;
    this.#end = end;
    this.#size = size;
  }

  /** A new file; one that is there is lost. */
  static async create(path: string): Promise<Log> {
    const file = await open(path, "w+", 0o600);
    return await ready(file, async () => {
      await file.write(MAGIC, 0, MAGIC.length, 0);
      const log = new Log(file, MAGIC.length, MAGIC.length);
      await log.#makeRoom(1);
      await file.sync();
      return log;
    });
  }

  /** Opens for appending behind what `readLog` found good. */
  static async open(path: string, { good, used }: LogContent): Promise<Log> {
    const file = await open(path, "r+", 0o600);
    return await ready(file, async () => {
      const log = new Log(file, good, (await file.stat()).size);
      // First the room: a file that ends without is taken for one that was cut.
      await log.#makeRoom(1);
      await file.sync();
      if (used > good) {
        await file.write(new Uint8Array(used - good), 0, used - good, good);
        await file.datasync();
      }
      await syncFolder(dirname(path));
      return log;
    });
  }

  /**
   * Resolves when the bodies are written, all or none, and on disk where `durable`. `settled` hears of
   * the last one right before. Who shares a write shares the promise. @throws KithError disk-full
   */
  append(bodies: readonly Uint8Array[], durable: boolean, settled?: Settled): Promise<void> {
    if (bodies.some(({ length }) => length > MOST_RECORD_BYTES)) {
      settled?.(undefined);
      return Promise.reject(new RangeError("a record too large"));
    }
    this.#next ??= { ...Promise.withResolvers<void>(), records: [], durable: false };
    const batch = this.#next;
    for (const body of bodies)
      batch.records.push({ body, settled: body === bodies.at(-1) ? settled : undefined });
    if (durable) batch.durable = true;
    this.#flushing ??= this.#flush();
    return batch.promise;
  }

  /** A body that `append` or `readLog` placed. */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    if (readSync(this.#file.fd, bytes, 0, length, offset) !== length)
      throw new KithError("store-damaged", "the ledger is cut short");
    return bytes;
  }

  /** Resolves when nothing waits to be written. */
  async written(): Promise<void> {
    await this.#flushing;
  }

  /** What waits is written, and that nothing is missing. */
  async close(): Promise<void> {
    await this.#flushing;
    try {
      if (this.#broken) return;
      const closing = encode([{ body: CLOSING }]);
      await this.#file.write(closing, 0, closing.length, this.#end);
      await this.#file.truncate(this.#end + closing.length);
      await this.#file.sync();
    } finally {
      await this.#file.close();
    }
  }

  async #flush(): Promise<void> {
    // Let everything of this turn join the first batch.
    await Promise.resolve();
    while (this.#next) {
      const batch = this.#next;
      this.#next = undefined;
      try {
        if (this.#broken) throw this.#broken;
        await this.#write(batch);
        batch.resolve();
      } catch (error) {
        for (const { settled } of batch.records) settled?.(undefined);
        batch.reject(error);
      }
    }
    this.#flushing = undefined;
  }

  async #write({ records, durable }: Batch): Promise<void> {
    const bytes = encode(records);
    try {
      await this.#makeRoom(bytes.length);
      const { bytesWritten } = await this.#file.write(bytes, 0, bytes.length, this.#end);
      if (bytesWritten < bytes.length) throw new Error("written in part");
    } catch (cause) {
      // Half a batch may stand there: whatever follows must not come behind it.
      await this.#clear(bytes.length).catch((error: unknown) => (this.#broken = error));
      throw new KithError("disk-full", "the device cannot write its ledger", { cause });
    }
    if (durable) {
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
    let at = this.#end + HEAD_BYTES;
    this.#end += bytes.length;
    for (const { body, settled } of records) {
      settled?.(at);
      at += HEAD_BYTES + body.length + 1;
    }
  }

  /** Zeros, and not a hole: only blocks that are there already cost a sync nothing but themselves. */
  async #makeRoom(bytes: number): Promise<void> {
    if (this.#end + bytes <= this.#size) return;
    const size = Math.ceil((this.#end + bytes) / ROOM_BYTES) * ROOM_BYTES;
    // The new size at once, also for a power cut: half a room would look like a file that was cut.
    await this.#file.truncate(size);
    const zeros = new Uint8Array(size - this.#size);
    const { bytesWritten } = await this.#file.write(zeros, 0, zeros.length, this.#size);
    if (bytesWritten < zeros.length) throw new Error("no room");
    this.#size = size;
  }

  async #clear(bytes: number): Promise<void> {
    await this.#file.truncate(this.#size);
    const length = Math.min(bytes, this.#size - this.#end);
    await this.#file.write(new Uint8Array(length), 0, length, this.#end);
  }
}

/** Closes the file where it cannot be made ready. */
async function ready(file: FileHandle, make: () => Promise<Log>): Promise<Log> {
  try {
    return await make();
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The records of one write. */
function encode(records: readonly Pick<Waiting, "body">[]): Uint8Array {
  let length = 0;
  for (const { body } of records) length += HEAD_BYTES + body.length + 1;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { body } of records) {
    view.setUint32(at, body.length);
    view.setUint32(at + 4, crc32(body));
    bytes.set(body, at + HEAD_BYTES);
    at += HEAD_BYTES + body.length + 1;
    bytes[at - 1] = MARK;
  }
  return bytes;
}
