/**
 * The bare wire: a relay between a Unix socket and a WebSocket that parses nothing. A frame on
 * the Unix socket has its length before it, since a stream has no frames of its own.
 */
import { createServer, type Socket } from "node:net";
import process from "node:process";
import { type WebSocket, WebSocketServer } from "ws";
import { readFrames, writeFrame } from "./frames.ts";
import { tellUsage } from "./usage.ts";

const [path = "", port = ""] = process.argv.slice(2);
let operator: Socket | undefined;
let node: WebSocket | undefined;

const mesh = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  perMessageDeflate: false,
});
mesh.on("connection", (socket) => {
  node = socket;
  socket.on("message", (frame: Buffer) => operator && writeFrame(operator, frame));
});
createServer((socket) => {
  operator = socket;
  socket.on("error", () => {}); // The bench ended.
  readFrames(socket, (frame) => node?.send(frame));
}).listen(path, () => tellUsage(() => 0));
