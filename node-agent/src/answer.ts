/** `kith node questions`, `yes` and `no`: what the agent of this machine asks, and the answer, by its socket. */
import { connect } from "node:net";
import { KithError } from "@kith/shared/errors";
import { id26 } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { readLines, socketPath, writeLine } from "./ndjson.ts";

const ANSWER_MS = 5_000;

const asked = v.object({
  id: v.literal(1),
  out: v.object({ questions: v.array(v.object({ call: id26, text: v.string() })) }),
});
const answered = v.object({ id: v.literal(2), ok: v.boolean() });

/**
 * The questions that are open, the oldest first; with `yes` that one is answered, and it alone is returned.
 * @throws KithError call-unknown, service-unavailable
 */
export function answerHere(dir: string, yes?: boolean): Promise<readonly string[]> {
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
  const nobody = () => new KithError("call-unknown", "nothing is asked on this device now");
  let question: string | undefined;
  const socket = connect(socketPath(dir, "node.sock"));
  socket.setTimeout(ANSWER_MS, () => socket.destroy());
  readLines(socket, (line) => {
    const first = v.safeParse(asked, line);
    if (first.success) {
      const { questions } = first.output.out;
      if (yes === undefined) return resolve(questions.map(({ text }) => text));
      const [oldest] = questions;
      if (!oldest) return reject(nobody());
      question = oldest.text;
      return writeLine(socket, {
        id: 2,
        op: "consent.answer",
        args: { call: oldest.call, yes },
      });
    }
    const last = v.safeParse(answered, line);
    if (last.success && question !== undefined)
      return last.output.ok ? resolve([question]) : reject(nobody());
  });
  const silent = () =>
    reject(new KithError("service-unavailable", "no agent of this device runs here"));
  socket.once("error", silent).once("close", silent);
  writeLine(socket, { id: 1, op: "consent.list" });
  return promise.finally(() => socket.destroy());
}
