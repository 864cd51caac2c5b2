/**
 * Loaded with --import: from the n-th time on, a number of writes or syncs of the store fail, as
 * SQLite or the operating system would report it. For where `strace` cannot do it for real.
 *
 *   KITH_DISK_FAULT=commit-full:3:2   the third commit and the one after it find the disk full
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { DatabaseSync } from "node:sqlite";
import { isMainThread } from "node:worker_threads";

const [kind = "", from = "0", times = "1"] = (process.env["KITH_DISK_FAULT"] ?? "").split(":");
let passed = 0;

/** Counts a pass; true when this one fails. */
function fails(of: string): boolean {
  if (kind !== of) return false;
  passed++;
  return passed >= Number(from) && passed < Number(from) + Number(times);
}

const sqlite = (errcode: number, words: string): Error =>
  Object.assign(new Error(words), { code: "ERR_SQLITE_ERROR", errcode });
const system = (code: string): Error => Object.assign(new Error(`${code}: injected`), { code });

// The writer is a worker; the connection of the main thread only reads.
if (!isMainThread) {
  // oxlint-disable-next-line typescript/unbound-method -- called with its own `this` below
  const { exec } = DatabaseSync.prototype;
  DatabaseSync.prototype.exec = function (sql) {
    if (sql === "COMMIT" && fails("commit-full")) {
      // As SQLite may do by itself: the transaction is gone, and the error says why.
      exec.call(this, "ROLLBACK");
      throw sqlite(13, "database or disk is full");
    }
    if (sql === "COMMIT" && fails("commit-io")) throw sqlite(778, "disk I/O error");
    exec.call(this, sql);
    // The row is there and nobody was told.
    if (sql === "COMMIT" && fails("commit-lost")) throw sqlite(1034, "disk I/O error");
  };
  const { fdatasyncSync, writeSync } = fs;
  fs.fdatasyncSync = (fd) => {
    if (fails("anchor-sync")) throw system("EIO");
    fdatasyncSync(fd);
  };
  fs.writeSync = ((...args: unknown[]) => {
    // Only the anchor is written at a position.
    if (args.length === 5 && fails("anchor-full")) throw system("ENOSPC");
    return (writeSync as (...all: unknown[]) => number)(...args);
  }) as typeof writeSync;
  syncBuiltinESMExports();
}
