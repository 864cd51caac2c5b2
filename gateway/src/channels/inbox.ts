/**
 * What comes in at any channel becomes a durable message of one session. Who speaks is an
 * identity (`console:owner`), an identity belongs to a person, a chat leads to a session with
 * a random id: nobody outside can name a session.
 */
import type { Clock, Rng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { hex, newId } from "@kith/shared/ids";
import { sha256 } from "@noble/hashes/sha2.js";
import { MAIN } from "../model/agents.ts";
import type { ActorId, Event } from "../runtime/effect.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Label } from "../tools/tool.ts";

export interface Incoming {
  readonly channel: string;
  readonly account: string;
  /** The channel's stable id of the chat. */
  readonly chat: string;
  /** The channel's id of the message: offering the same one again is harmless. */
  readonly messageId: string;
  /** The channel's stable id of the speaker. */
  readonly from: string;
  readonly text: string;
  /** Words that are not the speaker's own, such as a forwarded message: what they are, and whose, for people. */
  readonly labels?: readonly Label[];
  readonly source?: string;
}

export type Inbox = (message: Incoming) => Promise<void>;

interface Person {
  readonly id: string;
  readonly role: "owner";
}
interface Identity {
  readonly person: string;
}
/** Where a chat leads, by `[channel, account, chat]` as JSON. */
export interface Chat {
  readonly session: ActorId;
  /** Which assistant answers; "kith" in rows of before there were several. */
  readonly agent: string;
}

export const agentOfRow = ({ agent }: Chat): string => (agent === "kith" ? MAIN : agent);

export const INBOUND_TEXT_BYTES = 65_536;

/** Resolves once the message is committed. */
export function inbox(
  runtime: Runtime,
  clock: Clock,
  rng: Rng,
  agentOf: (chat: string) => string,
): Inbox {
  const fresh = () => newId(clock, rng);
  return async ({ channel, account, chat, messageId, from, text, labels, source }) => {
    if (new TextEncoder().encode(text).length > INBOUND_TEXT_BYTES)
      throw new KithError("too-big", "a message of more than 64 KiB");
    const { documents } = runtime;
    const puts: Parameters<Runtime["accept"]>[3] = [];
    const put = (table: "person" | "identity" | "chat", id: string, body: unknown) =>
      (puts as unknown[]).push({ kind: "put", table, id, open: true, body });

    const who = `${channel}:${from}`;
    let person: Person | undefined;
    let identity = documents.get<Identity>("identity", who);
    if (!identity) {
      // So far only the console speaks here, and whoever may open its socket is the owner.
      if (channel !== "console") throw new KithError("not-granted", "an unknown sender");
      person = documents.list<Person>("person").find(({ role }) => role === "owner") ?? {
        id: fresh(),
        role: "owner",
      };
      identity = { person: person.id };
      put("person", person.id, person);
      put("identity", who, identity);
    }
    const place = JSON.stringify([channel, account, chat]);
    let row = documents.get<Chat>("chat", place);
    const agent = agentOf(chat);
    // A chat that another assistant answers now has another conversation: none sees another's.
    if (!row || agentOfRow(row) !== agent) {
      row = { session: `session/${fresh()}`, agent };
      put("chat", place, row);
    }
    // By the person alone: a chat that is new makes nobody an owner.
    const owner = (person ?? documents.get<Person>("person", identity.person))?.role === "owner";
    const key = hex(
      sha256(new TextEncoder().encode(JSON.stringify([channel, account, chat, messageId]))),
    );
    await runtime.accept(
      row.session,
      {
        ...{ type: "chat.said", chat, text, by: who, owner },
        ...(agent !== MAIN && { agent }),
        ...(labels && { labels }),
        ...(source !== undefined && { source }),
      } as Event,
      key,
      puts,
    );
  };
}
