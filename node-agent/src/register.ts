/**
 * Pairing on the gateway's own machine: over its control socket, whose file permission is the
 * authority. Keys are exchanged and pinned; no window, no code. The link is then an ordinary IK.
 */
import { connect, type Socket } from "node:net";
import { type Clock } from "@kith/shared/clock";
import { isErrorCode, KithError } from "@kith/shared/errors";
import { fromHex, hex, keyId } from "@kith/shared/ids";
import type { Hello } from "@kith/shared/protocol/session";
import { key16 } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { type Home, readAddress } from "./config.ts";
import { readLines, socketPath, writeLine } from "./ndjson.ts";

const ANSWER_MS = 10_000;

const answer = v.variant("ok", [
  v.object({
    id: v.literal(1),
    ok: v.literal(true),
    out: v.object({
      device: key16,
      gateway: key16,
      key: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/i)),
      address: v.string(),
    }),
  }),
  v.object({
    id: v.literal(1),
    ok: v.literal(false),
    error: v.object({ code: v.string(), message: v.string() }),
  }),
]);

export interface Registration {
  readonly home: Home;
  readonly publicKey: Uint8Array;
  readonly about: Pick<Hello, "name" | "kind" | "os" | "arch" | "agent">;
  readonly caps: readonly string[];
  readonly clock: Clock;
}

/** Registers with the gateway of `gatewayHome` and pins it. @throws KithError */
export async function register(
  gatewayHome: string,
  { home, publicKey, about, caps, clock }: Registration,
): Promise<{ device: string; gateway: string }> {
  const socket = connect(reach(gatewayHome));
  try {
    const line = await ask(
      socket,
      { id: 1, op: "node.register", args: { key: hex(publicKey), ...about, caps } },
      clock,
    );
    const said = v.safeParse(answer, line);
    if (!said.success) throw new KithError("schema", "the gateway's answer has no known shape");
    if (!said.output.ok) {
      const { code, message } = said.output.error;
      throw new KithError(isErrorCode(code) ? code : "internal", message);
    }
    const { device, gateway, key, address } = said.output.out;
    if (device !== keyId(publicKey) || gateway !== keyId(fromHex(key)))
      throw new KithError("pairing-refused", "the gateway's ids do not fit the keys");
    if (address === "")
      throw new KithError("gateway-unreachable", "the gateway on this machine listens nowhere");
    await home.save({
      gateway: { addresses: [readAddress(address)], key: key.toLowerCase(), id: gateway },
    });
    return { device, gateway };
  } finally {
    socket.destroy();
  }
}

/** Changes into the folder where the full path is too long; `main.ts` has made all its paths absolute. */
function reach(gatewayHome: string): string {
  try {
    return socketPath(gatewayHome, "control.sock");
  } catch {
    process.chdir(gatewayHome);
    return "control.sock";
  }
}

function ask(socket: Socket, question: unknown, clock: Clock): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const away = (why: string) => reject(new KithError("gateway-away", why));
    const cancel = clock.after(ANSWER_MS, () =>
      away("the gateway on this machine does not answer"),
    );
    readLines(socket, (line) => {
      // Events of other conversations may come first; the answer carries our number.
      if (v.is(v.object({ id: v.literal(1) }), line)) resolve(line);
    });
    socket.on("connect", () => writeLine(socket, question));
    socket.on("error", () => away("no gateway runs on this machine"));
    socket.on("close", () => {
      cancel();
      away("the gateway closed the connection");
    });
  });
}
