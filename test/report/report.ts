/**
 * What `sim`, `faults`, `fuzz` and `bench` found: a line a figure while they run, and with
 * `--json` one last line of fixed shape. Nothing absent is left out: it is null.
 * docs/bench/README.md lists the names; they are stable.
 */
import process from "node:process";

export interface Goal {
  readonly op: "<=" | ">=" | "==";
  readonly value: number;
}

/** One measured or counted thing. `goal` judges `ratio` where there is one, else `value`. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The physical limit of the same run, in the same unit. */
  readonly baseline: number | null;
  /** `value` over `baseline`, or the median of that over the rounds. */
  readonly ratio: number | null;
  readonly goal: Goal | null;
  /** Null where there is no goal. */
  readonly ok: boolean | null;
}

/** A fault that was put in on purpose and must be found. */
export interface Planted {
  readonly name: string;
  /** The check, test id, crash point or seed that found it. */
  readonly by: string | null;
  /** How often the faulty part was put to the test. */
  readonly hits: number;
  /** How often it was found. */
  readonly found: number;
}

export interface FigureOptions {
  readonly unit: string;
  readonly baseline?: number;
  /**
   * In place of value / baseline, where rounds give a better one: the median of their ratios. Null
   * where the goal is for the value alone and the baseline only stands beside it.
   */
  readonly ratio?: number | null;
  readonly goal?: Goal;
}

/** Judges a figure. A value that is no number fails its goal. */
export function figure(name: string, value: number, options: FigureOptions): Figure {
  const { unit, baseline = null, goal = null } = options;
  const { ratio = baseline === null ? null : value / baseline } = options;
  const judged = ratio ?? value;
  let ok: boolean | null = null;
  if (goal?.op === "<=") ok = judged <= goal.value;
  else if (goal?.op === ">=") ok = judged >= goal.value;
  else if (goal) ok = judged === goal.value;
  return { name, value, unit, baseline, ratio, goal, ok };
}

/** Collects what one command found, prints it as it comes, and ends the command. */
export class Report {
  readonly #json: boolean;
  readonly #figures: Figure[] = [];
  readonly #planted: Planted[] = [];
  readonly #problems: string[] = [];
  readonly #least: number;

  /** `least`: how often each planted fault must be found; 1 unless said otherwise. */
  constructor({ json, least = 1 }: { json: boolean; least?: number }) {
    this.#json = json;
    this.#least = least;
  }

  /** All of them so far. */
  get figures(): readonly Figure[] {
    return this.#figures;
  }

  figure(name: string, value: number, options: FigureOptions): Figure {
    const one = figure(name, value, options);
    this.#figures.push(one);
    this.say(line(one));
    return one;
  }

  /** What another command found and printed. */
  adopt(figures: readonly Figure[], planted: readonly Planted[]): void {
    this.#figures.push(...figures);
    this.#planted.push(...planted);
  }

  planted(one: Planted): void {
    this.#planted.push(one);
    const survived = one.found < this.#least;
    this.say(
      `${survived ? "SURVIVED" : "caught  "} ${one.name}: ${one.found} of ${one.hits}${one.by === null ? "" : `, by ${one.by}`}`,
    );
  }

  /** Something that makes the whole command fail, told once more at its end. */
  problem(text: string): void {
    this.#problems.push(text);
    this.say(`FAILED ${text}`);
  }

  /** What could not be tried here, with the reason. */
  skipped(what: string, why: string): void {
    this.say(`skipped: ${what}: ${why}`);
  }

  /** For people: standard error when standard output carries JSON. */
  say(text: string): void {
    (this.#json ? process.stderr : process.stdout).write(`${text}\n`);
  }

  /** Prints the end and sets the exit code. `more` joins the JSON line, such as a trace hash. */
  end(more: Readonly<Record<string, unknown>> = {}): boolean {
    const ok =
      this.#problems.length === 0 &&
      this.#figures.every((one) => one.ok !== false) &&
      this.#planted.every((one) => one.found >= this.#least);
    if (this.#json) {
      const found = { ok, figures: this.#figures, planted: this.#planted, ...more };
      process.stdout.write(`${JSON.stringify(found)}\n`);
    } else {
      for (const text of this.#problems) this.say(`- ${text}`);
      this.say(ok ? "ok" : "not ok");
    }
    process.exitCode = ok ? 0 : 1;
    return ok;
  }
}

/** `0.41 x  bench.invoke.durable  13,100 calls/s beside 31,800  (goal >= 0.4)  ok` */
function line({ name, value, unit, baseline, ratio, goal, ok }: Figure): string {
  const parts = [`${name}: ${round(value)} ${unit}`];
  if (baseline !== null) parts.push(`beside ${round(baseline)}`);
  if (ratio !== null) parts.push(`ratio ${round(ratio)}`);
  if (goal) parts.push(`goal ${goal.op} ${goal.value}: ${ok ? "ok" : "NOT REACHED"}`);
  return parts.join(", ");
}

/** Three digits say enough. */
export const round = (value: number): string =>
  Math.abs(value) >= 100
    ? Math.round(value).toLocaleString("en-US")
    : String(Number(value.toPrecision(3)));

/** The middle one; of an even number the lower middle. @throws RangeError for none */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The smallest value that a share `q` (0 to 1) of all does not exceed. @throws RangeError for none */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
  if (at === undefined) throw new RangeError("no values");
  return at;
}
