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

/** A question with the few characters that name it. */
export interface Asked {
  readonly code: string;
  readonly text: string;
}

/** What stands beside a question, and is typed to answer it and no other. */
export const codeOf = (call: string): string => call.slice(-4);

/**
 * The questions that are open, the oldest first; with an answer, the one of that code is answered, and it alone
 * is returned. @throws KithError call-unknown, not-ready
 */
export function answerHere(
  dir: string,
  answer?: { readonly code: string; readonly yes: boolean },
): Promise<readonly Asked[]> {
  const { promise, resolve, reject } = Promise.withResolvers<readonly Asked[]>();
  const unknown = () =>
    new KithError(
      "call-unknown",
      "that is not asked on this device (any more); `kith node questions` lists what is",
    );
  let question: Asked | undefined;
  const socket = connect(socketPath(dir, "node.sock"));
  socket.setTimeout(ANSWER_MS, () => socket.destroy());
  readLines(socket, (line) => {
    const first = v.safeParse(asked, line);
    if (first.success) {
      const all = first.output.out.questions.map(({ call, text }) => ({
        ...{ call, text, code: codeOf(call) },
      }));
      if (!answer) return resolve(all.map(({ code, text }) => ({ code, text })));
      const meant = all.find(({ code }) => code === answer.code.toUpperCase());
      if (!meant) return reject(unknown());
      question = { code: meant.code, text: meant.text };
      const args = { call: meant.call, yes: answer.yes };
      return writeLine(socket, { id: 2, op: "consent.answer", args });
    }
    const last = v.safeParse(answered, line);
    if (last.success && question) return last.output.ok ? resolve([question]) : reject(unknown());
  });
  const silent = () =>
    reject(new KithError("not-ready", "no agent of this device runs here; `kith node` starts it"));
  socket.once("error", silent).once("close", silent);
  writeLine(socket, { id: 1, op: "consent.list" });
  return promise.finally(() => socket.destroy());
}
