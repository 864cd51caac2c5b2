// @ts-check
/**
 * Questions that this computer, as a device, puts to whoever sits at it: shown in the chat, answered with
 * /yes or /no. They come from the node-agent's own socket: the gateway has no say in them.
 */
import { join } from "node:path";
import { connect } from "./control.mjs";

const RETRY_MS = 1_000;

/**
 * @param {string} home of the gateway; the device's is `node` in it
 * @param {(text: string) => void} ask shows a question
 * @returns {{ answer: (text: string) => boolean, stop: () => void }} `answer` takes a line that was typed and
 *   says whether it was an answer
 */
export function watchConsent(home, ask) {
  /** @type {Map<string, { call: string, cap: string, text: string, left_ms: number }>} */
  const open = new Map();
  /** @type {import("./control.mjs").Link | undefined} */
  let link;
  let stopped = false;
  /** @type {NodeJS.Timeout | undefined} */
  let later;

  const asked = (/** @type {any} */ question) => {
    open.set(question.call, question);
    setTimeout(() => open.delete(question.call), question.left_ms).unref();
    ask(`${question.text} /yes or /no?`);
  };
  const look = async () => {
    try {
      link = await connect(
        join(home, "node"),
        (event, data) => event === "consent.asked" && asked(data),
        "node.sock",
      );
      const { out } = await link.call("consent.list");
      out.questions.forEach(asked);
      await link.closed;
    } catch {
      // The agent is not there, or not yet: nothing can be asked meanwhile.
    }
    open.clear();
    if (!stopped) later = setTimeout(() => void look(), RETRY_MS);
  };
  void look();

  return {
    answer(text) {
      const yes = /^\/(yes|no)$/i.exec(text.trim())?.[1]?.toLowerCase();
      const [question] = open.values();
      if (yes === undefined || !question) return false;
      open.delete(question.call);
      link
        ?.call("consent.answer", { call: question.call, yes: yes === "yes" })
        .catch(() => ask("That question is over."));
      return true;
    },
    stop() {
      stopped = true;
      clearTimeout(later);
      link?.close();
    },
  };
}
