/** Methods about terminals: open, list, end. Watching one belongs to a connection: shell-connection.ts. */
import { shellOpen } from "@kith/shared/capabilities/shell";
import { KithError } from "@kith/shared/errors";
import { newId } from "@kith/shared/ids";
import { terminalSide } from "@kith/shared/protocol/terminal";
import { str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { durations } from "../grants/grant.ts";
import { short } from "../sessions/words.ts";
import { ended } from "./call-methods.ts";
import { NOTHING, one } from "./lookup.ts";
import { type Method, type MethodsOptions, method } from "./method.ts";
import { terminalsOf } from "./terminals.ts";
import { ago, dayTime, table } from "./text.ts";

const STATES: Readonly<Record<string, string>> = {
  asked: "needs your permission",
  ready: "waits for its device",
  sent: "open",
};

export function shellMethods({
  calls,
  presence,
  waiting,
  clock,
  rng,
}: MethodsOptions): [string, Method][] {
  return [
    [
      "shell.open",
      method(
        v.strictObject({
          device: str(256),
          columns: terminalSide,
          rows: terminalSide,
          allow: v.optional(v.picklist(durations)),
        }),
        async ({ device, columns, rows, allow }, { by }) => {
          const { first, forget } = await waiting.request(newId(clock, rng), {
            ...{ device, cap: shellOpen.name, args: { columns, rows }, requester: "owner", by },
            ...(allow === undefined ? {} : { allow }),
          });
          // Its end is hours away, and told to whoever watches.
          forget();
          if (first.state !== "asked" && first.state !== "ready") ended(first);
          const { call, device: id, name, state } = first;
          return { out: { call, device: id, name, state }, text: `${name}: ${short(call)}` };
        },
      ),
    ],
    [
      "shell.list",
      method(NOTHING, () => {
        const shells = terminalsOf(calls).map((call) => ({
          call: call.id,
          device: call.device,
          name: call.name,
          state: call.state,
          since: call.createdAt,
          until: call.deadlineAt,
        }));
        const lines = shells.map(({ call, name, state, since, until }) => [
          short(call),
          name,
          STATES[state] ?? state,
          `since ${ago(since, clock.now()).replace(" ago", "")}`,
          state === "sent" ? `until ${dayTime(until)}` : "",
        ]);
        return { out: { shells }, text: lines.length > 0 ? table(lines) : "No terminal is open." };
      }),
    ],
    [
      "shell.close",
      method(v.strictObject({ call: str(32) }), ({ call: id }) => {
        const open = terminalsOf(calls).filter(({ state }) => state === "sent");
        const call = one(open, id, "call-unknown", "open terminal");
        const link = presence.get(call.device);
        if (!link) throw new KithError("device-away", `${call.name} is not connected`);
        // What comes of it is the device's word: the call ends as any that was stopped there.
        link.send({ t: "cancel", call: call.id, why: "owner" });
        return { out: { call: call.id }, text: `The shell of ${call.name} is told to end.` };
      }),
    ],
  ];
}
