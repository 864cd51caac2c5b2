/**
 * The terminal as a channel: chats of clients at the control socket. A reply is delivered
 * when a client says that it showed it; until then it waits, also over restarts.
 */
import { KithError } from "@kith/shared/errors";
import { type Terminal, renderForTerminal } from "../pictures/terminal.ts";
import type { Event } from "../runtime/effect.ts";
import type { Performer } from "../runtime/outbox.ts";
import type { ChatMessage } from "../sessions/words.ts";

export interface ConsoleClient {
  readonly terminal: Terminal | undefined;
  draft(text: string): void;
  show(
    message: ChatMessage & {
      readonly id: string;
      readonly chat: string;
      readonly picture?: string;
    },
  ): void;
}

/** A picture that would not fit on a line of the control socket is shown in blocks instead. */
const MOST_PICTURE_CHARS = 700_000;

/** News kept for a chat in which nobody is; of more, the oldest are in the log alone. */
const MOST_NEWS = 20;

interface Waiting {
  readonly message: ChatMessage;
  readonly seen: () => void;
}

export class Console {
  readonly #clients = new Map<string, Set<ConsoleClient>>();
  readonly #waiting = new Map<string, Map<string, Waiting>>();
  readonly #news = new Map<string, Parameters<ConsoleClient["show"]>[0][]>();
  readonly #report: (what: string, error: unknown) => void;

  constructor(report: (what: string, error: unknown) => void) {
    this.#report = report;
  }

  /** A client shows this chat from now on, first what nobody has seen. Returns how to leave. */
  attach(chat: string, client: ConsoleClient): () => void {
    const clients = this.#clients.get(chat) ?? new Set();
    this.#clients.set(chat, clients);
    clients.add(client);
    for (const [id, { message }] of this.#waiting.get(chat) ?? [])
      this.#show(client, chat, id, message);
    const news = this.#news.get(chat) ?? [];
    this.#news.delete(chat);
    for (const message of news) client.show(message);
    return () => {
      clients.delete(client);
      if (clients.size === 0 && this.#clients.get(chat) === clients) this.#clients.delete(chat);
    };
  }

  seen(chat: string, id: string): void {
    this.#waiting.get(chat)?.get(id)?.seen();
  }

  /** What has come of an answer so far: shown to whoever is there, and replaced by the answer. */
  draft(chat: string, text: string): void {
    for (const client of this.#clients.get(chat) ?? []) client.draft(text);
  }

  /** News that nobody asked for: shown to whoever is there, and lost to all others. */
  announce(chat: string, id: string, message: ChatMessage): void {
    for (const client of this.#clients.get(chat) ?? []) client.show({ ...message, id, chat });
  }

  /** News that somebody must hear, once: if nobody is there, whoever comes first. */
  notify(chat: string, id: string, message: ChatMessage): void {
    if (this.#clients.has(chat)) return this.announce(chat, id, message);
    const news = [...(this.#news.get(chat) ?? []), { ...message, id, chat }];
    this.#news.set(chat, news.slice(-MOST_NEWS));
  }

  readonly performer: Performer = {
    op: "say",
    // It only waits, one reply a chat: however many chats nobody reads, they hold up no other.
    parallel: Number.POSITIVE_INFINITY,
    run: ({ key, args }, signal) => {
      const { chat, message } = args as { chat: string; message: ChatMessage };
      const { promise, resolve, reject } = Promise.withResolvers<Event>();
      const waiting = this.#waiting.get(chat) ?? new Map<string, Waiting>();
      this.#waiting.set(chat, waiting);
      const over = () => {
        waiting.delete(key);
        if (waiting.size === 0) this.#waiting.delete(chat);
      };
      waiting.set(key, {
        message,
        seen: () => {
          over();
          resolve({ type: "said" });
        },
      });
      signal.addEventListener("abort", () => {
        over();
        reject(
          signal.reason instanceof KithError
            ? signal.reason
            : new KithError("expired", "nobody was there to read it"),
        );
      });
      for (const client of this.#clients.get(chat) ?? []) this.#show(client, chat, key, message);
      return promise;
    },
  };

  #show(client: ConsoleClient, chat: string, id: string, message: ChatMessage): void {
    const { terminal } = client;
    const images = [message.result, ...(message.results ?? [])].flatMap(
      (one) => one?.streams?.find(({ type }) => type.startsWith("image/")) ?? [],
    );
    if (!terminal || images.length === 0) return client.show({ ...message, id, chat });
    previews(images, terminal).then(
      (picture) => client.show({ ...message, id, chat, picture }),
      (error: unknown) => {
        this.#report("picture", error);
        client.show({ ...message, id, chat });
      },
    );
  }
}

/** Under each other, as far as one line of the control socket takes them. */
async function previews(
  images: readonly { readonly path: string }[],
  terminal: Terminal,
): Promise<string> {
  let all = "";
  for (const { path } of images) {
    const picture = await preview(path, terminal);
    if (all.length + picture.length > MOST_PICTURE_CHARS) break;
    all += `${all === "" ? "" : "\n"}${picture}`;
  }
  return all;
}

async function preview(path: string, terminal: Terminal): Promise<string> {
  const picture = await renderForTerminal(path, terminal);
  return picture.length <= MOST_PICTURE_CHARS
    ? picture
    : renderForTerminal(path, { ...terminal, protocol: "blocks" });
}
