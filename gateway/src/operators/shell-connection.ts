/** What one control connection says about the terminal that it watches: `shell.*` of docs/control.md. */
import { KithError } from "@kith/shared/errors";
import { type Size, terminalSide } from "@kith/shared/protocol/terminal";
import { str, u53 } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { NOTHING } from "./lookup.ts";
import { checked } from "./method.ts";
import type { Closed, Seat, Terminals } from "./terminals.ts";

const INPUT_BYTES = 65_536;

const size = { columns: terminalSide, rows: terminalSide };
const attach = v.strictObject({ call: str(32), ...size, from: v.optional(u53) });
const resize = v.strictObject(size);
const input = v.strictObject({
  data: v.pipe(v.string(), v.maxLength(Math.ceil(INPUT_BYTES / 3) * 4), v.base64()),
});

export interface ShellConnection {
  readonly ops: Readonly<Record<string, (args: unknown) => Promise<object> | object>>;
  /** The connection is over. */
  leave(): void;
}

/** `send` resolves when the line has left memory. */
export function shellConnection(
  terminals: Terminals,
  send: (line: object) => Promise<void>,
): ShellConnection {
  let seat: Seat | undefined;
  const here = (): Seat => {
    if (!seat) throw new KithError("usage", "shell.attach comes first");
    return seat;
  };
  const leave = () => {
    seat?.leave();
    seat = undefined;
  };
  return {
    leave,
    ops: {
      "shell.attach": (args) => {
        const { call: id, columns, rows, from } = checked(attach, args);
        leave();
        const tell = (event: string, data: object) => send({ event, data });
        seat = terminals.attach(id, { columns, rows }, from, {
          state: (open, why) => void tell("shell.state", { open, why }),
          output: (text, at) => tell("shell.output", { at, text }),
          closed: (end) => void tell("shell.closed", told(end)),
        });
        const { id: call, device, name } = seat.call;
        return { call, device, name };
      },
      "shell.input": async (args) => {
        const { data } = checked(input, args);
        return { taken: await here().type(Buffer.from(data, "base64")) };
      },
      "shell.resize": (args) => {
        const now: Size = checked(resize, args);
        here().resize(now);
        return {};
      },
      "shell.detach": (args) => {
        checked(NOTHING, args);
        leave();
        return {};
      },
    },
  };
}

function told({ why, text, error }: Closed): object {
  if (!error) return { why, text };
  const { code, message, remedy } = error;
  return { why, text, error: { code, message, remedy } };
}
