/** The gateway's log: one JSON object a line, our own words and errors only, never what people wrote. */
import { appendFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";

export interface Log {
  info(what: string, fields?: Readonly<Record<string, string | number | boolean>>): void;
  error(what: string, error: unknown): void;
}

const MOST_BYTES = 8 * 1_048_576;

/** Writes to `logs/gateway.log`; at 8 MiB the file becomes `gateway.log.1`. */
export function fileLog(folder: string, now: () => number): Log {
  const file = join(folder, "gateway.log");
  let bytes = 0;
  try {
    bytes = statSync(file).size;
  } catch {
    // No log yet.
  }
  const write = (entry: object): void => {
    const line = `${JSON.stringify({ at: new Date(now()).toISOString(), ...entry })}\n`;
    try {
      if (bytes > MOST_BYTES) {
        renameSync(file, `${file}.1`);
        bytes = 0;
      }
      appendFileSync(file, line, { mode: 0o600 });
      bytes += line.length;
    } catch {
      // A full disk must not end what still works; the owner hears of it from the store.
    }
  };
  return {
    info: (what, fields = {}) => write({ level: "info", what, ...fields }),
    error: (what, error) =>
      write({
        level: "error",
        what,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
  };
}
