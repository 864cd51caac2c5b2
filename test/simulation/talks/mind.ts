/**
 * The model of this world. It does what the last words ask, one step a round, and then answers with the marks of
 * all that it was told since its last answer. Asked the same again it makes other calls: each carries a number of
 * its own, so that what is done tells which answer it was for. It believes what it reads: EVIL travels with it.
 */
import type { ModelEvent, ModelRequest, Provider, ToolCall } from "@kith/gateway/model/provider";
import { ModelFailure } from "@kith/gateway/model/provider";
import type { Mortal, World } from "../../support/world.ts";
import type { Judge } from "./judge.ts";
import { marksIn } from "./mark.ts";

/** What can be asked of it, as `please STEP,STEP MARK`. */
export const steps = ["act", "read", "fetch", "note", "send", "task", "slow"] as const;
export type Step = (typeof steps)[number];
const STEP = /^please ([a-z,]+) (\S+)/;

export interface MindOptions {
  readonly world: World;
  readonly judge: Judge;
  readonly chaos: () => boolean;
}

export class Mind {
  readonly #options: MindOptions;
  #asked = 0;

  constructor(options: MindOptions) {
    this.#options = options;
  }

  /** The model of one assistant. */
  of(agent: string, process: Mortal): Provider {
    return { stream: (request, signal) => this.#stream(agent, process, request, signal) };
  }

  async *#stream(
    agent: string,
    process: Mortal,
    request: ModelRequest,
    signal: AbortSignal,
  ): AsyncGenerator<ModelEvent> {
    const { world, judge, chaos } = this.#options;
    const { rng } = world;
    judge.asked(agent, request);
    const n = ++this.#asked;
    await this.#while(rng.chance(0.7) ? rng.below(50) : rng.below(2_000), process, signal);
    const luck = chaos() ? rng.float() : 1;
    if (luck < 0.02) throw new ModelFailure("model-away", "it does not answer", true);
    if (luck < 0.03) throw new ModelFailure("model-refused", "it does not want to", false);
    const { text, call } = this.#answer(request, n);
    if (text !== "") yield { type: "text", text };
    if (luck < 0.05) throw new ModelFailure("model-away", "cut in the middle", true);
    if (call) yield { type: "call", call };
    const input = Math.ceil(JSON.stringify(request.items).length / 4);
    judge.spent(input + 10);
    yield { type: "usage", model: "m", input, cached: 0, output: 10 };
    yield { type: "end", why: call ? "calls" : "done" };
  }

  #while(ms: number, process: Mortal, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => reject(signal.reason as Error);
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop);
      this.#options.world.in(ms, "the model thinks", resolve, process);
    });
  }

  #answer({ items }: ModelRequest, n: number): { text: string; call?: ToolCall } {
    const evil = items.some((item) => JSON.stringify(item).includes("EVIL")) ? " EVIL" : "";
    if (items.at(-1)?.text.startsWith("Your conversation grows too long")) {
      this.#options.judge.summed();
      return { text: `REMEMBER: fact ${n}\n\nMuch was said.${evil}` };
    }
    const over = items.findLastIndex(
      (item) => item.role === "assistant" && item.calls.length === 0,
    );
    const since = items.slice(over + 1);
    const asked = since.findLastIndex(({ role }) => role === "user");
    const marks = since.flatMap(({ role, text }) => (role === "user" ? marksIn(text) : []));
    const [, wish = "", mark = ""] = STEP.exec(since[asked]?.text ?? "") ?? [];
    const done = since.slice(asked).filter(({ role }) => role === "assistant").length;
    const step = wish.split(",")[done];
    if (!isStep(step)) return { text: `answer ${marks.join(" ")}${evil}` };
    const call = (name: string, args: object): { text: string; call: ToolCall } => ({
      text: "",
      call: { id: `c${n}`, name, args: { ...args } },
    });
    const own = `${mark}-${n}${evil && "t"}`;
    const device = n % 2 === 0 ? "laptop" : "phone";
    switch (step) {
      case "act":
      case "read":
        return call(`sim_${step}`, { device, mark: own });
      case "note":
        return call("memory_write", { file: "notes", text: own, of: [] });
      case "task":
        return call("task", { task: `please ${n % 3 === 0 ? "fetch,act" : "act"} ${mark}${evil}` });
      default:
        return call(step, { mark: own });
    }
  }
}

const isStep = (word: string | undefined): word is Step =>
  (steps as readonly (string | undefined)[]).includes(word);
