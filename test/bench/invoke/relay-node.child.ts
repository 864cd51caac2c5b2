/** The far end of the bare wire: unpacks each invoke and answers with an accept and a result. */
import process from "node:process";
import { pack, unpack } from "msgpackr";
import { WebSocket } from "ws";
import { tellUsage } from "./usage.ts";

const socket = new WebSocket(`ws://127.0.0.1:${process.argv[2]}`, { perMessageDeflate: false });
socket.on("message", (frame: Buffer) => {
  const { call, args } = unpack(frame) as { call: string; args: { text: string } };
  socket.send(pack({ t: "accept", call, state: "running", left_ms: 10_000 }));
  socket.send(pack({ t: "result", call, out: { text: args.text }, streams: [], ran_ms: 0 }));
});
socket.on("open", () => tellUsage(() => 0));
