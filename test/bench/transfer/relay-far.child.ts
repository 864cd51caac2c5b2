/**
 * The far end of relay.child.ts: `node relay-far.child.ts bare|plain WS-PORT FOLDER`. Asked for a
 * file it sends it in messages of 64 KiB, masked as every client must: `bare` from memory as it is,
 * `plain` from disk, hashed and sealed.
 */
import { createCipheriv, createHash } from "node:crypto";
import { createReadStream, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { WebSocket } from "ws";
import { KEY, nonce } from "./seal.ts";

const CHUNK_BYTES = 65_536;
/** What may wait in the socket. */
const QUEUE_BYTES = 1_048_576;

const [kind = "", port = "", folder = ""] = process.argv.slice(2);
const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });

async function send(data: Uint8Array | string): Promise<void> {
  const sent = new Promise<void>((resolve) => socket.send(data, () => resolve()));
  if (socket.bufferedAmount > QUEUE_BYTES) await sent;
}

const held = new Map<string, Uint8Array>();
if (kind === "bare")
  for (const name of readdirSync(folder)) held.set(name, readFileSync(join(folder, name)));

async function bare(name: string): Promise<void> {
  const bytes = held.get(name) ?? new Uint8Array();
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
    await send(bytes.subarray(at, at + CHUNK_BYTES));
  await send("end");
}

async function plain(name: string): Promise<void> {
  const hash = createHash("sha256");
  let count = 0;
  for await (const part of createReadStream(join(folder, name), { highWaterMark: CHUNK_BYTES })) {
    hash.update(part as Buffer);
    const cipher = createCipheriv("aes-256-gcm", KEY, nonce(count++));
    const sealed = cipher.update(part as Buffer);
    cipher.final();
    await send(Buffer.concat([sealed, cipher.getAuthTag()]));
  }
  await send(hash.digest("hex"));
}

socket.on("message", (name) => void (kind === "bare" ? bare : plain)(String(name)));
socket.on("error", () => {}); // The bench ended.
process.on("disconnect", () => process.exit(0));
