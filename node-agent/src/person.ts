/** The person at the device, as pairing and consent need them. */
import type { Rule } from "./policy.ts";

export type Choice = Readonly<Record<string, Rule>>;

export interface Person {
  /** The list of capabilities (off / ask / allow). Undefined: skipped, or there is no screen. */
  choose(
    caps: readonly { readonly name: string; readonly summary: string }[],
    now: Choice,
  ): Promise<Choice | undefined>;
  /** One line; undefined when nobody can type (any more), or `signal` fired. `prompt`: what a screen says first. */
  line(signal: AbortSignal, prompt?: string): Promise<string | undefined>;
}

/** What of a choice goes into node.json: only what is not off. */
export function turnedOn(choice: Choice): Record<string, "ask" | "allow"> {
  const on: Record<string, "ask" | "allow"> = {};
  for (const [cap, rule] of Object.entries(choice)) if (rule !== "off") on[cap] = rule;
  return on;
}

const MOST_LINE_CHARS = 4_096;

/** Lines of stdin, whether a person or a program types them. Reads only while somebody waits. */
export class Lines {
  readonly #input: NodeJS.ReadStream;
  readonly #waiters: ((line: string | undefined) => void)[] = [];
  #text = "";
  #ended = false;

  constructor(input: NodeJS.ReadStream) {
    this.#input = input;
    input.on("end", () => this.#end());
    // A terminal that is gone gives an error instead of an end.
    input.on("error", () => this.#end());
  }

  next(signal: AbortSignal): Promise<string | undefined> {
    return new Promise((resolve) => {
      const settle = (line: string | undefined): void => {
        signal.removeEventListener("abort", stop);
        resolve(line);
      };
      const stop = (): void => {
        const at = this.#waiters.indexOf(settle);
        if (at >= 0) this.#waiters.splice(at, 1);
        this.#listen();
        settle(undefined);
      };
      if (signal.aborted) return resolve(undefined);
      signal.addEventListener("abort", stop, { once: true });
      this.#waiters.push(settle);
      this.#deliver();
      this.#listen();
    });
  }

  readonly #take = (data: Buffer): void => {
    this.#text = (this.#text + data.toString("utf8")).slice(-MOST_LINE_CHARS);
    this.#deliver();
    this.#listen();
  };

  #deliver(): void {
    for (
      let end = this.#text.indexOf("\n");
      end >= 0 && this.#waiters.length > 0;
      end = this.#text.indexOf("\n")
    ) {
      const line = this.#text.slice(0, end).replace(/\r$/, "");
      this.#text = this.#text.slice(end + 1);
      this.#waiters.shift()?.(line);
    }
    if (this.#ended) for (const settle of this.#waiters.splice(0)) settle(undefined);
  }

  /** While nobody waits the bytes stay in the pipe, for a screen or for later. */
  #listen(): void {
    this.#input.off("data", this.#take);
    if (this.#waiters.length > 0) this.#input.on("data", this.#take).resume();
    else this.#input.pause();
  }

  #end(): void {
    this.#ended = true;
    this.#deliver();
  }
}
