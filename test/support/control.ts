/**
 * A person's end of the control socket (docs/control.md), written from the document and not from
 * the product's own client: one JSON object per line, both ways.
 */
import { createConnection, type Socket } from "node:net";
import { systemClock, systemRng } from "@kith/shared/clock";
import { newId } from "@kith/shared/ids";
import { until } from "./until.ts";

export interface Answer {
  readonly out: any;
  readonly text: string;
}

/** What the gateway, or a node, refused. */
export class Refusal extends Error {
  readonly code: string;
  readonly remedy: string;
  readonly approval: string | undefined;

  constructor(error: { code: string; message: string; remedy: string; approval?: string }) {
    super(error.message);
    this.code = error.code;
    this.remedy = error.remedy;
    this.approval = error.approval;
  }
}

/** The connection ended before the answer came. */
export class Lost extends Error {}

export class Control implements Disposable {
  readonly #socket: Socket;
  readonly #open = new Map<
    number,
    { resolve: (answer: Answer) => void; reject: (why: Error) => void }
  >();
  #last = 0;

  private constructor(socket: Socket, onEvent: (event: string, data: any) => void) {
    this.#socket = socket;
    let text = "";
    socket.setEncoding("utf8").on("data", (part: string) => {
      const lines = (text + part).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const { id, ok, out, text: words, error, event, data } = JSON.parse(line);
        if (event !== undefined) onEvent(event, data);
        else if (ok) this.#take(id)?.resolve({ out, text: words });
        else this.#take(id)?.reject(new Refusal(error));
      }
    });
    socket.on("error", () => {}); // `close` follows.
    socket.on("close", () => {
      for (const { reject } of this.#open.values()) reject(new Lost("the connection ended"));
      this.#open.clear();
    });
  }

  /** Rejects when nobody listens. `name`: `control.sock` of a gateway, `node.sock` of a node. */
  static open(
    home: string,
    onEvent: (event: string, data: any) => void = () => {},
    name = "control.sock",
  ): Promise<Control> {
    return new Promise((resolve, reject) => {
      const here = process.cwd();
      process.chdir(home); // A home may be deeper than a socket's path can be long.
      const socket = createConnection(name);
      process.chdir(here);
      socket.once("error", reject);
      socket.once("connect", () => resolve(new Control(socket, onEvent)));
    });
  }

  #take(id: number) {
    const open = this.#open.get(id);
    this.#open.delete(id);
    return open;
  }

  get closed(): boolean {
    return this.#socket.destroyed;
  }

  /** Rejects with Refusal or Lost. */
  call(op: string, args: object = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(new Lost("the connection ended"));
      this.#open.set(++this.#last, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ id: this.#last, op, args })}\n`);
    });
  }

  /** Reads nothing until `resume`. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export interface Message {
  readonly id: string;
  readonly text: string;
  readonly final: boolean;
  readonly question?: { readonly approval: string; readonly device: string; readonly cap: string };
  readonly result?: any;
  readonly results?: any;
  readonly error?: { readonly code: string; readonly message: string; readonly remedy: string };
}

const RETRY_MS = 40;

/** Somebody in a chat who outlives the gateway's restarts, as a channel's network does. */
export class Owner implements Disposable {
  readonly #home: string;
  readonly #chat: string;
  readonly #said = new Map<string, string>();
  #link: Control | undefined;
  #joining: Promise<Control> | undefined;
  #left = false;
  #heard = 0;
  /** What was shown, each message once, in the order of its first coming. */
  readonly messages: Message[] = [];

  /** What was acknowledged is never offered again: then a loss cannot hide. */
  readonly #trusts: boolean;

  private constructor(home: string, chat: string, trusts: boolean) {
    this.#home = home;
    this.#chat = chat;
    this.#trusts = trusts;
  }

  static async enter(home: string, chat = "console", trusts = false): Promise<Owner> {
    const owner = new Owner(home, chat, trusts);
    await owner.#join();
    return owner;
  }

  #join(): Promise<Control> {
    if (this.#link && !this.#link.closed) return Promise.resolve(this.#link);
    this.#joining ??= this.#dial().finally(() => (this.#joining = undefined));
    return this.#joining;
  }

  async #dial(): Promise<Control> {
    for (;;) {
      if (this.#left) throw new Lost("left the chat");
      try {
        const link: Control = await Control.open(this.#home, (event, message) => {
          if (event !== "chat.message") return;
          if (!this.messages.some(({ id }) => id === message.id)) this.messages.push(message);
          link.call("chat.seen", { message: message.id }).catch(() => {}); // It comes again.
        });
        await link.call("chat.open", { chat: this.#chat });
        // Gateways are killed here more often than a person would stand: the third time the owner
        // has to say that it shall go on, and here always does.
        await link.call("safe.off");
        this.#link = link;
        // What was said before may be offered again: it counts once.
        for (const [id, text] of this.#trusts ? [] : this.#said)
          await link.call("chat.say", { text, id });
        return link;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** Comes back into the chat after a restart, to hear what is still to come. */
  async stay(): Promise<void> {
    await this.#join();
  }

  /** Resolves when it is committed, over as many gateways as that takes. */
  async say(text: string, id = newId(systemClock, systemRng)): Promise<void> {
    for (;;) {
      const link = await this.#join();
      try {
        await link.call("chat.say", { text, id });
        this.#said.set(id, text);
        return;
      } catch (error) {
        if (!(error instanceof Lost)) throw error;
      }
    }
  }

  /** The next message that fits, among those nobody has listened to. Stays joined while it waits. */
  async hear(
    what: string,
    fits: (message: Message) => unknown = () => true,
    patienceMs?: number,
  ): Promise<Message> {
    let found: Message | undefined;
    await until(
      what,
      async () => {
        await this.#join();
        while (this.#heard < this.messages.length && !found) {
          const message = this.messages[this.#heard++];
          if (message && fits(message)) found = message;
        }
        return found !== undefined;
      },
      () => this.messages.map(({ text }) => text).join("\n"),
      patienceMs,
    );
    return found as unknown as Message;
  }

  /** What comes of one sentence in the end. */
  async ask(text: string): Promise<Message> {
    await this.say(text);
    return this.hear(`the end of “${text}”`, ({ final }) => final);
  }

  leave(): void {
    this.#left = true;
    this.#link?.close();
  }

  [Symbol.dispose](): void {
    this.leave();
  }
}
