/**
 * A second witness of what was committed, in a file of its own.
 *
 *   slot = magic 4 · owner epoch 4 · commit 8 · audit rows 8 · audit head 32 · checksum 8
 *
 * SQLite drops the damaged end of its log without a word: 197 of 200 flips and cuts opened as
 * "ok" with fewer rows (runtime.md, section 6). So each commit also writes its number here,
 * alternately into two slots: a torn write leaves the other one, which is one commit older.
 */
import { hash as digest } from "node:crypto";
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { KithError } from "@kith/shared/errors";
import { genesis, sameBytes, type Head } from "../audit/chain.ts";

const MAGIC = 0x4b414e31; // "KAN1"
const SLOT_BYTES = 64;
const SUMMED_BYTES = 56;

export interface Anchored {
  readonly epoch: number;
  /** Counts every commit of this home, from 1. */
  readonly commit: number;
  readonly audit: Head;
}

const nothing: Anchored = { epoch: 0, commit: 0, audit: genesis };

const checksum = (slot: Uint8Array): Uint8Array =>
  digest("sha256", slot.subarray(0, SUMMED_BYTES), "buffer").subarray(0, 8);

function encode({ epoch, commit, audit }: Anchored): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES);
  slot.writeUInt32BE(MAGIC, 0);
  slot.writeUInt32BE(epoch, 4);
  slot.writeBigUInt64BE(BigInt(commit), 8);
  slot.writeBigUInt64BE(BigInt(audit.seq), 16);
  slot.set(audit.hash, 24);
  slot.set(checksum(slot), SUMMED_BYTES);
  return slot;
}

function decode(slot: Buffer): Anchored | undefined {
  if (slot.length < SLOT_BYTES || slot.readUInt32BE(0) !== MAGIC) return undefined;
  if (!sameBytes(checksum(slot), slot.subarray(SUMMED_BYTES, SLOT_BYTES))) return undefined;
  return {
    epoch: slot.readUInt32BE(4),
    commit: Number(slot.readBigUInt64BE(8)),
    audit: { seq: Number(slot.readBigUInt64BE(16)), hash: slot.subarray(24, SUMMED_BYTES) },
  };
}

/** The newest valid slot; commit 0 when there is none: a new home, or a lost anchor. */
export function readAnchor(file: string): Anchored {
  if (!existsSync(file)) return nothing;
  const bytes = readFileSync(file);
  const slots = [decode(bytes.subarray(0, SLOT_BYTES)), decode(bytes.subarray(SLOT_BYTES))];
  return slots.reduce<Anchored>(
    (newest, slot) => (slot !== undefined && slot.commit > newest.commit ? slot : newest),
    nothing,
  );
}

/**
 * Compares the database with its anchor. It may be one commit ahead: a crash came in between.
 * @throws KithError store-damaged
 */
export function compare(
  db: Anchored,
  anchor: Anchored,
  hashOfRow: (seq: number) => Uint8Array | undefined,
): void {
  const ahead = db.commit - anchor.commit;
  if (ahead < 0) {
    throw damaged(
      `the newest ${-ahead} of ${anchor.commit} commits are missing: it is older than its anchor`,
    );
  }
  if (ahead > 1) {
    throw damaged(`the anchor is ${ahead} commits behind it: an old copy, damaged or lost`);
  }
  if (ahead === 0 && (db.epoch !== anchor.epoch || db.audit.seq !== anchor.audit.seq)) {
    throw damaged(`it and its anchor disagree about commit ${db.commit}`);
  }
  for (const head of [db.audit, anchor.audit]) {
    if (head.seq === 0) continue;
    const hash = hashOfRow(head.seq);
    if (hash === undefined) throw damaged(`row ${head.seq} of the audit trail is missing`);
    if (!sameBytes(hash, head.hash)) {
      throw damaged(`row ${head.seq} of the audit trail is not the one that was written`);
    }
  }
}

const damaged = (what: string) =>
  new KithError("store-damaged", `The database is damaged: ${what}.`);

/** Puts the names in a folder on disk; Windows has no such call and does it by itself. */
export function syncFolder(folder: string): void {
  if (process.platform === "win32") return;
  const fd = openSync(folder, "r");
  fsyncSync(fd);
  closeSync(fd);
}

/** Opens the file for writing. `write` returns when the slot is on disk, or throws. */
export function openAnchor(file: string): {
  write(state: Anchored): void;
  synced(): void;
  close(): void;
} {
  if (!existsSync(file)) {
    // Complete from the start: later writes change no size, so they need no space and only a data sync.
    const fresh = openSync(`${file}.new`, "w", 0o600);
    writeSync(fresh, Buffer.alloc(2 * SLOT_BYTES));
    fsyncSync(fresh);
    closeSync(fresh);
    renameSync(`${file}.new`, file);
    syncFolder(dirname(file));
  }
  const fd = openSync(file, "r+");
  return {
    write: (state) =>
      void writeSync(fd, encode(state), 0, SLOT_BYTES, (state.commit % 2) * SLOT_BYTES),
    synced: () => fdatasyncSync(fd),
    close: () => closeSync(fd),
  };
}
