/**
 * A gateway out of the product's own parts: `node gateway.child.ts HOME durable|forgetful PORT`.
 * Left out is what no call meets: the chat, the model, content.
 */
import { join } from "node:path";
import process from "node:process";
import { Console } from "@kith/gateway/channels/console";
import { inbox } from "@kith/gateway/channels/inbox";
import { pairingHandlers } from "@kith/gateway/devices/pairing";
import { ticketHandlers } from "@kith/gateway/devices/tickets";
import { Presence } from "@kith/gateway/devices/presence";
import { latestTime } from "@kith/gateway/grants/latest";
import { fingerprinter } from "@kith/gateway/audit/fingerprint";
import { CAREFUL } from "@kith/gateway/grants/boundaries";
import { UsageLedger } from "@kith/gateway/budgets/usage";
import { Schedules } from "@kith/gateway/schedules/schedules";
import { Calls } from "@kith/gateway/invocations/calls";
import { linkHandlers } from "@kith/gateway/invocations/links";
import { Sending } from "@kith/gateway/invocations/sending";
import { loadKeys } from "@kith/gateway/keys";
import { kinds } from "@kith/gateway/kinds";
import { MediaStore } from "@kith/gateway/media/media";
import { startMesh } from "@kith/gateway/mesh/server";
import { startControl } from "@kith/gateway/operators/control";
import { ended } from "@kith/gateway/operators/call-methods";
import { type Method } from "@kith/gateway/operators/method";
import { methods } from "@kith/gateway/operators/methods";
import { Waiting } from "@kith/gateway/operators/waiting";
import { privateFolder } from "@kith/gateway/platform";
import { Runtime } from "@kith/gateway/runtime/runtime";
import { readAnchor } from "@kith/gateway/store/anchor";
import { openStore } from "@kith/gateway/store/store";
import { systemClock as clock, systemRng as rng } from "@kith/shared/clock";
import { hex, keyId, newId } from "@kith/shared/ids";
import { learnEcho } from "./echo.ts";
import { forgetfulStore } from "./no-journal.ts";
import { toldSession } from "./session.ts";
import { tellUsage } from "./usage.ts";
import { noTerminals } from "../../support/no-terminals.ts";

/** Sessions that share the calls of `session.invoke`. */
const SESSIONS = 16;

const [home = "", journal = "", port = ""] = process.argv.slice(2);
const report = (what: string, error: unknown) => console.error(what, error);
const fatal = (error: unknown): void => {
  report("fatal", error);
  process.exit(70);
};
learnEcho();
privateFolder(home);
const store = journal === "durable" ? openStore(home) : forgetfulStore();
const opened = await store.open();
const keys = await loadKeys(home);
const id = keyId(keys.noise.publicKey);
const media = new MediaStore(join(home, "media"));
const presence = new Presence();
let calls: Calls;
const runtime = new Runtime({
  ...{ store, clock, rng, fatal, report },
  scheduler: { soon: (fn) => void setImmediate(fn) },
  kinds: [
    ...kinds.filter(({ name }) => name !== toldSession.name),
    toldSession,
    {
      name: "invocation",
      receive: (...turn) => calls.receive(...turn),
      reload: () => calls.reload(),
    },
  ],
  notice: (text) => console.error(text),
});
calls = new Calls({
  ...{ documents: runtime.documents, gateway: id, media },
  link: (device) => presence.get(device),
  ledger: new UsageLedger(runtime.documents, {}),
  settling: () => false,
  ceiling: "auto",
  boundaries: CAREFUL,
  fingerprint: fingerprinter(keys.audit),
  latest: latestTime(clock, opened.lastWallMs),
});
const waiting = new Waiting(runtime);
const sending = new Sending(runtime, calls, presence, clock, media);
runtime.recover(opened);
sending.recover();

const mesh = await startMesh({
  listen: [{ host: "127.0.0.1", port: Number(port) }],
  gateway: { id, name: "bench", keys: keys.noise },
  handlers: linkHandlers({
    ...{ runtime, calls, presence, clock, sending },
    sink: (content) => media.sink(content),
  }),
  pairing: pairingHandlers(runtime),
  tickets: ticketHandlers(runtime),
  ...{ clock, rng, log: report },
});

let asked = 0;
/** As `invoke`, for a session that is told. */
const forSession: Method = {
  async call(args, { by }) {
    const call = newId(clock, rng);
    const session = `session/${asked++ % SESSIONS}` as const;
    runtime.tell(session, { type: "call.begun", call } as never);
    const { cap, text } = args as { cap: string; text: string };
    const request = { device: "bench", cap, args: { text }, requester: "owner" };
    const { end } = await waiting.request(call, { ...request, by, session });
    return ended(await end);
  },
};
const table = new Map([
  ...methods({
    ...{ runtime, store, calls, waiting, presence, clock, rng, home },
    contents: media,
    gateway: { id, name: "bench", key: hex(keys.noise.publicKey), version: "0" },
    agentHash: async () => undefined,
    setName: () => {},
    limits: {},
    schedules: new Schedules(runtime, () => clock.now(), "UTC"),
    tailnet: undefined,
    model: undefined,
    local: () => `127.0.0.1:${port}`,
    open: () => Promise.reject(new Error("not in this bench")),
    toolsBoundary: () => "none",
    addresses: () => mesh.addresses.map((address) => `${address.host}:${address.port}`),
  }),
  ["session.invoke", forSession] as const,
]);
process.chdir(home);
await startControl({
  path: "control.sock",
  methods: table,
  console: new Console(report),
  inbox: inbox(runtime, clock, rng, () => "main"),
  terminals: noTerminals(),
  ...{ clock, rng, report },
});
// Each commit waits for the log and for the anchor.
tellUsage(() => 2 * readAnchor("anchor").commit);
