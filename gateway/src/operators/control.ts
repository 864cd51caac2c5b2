/**
 * The control socket: one JSON object a line, both ways; docs/control.md. Whoever may open the file
 * is the owner. Each connection is bounded, and a broken one is closed alone.
 */
import { type Server, type Socket, createServer } from "node:net";
import type { Clock, Rng } from "@kith/shared/clock";
import { KithError, toFailure } from "@kith/shared/errors";
import { newId } from "@kith/shared/ids";
import { id26, int, str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import type { Console, ConsoleClient } from "../channels/console.ts";
import { INBOUND_TEXT_BYTES, type Inbox } from "../channels/inbox.ts";
import type { Terminal } from "../pictures/terminal.ts";
import { checked } from "./method.ts";
import { ApprovalNeeded } from "./call-methods.ts";
import type { methods } from "./methods.ts";
import { shellConnection } from "./shell-connection.ts";
import type { Terminals } from "./terminals.ts";

const LINE_BYTES = 1_048_576;
const UNREAD_BYTES = 16 * 1_048_576;
/** Beyond it a client is heard again only once it has read everything. */
const REST_BYTES = 1_048_576;
/** A client that rests and reads nothing for so long, at most twice, is cut off. Ctrl-Z alone leaves less than REST_BYTES. */
const PATIENCE_MS = 10_000;
const CONNECTIONS = 64;
const REQUESTS_AT_ONCE = 64;
const OWNER = "console:owner";

const request = v.strictObject({
  id: int(0, Number.MAX_SAFE_INTEGER),
  op: v.pipe(v.string(), v.maxLength(48)),
  args: v.optional(v.record(v.string(), v.unknown()), {}),
});

const terminal = v.strictObject({
  columns: int(1, 1_000),
  rows: v.optional(int(1, 1_000)),
  protocol: v.picklist(["kitty", "iterm", "blocks"]),
  color: v.picklist(["truecolor", "256"]),
});
const chatOpen = v.strictObject({
  chat: v.optional(str(64), "console"),
  terminal: v.optional(terminal),
});
// The schema's own `str` refuses line breaks, which a person may well type.
const chatSay = v.strictObject({
  text: v.pipe(v.string(), v.maxLength(INBOUND_TEXT_BYTES)),
  id: v.optional(id26),
});
const chatSeen = v.strictObject({ message: id26 });

export interface ControlOptions {
  readonly path: string;
  readonly methods: ReturnType<typeof methods>;
  readonly console: Console;
  readonly inbox: Inbox;
  readonly terminals: Terminals;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly report: (what: string, error: unknown) => void;
}

/** @throws KithError home-locked when the socket cannot be made */
export async function startControl(options: ControlOptions): Promise<{ close(): Promise<void> }> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    // A client that vanished is no news; `close` follows.
    socket.on("error", () => {});
    if (open.size > CONNECTIONS) return void socket.destroy();
    serve(socket, options);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.path, resolve);
  });
  return {
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function serve(socket: Socket, options: ControlOptions): void {
  let buffer = "";
  let running = 0;
  let over = false;
  /** Answers that wait for the end of this step of the event loop. */
  let waiting: string[] = [];
  let waitingLength = 0;
  let chat: string | undefined;
  let leave = () => {};
  /** Set by a `chat.open` until its answer has left; a newer one replaces it. */
  let entering = () => {};
  socket.setEncoding("utf8");
  const send = (line: object) => {
    // A client that asks and never reads would fill our memory with answers.
    if (socket.writableLength + waitingLength > UNREAD_BYTES) socket.destroy();
    if (socket.destroyed) return;
    const text = JSON.stringify(line);
    // Answers of one commit share a write.
    if (waiting.length === 0) process.nextTick(flush);
    waiting.push(text);
    waitingLength += text.length;
  };
  const flush = () => {
    const lines = waiting;
    waiting = [];
    waitingLength = 0;
    if (lines.length > 0 && !socket.destroyed) write(`${lines.join("\n")}\n`);
  };
  // A client that asks faster than it reads is not heard meanwhile: its questions wait on its side.
  const write = (text: string, left?: () => void) => {
    socket.write(text, left);
    if (socket.isPaused() || socket.writableLength <= REST_BYTES) return;
    socket.pause().setTimeout(PATIENCE_MS);
    socket.once("drain", () => socket.setTimeout(0).resume());
  };
  /** Resolves when the line has left memory, or nobody will ever read it. */
  const deliver = (line: object) =>
    new Promise<void>((resolve) => {
      flush();
      if (socket.destroyed) return resolve();
      write(`${JSON.stringify(line)}\n`, resolve);
    });
  const tell = (event: string, data: object) => send({ event, data });
  const shell = shellConnection(options.terminals, deliver);
  const fail = (id: number | undefined, error: KithError) => {
    const more =
      error instanceof ApprovalNeeded ? { approval: error.approval, call: error.approval } : {};
    send({
      ...(id === undefined ? {} : { id }),
      ok: false,
      error: { code: error.code, message: error.message, remedy: error.remedy, ...more },
    });
  };

  const chats: Readonly<Record<string, (args: unknown) => Promise<object> | object>> = {
    "chat.open": (args) => {
      const wish = checked(chatOpen, args);
      leave();
      // A sentence at the command line is a chat of its own: its answers go to nobody else.
      chat = wish.chat === "ask" ? `ask-${newId(options.clock, options.rng)}` : wish.chat;
      const client: ConsoleClient = {
        terminal: wish.terminal as Terminal | undefined,
        show: (message) => send({ event: "chat.message", data: message }),
        draft: (text) => send({ event: "chat.draft", data: { chat, text } }),
      };
      const name = chat;
      entering = () => {
        leave = options.console.attach(name, client);
      };
      return { chat };
    },
    "chat.say": async (args) => {
      const { text, id } = checked(chatSay, args);
      if (chat === undefined) throw new KithError("usage", "chat.open comes first");
      const message = id ?? newId(options.clock, options.rng);
      await options.inbox({
        channel: "console",
        account: "local",
        chat,
        messageId: message,
        from: "owner",
        text,
      });
      return { message };
    },
    "chat.seen": (args) => {
      if (chat !== undefined) options.console.seen(chat, checked(chatSeen, args).message);
      return {};
    },
  };

  const handle = async (id: number, op: string, args: unknown): Promise<void> => {
    try {
      const chatOp = Object.hasOwn(chats, op) ? chats[op] : undefined;
      if (chatOp) {
        const answer = chatOp(args);
        const enter = entering;
        send({ id, ok: true, out: await answer, text: "" });
        // After the answer, so that a client knows its chat before the first message comes.
        if (socket.destroyed || enter !== entering) return;
        entering = () => {};
        return enter();
      }
      const shellOp = Object.hasOwn(shell.ops, op) ? shell.ops[op] : undefined;
      if (shellOp) return send({ id, ok: true, out: await shellOp(args), text: "" });
      const method = options.methods.get(op);
      if (!method) throw new KithError("usage", `there is no method ${op.slice(0, 48)}`);
      const { out, text } = await method.call(args, { by: OWNER, tell });
      send({ id, ok: true, out, text });
    } catch (error) {
      if (error instanceof KithError) return fail(id, error);
      options.report(op, error);
      fail(id, new KithError("internal", toFailure(error, "unknown").message));
    }
  };

  /** Says why, and hears nothing more: what was said is sent, then the socket goes. */
  const hangUp = (error: KithError) => {
    over = true;
    buffer = "";
    fail(undefined, error);
    flush();
    socket.destroySoon();
  };

  socket.on("data", (data: string) => {
    if (over) return;
    buffer += data;
    let from = 0;
    for (let end = buffer.indexOf("\n"); end >= 0; end = buffer.indexOf("\n", from)) {
      const line = buffer.slice(from, end);
      from = end + 1;
      const parsed = read(line);
      if (!parsed || running >= REQUESTS_AT_ONCE) {
        return hangUp(
          parsed
            ? new KithError("rate", "too many requests at once")
            : new KithError("schema", "that line is not a request"),
        );
      }
      running++;
      void handle(parsed.id, parsed.op, parsed.args).then(() => running--); // never rejects
    }
    buffer = buffer.slice(from);
    if (buffer.length > LINE_BYTES) {
      hangUp(new KithError("schema", "a line of more than 1 MiB"));
    }
  });
  socket.on("timeout", () => socket.destroy());
  socket.on("close", () => {
    leave();
    shell.leave();
  });
}

function read(line: string): v.InferOutput<typeof request> | undefined {
  if (line.length > LINE_BYTES) return undefined;
  try {
    const parsed = v.safeParse(request, JSON.parse(line));
    return parsed.success ? parsed.output : undefined;
  } catch {
    // Not JSON: the caller is told `schema`.
    return undefined;
  }
}
