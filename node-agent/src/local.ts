/**
 * A small socket for programs on this machine: is the agent well, and may this call run?
 *
 *   → {"id":1,"op":"consent.answer","args":{"call":"01J…","yes":true}}
 *   ← {"id":1,"ok":true,"out":{"answered":true}}
 *   ← {"event":"consent.asked","data":{"call","cap","text","left_ms"}}     unasked, to everybody
 *
 * `node.sock` in the home, mode 0600: whoever may open it sits at the device.
 */
import { chmod, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { KithError } from "@kith/shared/errors";
import { id26, int } from "@kith/shared/protocol/words";
import * as v from "valibot";
import type { Consent, Question } from "./consent.ts";
import { readLines, socketPath, writeLine } from "./ndjson.ts";

const MOST_CONNECTIONS = 8;

const request = v.variant("op", [
  v.strictObject({
    id: int(0, 2 ** 32 - 1),
    op: v.literal("status"),
    args: v.optional(v.strictObject({})),
  }),
  v.strictObject({
    id: int(0, 2 ** 32 - 1),
    op: v.literal("consent.list"),
    args: v.optional(v.strictObject({})),
  }),
  v.strictObject({
    id: int(0, 2 ** 32 - 1),
    op: v.literal("consent.answer"),
    args: v.strictObject({ call: id26, yes: v.boolean() }),
  }),
]);

export interface LocalParts {
  readonly dir: string;
  readonly consent: Consent;
  readonly status: () => Readonly<Record<string, unknown>>;
}

/** Listens until `close`. The caller holds the home, so a socket that stands there is a dead one. */
export async function serveLocal({ dir, consent, status }: LocalParts): Promise<{ close(): void }> {
  const open = new Set<Socket>();
  const show = (question: Question) => ({
    call: question.call,
    cap: question.cap,
    text: question.text,
    left_ms: consent.leftMs(question),
  });

  const answer = (socket: Socket, line: unknown): void => {
    const { id, op, args } = v.parse(request, line);
    if (op === "status") return writeLine(socket, { id, ok: true, out: status() });
    if (op === "consent.list")
      return writeLine(socket, { id, ok: true, out: { questions: consent.questions.map(show) } });
    if (consent.answer(args.call, args.yes))
      return writeLine(socket, { id, ok: true, out: { answered: true } });
    const { code, message, remedy } = new KithError("call-unknown", "nobody asks that any more");
    writeLine(socket, { id, ok: false, error: { code, message, remedy } });
  };

  const server: Server = createServer((socket) => {
    if (open.size >= MOST_CONNECTIONS) return void socket.destroy();
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    readLines(socket, (line) => answer(socket, line));
  });
  const stopListening = consent.listen((question) => {
    for (const socket of open) writeLine(socket, { event: "consent.asked", data: show(question) });
  });

  const path = socketPath(dir, "node.sock");
  if (process.platform !== "win32") await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  if (process.platform !== "win32") await chmod(path, 0o600);
  return {
    close() {
      stopListening();
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
