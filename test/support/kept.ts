/** A sink in memory, to look at. */
import { createHash } from "node:crypto";
import { KithError } from "@kith/shared/errors";
import type { Sink } from "@kith/shared/streams/receiver";

export const sha256 = (bytes: Uint8Array) =>
  new Uint8Array(createHash("sha256").update(bytes).digest());

/** Keeps the bytes in memory, checks the hash as a file would, and can be slow on purpose. */
export class Kept implements Sink {
  bytes: Uint8Array;
  finished = false;
  /** Every write waits for this. */
  slow: Promise<void> = Promise.resolve();

  constructor(before: Uint8Array = new Uint8Array(0)) {
    this.bytes = before;
  }

  get length() {
    return this.bytes.length;
  }

  async write(parts: readonly Uint8Array[]) {
    const copy = Buffer.concat(parts);
    await this.slow;
    this.bytes = Buffer.concat([this.bytes, copy]);
  }

  async finish(size: number, hash: Uint8Array) {
    if (size !== this.length || !Buffer.from(hash).equals(sha256(this.bytes)))
      throw new KithError("hash-mismatch", "the content changed on the way");
    this.finished = true;
  }

  /** How often it was let go of: kept for a resume, or thrown away. */
  closed = 0;
  discarded = 0;
  async close() {
    this.closed++;
  }
  async discard() {
    this.discarded++;
  }
}
