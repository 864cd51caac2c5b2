/** One agent per home: a small SQLite file held for the life of the process; `kill -9` frees it. */
import { KithError } from "@kith/shared/errors";

/** @throws KithError home-locked */
export function holdHome(path: string): { release(): void } {
  // Not imported: a Node that lacks it could then not even say that it is too old.
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE");
  } catch (cause) {
    database.close();
    throw new KithError("home-locked", "another agent runs with this home", { cause });
  }
  return { release: () => database.close() };
}
