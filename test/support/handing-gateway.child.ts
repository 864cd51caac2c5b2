/**
 * A whole gateway to which words are handed in on standard input, a line of JSON each, as a channel would that knows
 * whose they are: `{"messageId","text","labels","source"}`. It says `taken` when they are on disk.
 */
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import type { Incoming } from "@kith/gateway/channels/inbox";
import { startGateway } from "@kith/gateway/gateway";

const { values } = parseArgs({ options: { home: { type: "string", default: "" } } });
const say = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);

const gateway = await startGateway({
  home: values.home,
  fatal(why) {
    say({ event: "failed", why: String(why) });
    process.exit(70);
  },
});
const place = { channel: "console", account: "local", chat: "console", from: "owner" };
createInterface({ input: process.stdin }).on("line", (line) => {
  const given = JSON.parse(line) as Pick<Incoming, "messageId" | "text" | "labels" | "source">;
  gateway.receive({ ...place, ...given }).then(
    () => say({ event: "taken", messageId: given.messageId }),
    (why: unknown) => say({ event: "failed", why: String(why) }),
  );
});
say({ event: "ready" });
