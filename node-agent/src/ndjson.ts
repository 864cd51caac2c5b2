/** JSON lines over a local socket, and how to reach one whose path is too long for the system. */
import type { Socket } from "node:net";
import { join, relative } from "node:path";
import { KithError } from "@kith/shared/errors";

/** A line of a peer on this machine; docs/control.md allows as much. */
const MOST_LINE_BYTES = 1_048_576;
/** The smallest bound of the systems (macOS: 104 with the closing zero). */
const MOST_PATH_BYTES = 103;

/** Calls `onLine` with each JSON value; anything else ends the connection. */
export function readLines(socket: Socket, onLine: (value: unknown) => void): void {
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (part: string) => {
    text += part;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    if (text.length > MOST_LINE_BYTES) return void socket.destroy();
    for (const line of lines) {
      try {
        onLine(JSON.parse(line));
      } catch {
        // No JSON, or of no known shape: nobody we know speaks so.
        return void socket.destroy();
      }
    }
  });
}

export function writeLine(socket: Socket, value: unknown): void {
  if (socket.writable) socket.write(`${JSON.stringify(value)}\n`);
}

/** A path for this socket that the system takes: the full one, or one from where we are. @throws KithError config-invalid */
export function socketPath(folder: string, name: string): string {
  if (process.platform === "win32")
    return `\\\\.\\pipe\\kith-${Buffer.from(folder).toString("hex").slice(-64)}-${name}`;
  const full = join(folder, name);
  const short = [full, relative(process.cwd(), full)].find(
    (path) => Buffer.byteLength(path) <= MOST_PATH_BYTES,
  );
  if (short === undefined)
    throw new KithError(
      "config-invalid",
      `the path of ${name} is too long for a socket: use a shorter home than ${folder}`,
    );
  return short;
}
