// @ts-check
/**
 * A chat that outlives the gateway's restarts. What was said and is not committed yet is said
 * again under the same id, and a message that comes twice is shown once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { connect, Failure } from "./control.mjs";

/** @typedef {import("./control.mjs").Link} Link */

const REDIAL_MS = 150;

/** A new 26-character id, ordered by time (the ULID form of shared/src/ids.ts). */
export function newId() {
  const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  let head = "";
  for (let time = Date.now(); head.length < 10; time = Math.floor(time / 32)) {
    head = alphabet[time % 32] + head;
  }
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) head += alphabet[byte % 32];
  return head;
}

/**
 * @param {{ home: string, chat?: string, terminal?: object | undefined,
 *   onMessage: (message: any) => void, onDraft?: (text: string) => void, onLost?: () => void, onBack?: () => void,
 *   onError?: (why: Failure) => void }} how
 * @returns {Promise<{ say: (text: string) => Promise<void>, call: Link["call"], close: () => void }>}
 *   rejects with `gateway-away` when nobody answers the first time
 */
export async function openChat({ home, chat = "console", terminal, ...on }) {
  /** @type {Link | undefined} */
  let link;
  let ended = false;
  let name = chat;
  let opened = false;
  /** @type {Map<string, string>} said, not yet committed */
  const unsaid = new Map();
  /** @type {Set<string>} */
  const shown = new Set();

  const hear = (/** @type {any} */ message) => {
    if (opened && message.chat !== undefined && message.chat !== name) return;
    const key = JSON.stringify([message.id, message.text, message.final]);
    if (!shown.has(key)) on.onMessage(message);
    shown.add(key);
    if (shown.size > 1_000) shown.delete(/** @type {string} */ (shown.values().next().value));
    // A lost `seen` only means that the message comes again, and `shown` knows it.
    link?.call("chat.seen", { message: message.id }).catch(() => {});
  };

  const deliver = async (/** @type {string} */ id) => {
    try {
      await link?.call("chat.say", { text: unsaid.get(id), id });
      if (link) unsaid.delete(id);
    } catch (why) {
      const failure = Failure.from(why);
      if (failure.lost) return; // It stays in `unsaid` until the gateway is back.
      unsaid.delete(id);
      throw failure;
    }
  };

  const join = async () => {
    const joined = await connect(home, (event, data) => {
      if (event === "chat.message") hear(data);
      else if (event === "chat.draft") on.onDraft?.(String(data.text ?? ""));
    });
    link = joined;
    const { out } = await joined.call("chat.open", { chat: name, ...(terminal && { terminal }) });
    name = out.chat ?? name;
    opened = true;
    if (ended) joined.close();
    else void joined.closed.then(rejoin);
  };

  const lose = () => {
    link?.close();
    link = undefined;
    return false;
  };

  const rejoin = async () => {
    lose();
    if (!ended) on.onLost?.();
    do {
      await sleep(REDIAL_MS);
      if (ended) return;
    } while (!(await join().then(() => true, lose))); // Until it is there or somebody leaves.
    on.onBack?.();
    for (const id of unsaid.keys()) await deliver(id).catch((why) => on.onError?.(why));
  };

  await join().catch((why) => {
    lose();
    throw why;
  });
  return {
    say: (text) => {
      const id = newId();
      unsaid.set(id, text);
      return deliver(id);
    },
    call: (op, args) =>
      link?.call(op, args) ?? Promise.reject(new Failure("gateway-away", "the gateway is away")),
    close: () => {
      ended = true;
      link?.close();
    },
  };
}
