/** The other ends of devices.ts: node-agents as far as the wire goes, or bare WebSockets. */
import { once } from "node:events";
import { systemClock, systemRng } from "@kith/shared/clock";
import { fromHex, hex, newId } from "@kith/shared/ids";
import { generateKeyPair, type KeyPair } from "@kith/shared/noise/keys";
import { WebSocket } from "ws";
import { NodeEnd, hello } from "../mesh/world.ts";
import type { Answer, Ask } from "./devices.ts";

const keys: KeyPair[] = [];
let ends: NodeEnd[] = [];
let sockets: WebSocket[] = [];

async function answer(what: Ask): Promise<Answer> {
  switch (what.do) {
    case "keys":
      for (let at = 0; at < what.count; at++) keys.push(await generateKeyPair());
      return { keys: keys.map(({ publicKey }) => hex(publicKey)) };
    case "join": {
      const joins: number[] = [];
      const rs = fromHex(what.gateway);
      for (const own of keys.slice(0, what.count)) {
        const began = performance.now();
        const end = await new NodeEnd(what.port).handshake("IK", { keys: own, rs });
        end.say(hello({ boot: newId(systemClock, systemRng), kind: "server" }));
        await end.hears("welcome");
        joins.push(performance.now() - began);
        end.taker = (frame) => {
          if (frame.t === "ping") end.say({ t: "pong", n: frame.n });
          return true;
        };
        ends.push(end);
      }
      return { joins };
    }
    case "bare":
      for (let at = 0; at < what.count; at++) {
        const socket = new WebSocket(`ws://127.0.0.1:${what.port}`, { perMessageDeflate: false });
        await once(socket, "open");
        sockets.push(socket);
      }
      return {};
    case "leave":
      for (const end of ends) end[Symbol.dispose]();
      for (const socket of sockets) socket.terminate();
      [ends, sockets] = [[], []];
      return {};
  }
}

process.on("message", (what: Ask) => {
  answer(what).then(
    (said) => process.send?.(said),
    (why: unknown) => process.send?.({ failed: String(why) } satisfies Answer),
  );
});
