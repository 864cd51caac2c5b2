/**
 * The gateway process: `node main.ts --home DIR [--json] [--supervised]`. Exit codes for whoever supervises it:
 * 70 internal (start again), 75 the home is held or a port is taken, 78 the configuration is wrong.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { type ErrorCode, KithError } from "@kith/shared/errors";
import { defaultHome } from "./platform.ts";
import { startGateway } from "./gateway.ts";

const EXIT: Partial<Record<ErrorCode, number>> = {
  "home-locked": 75,
  "port-taken": 75,
  "config-invalid": 78,
  "home-unsafe": 78,
  "store-newer": 78,
  "store-damaged": 78,
};

const { values } = parseArgs({
  options: {
    home: { type: "string" },
    json: { type: "boolean", default: false },
    supervised: { type: "boolean", default: false },
  },
});
const home = resolve(values.home || process.env.KITH_HOME || defaultHome());
const say = (event: object, text: string) =>
  process.stdout.write(values.json ? `${JSON.stringify(event)}\n` : `${text}\n`);

function end(error: unknown): never {
  const known =
    error instanceof KithError
      ? error
      : new KithError("internal", "the gateway stopped on a defect", { cause: error });
  const { code, message, remedy } = known;
  if (known.code === "internal")
    process.stderr.write(
      `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  say({ event: "failed", error: { code, message, remedy } }, `${message}\n${remedy}`);
  process.exit(EXIT[known.code] ?? 70);
}

process.on("uncaughtException", end);
process.on("unhandledRejection", end);

try {
  const gateway = await startGateway({ home, fatal: end });
  const ms = Math.round(performance.now());
  say(
    { event: "ready", pid: process.pid, listen: gateway.addresses[0], ms },
    `Kith is ready on ${gateway.addresses.join(", ")} (${ms} ms).`,
  );
  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    gateway.stop().then(() => process.exit(0), end);
  };
  // Started by a launcher that holds our input open: when it is gone, however it went, so are we.
  if (values.supervised) process.stdin.on("end", stop).on("error", stop).resume();
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
} catch (error) {
  end(error);
}
