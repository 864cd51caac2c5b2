/**
 * What a transfer is compared with: `node relay.child.ts bare|plain WS-PORT SOCKET FOLDER`.
 *
 *   operator ── name ──► relay ── name ──► far end
 *            ◄── done ──       ◄── bytes, then the end
 *
 * `bare` drops the bytes; `plain` opens each message, hashes, writes, compares and syncs. Ordinary
 * code with Node's own streams: what one would write without a protocol.
 */
import { createDecipheriv, createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { open, rename } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { type WebSocket, WebSocketServer } from "ws";
import { KEY, nonce, TAG_BYTES } from "./seal.ts";

const [kind = "", port = "", path = "", folder = ""] = process.argv.slice(2);
let far: WebSocket | undefined;

/** Takes messages until the end of one file. */
interface Taker {
  message(bytes: Buffer): void;
  end(sha256: string): Promise<void>;
}

const bare = (): Taker => ({ message: () => {}, end: async () => {} });

function plain(name: string, socket: WebSocket): Taker {
  const draft = join(folder, `${name}.part`);
  const file = createWriteStream(draft, { highWaterMark: 1_048_576 });
  const hash = createHash("sha256");
  let count = 0;
  return {
    message(bytes) {
      const decipher = createDecipheriv("aes-256-gcm", KEY, nonce(count++));
      decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
      const data = decipher.update(bytes.subarray(0, bytes.length - TAG_BYTES));
      decipher.final();
      hash.update(data);
      if (file.write(data)) return;
      socket.pause();
      file.once("drain", () => socket.resume());
    },
    async end(sha256) {
      await new Promise<void>((resolve, reject) => {
        file.once("error", reject);
        file.end(resolve);
      });
      // A file that ends says nothing more of room: what had to wait for it would wait for ever.
      socket.resume();
      if (hash.digest("hex") !== sha256) throw new Error("the content changed on the way");
      const written = await open(draft, "r+");
      await written.sync();
      await written.close();
      await rename(draft, join(folder, name));
      const inside = await open(folder, "r");
      await inside.sync();
      await inside.close();
    },
  };
}

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  perMessageDeflate: false,
});
server.on("connection", (socket) => {
  far = socket;
  process.send?.("ready");
});
createServer((operator) => {
  operator.on("error", () => {}); // The bench ended.
  createInterface({ input: operator }).on("line", (name) => {
    const socket = far;
    if (!socket) throw new Error("nobody to ask");
    const taker = kind === "bare" ? bare() : plain(name, socket);
    const take = (data: Buffer, binary: boolean) => {
      if (binary) return taker.message(data);
      socket.off("message", take);
      void taker.end(String(data)).then(() => operator.write("done\n"));
    };
    socket.on("message", take);
    socket.send(name);
  });
}).listen(path, () => process.send?.("listening"));
process.on("disconnect", () => process.exit(0));
