/**
 * The one screen of this program: which capabilities are off, asked for, or allowed.
 *
 *     camera.snap   off [ask] allow   Take one photo ...
 *   › device.info  [off] ask  allow   Tell what ...          up/down, space, Enter, s
 */
import { tame } from "@kith/shared/protocol/words";
import type { Choice, Person } from "./person.ts";
import type { Rule } from "./policy.ts";

type Capability = Parameters<Person["choose"]>[0][number];

const rules: readonly Rule[] = ["off", "ask", "allow"];

export interface ScreenState {
  readonly caps: readonly Capability[];
  readonly choice: Choice;
  readonly row: number;
  readonly ended?: "accepted" | "skipped" | "interrupted";
}

/** What a key does. Unknown keys do nothing. */
export function press(state: ScreenState, key: string): ScreenState {
  const name = state.caps[state.row]?.name;
  const move = (by: number): ScreenState => ({
    ...state,
    row: Math.max(0, Math.min(state.caps.length - 1, state.row + by)),
  });
  const turn = (by: number): ScreenState => {
    if (name === undefined) return state;
    const at = rules.indexOf(state.choice[name] ?? "off");
    return {
      ...state,
      choice: { ...state.choice, [name]: rules[(at + by + rules.length) % rules.length] ?? "off" },
    };
  };
  switch (key) {
    case "\u001b[A":
    case "k":
      return move(-1);
    case "\u001b[B":
    case "j":
      return move(1);
    case " ":
    case "\u001b[C":
    case "l":
      return turn(1);
    case "\u001b[D":
    case "h":
      return turn(-1);
    case "\r":
    case "\n":
      return { ...state, ended: "accepted" };
    case "s":
      return { ...state, ended: "skipped" };
    case "\u0003":
    case "\u0004":
      return { ...state, ended: "interrupted" };
    default:
      return state;
  }
}

export function draw({ caps, choice, row }: ScreenState, columns: number): string[] {
  const width = Math.max(0, ...caps.map(({ name }) => name.length));
  const lines = caps.map(({ name, summary }, at) => {
    const states = rules
      .map((rule) => ((choice[name] ?? "off") === rule ? `[${rule}]` : ` ${rule} `))
      .join(" ");
    return `${at === row ? "›" : " "} ${name.padEnd(width)}  ${states}  ${tame(summary, 200)}`;
  });
  const help = "up/down choose, space or left/right change, Enter accept, s skip";
  return [
    "What may this device do for you? (ask: you are asked here, each time)",
    ...lines,
    help,
  ].map((line) => line.slice(0, Math.max(20, columns - 1)));
}

/** Shows the screen on a terminal. @returns undefined when skipped; rejects with AbortError at Ctrl-C */
export function show(
  caps: readonly Capability[],
  now: Choice,
  input: NodeJS.ReadStream,
  output: NodeJS.WriteStream,
): Promise<Choice | undefined> {
  let state: ScreenState = { caps, choice: now, row: 0 };
  let height = 0;
  const paint = (): void => {
    const lines = draw(state, output.columns || 80);
    output.write(
      `${height > 0 ? `\u001b[${height}A` : ""}${lines.map((line) => `\u001b[2K${line}\n`).join("")}`,
    );
    height = lines.length;
  };
  return new Promise((resolve, reject) => {
    const end = (): void => {
      input.off("data", take);
      input.setRawMode(false);
      input.pause();
      if (state.ended === "interrupted") reject(new DOMException("interrupted", "AbortError"));
      else resolve(state.ended === "accepted" ? state.choice : undefined);
    };
    const take = (data: Buffer): void => {
      // One read may hold several keys: an arrow is three bytes, everything else one.
      // oxlint-disable-next-line no-control-regex -- a terminal's keys are control characters
      for (const key of data.toString("utf8").match(/\u001b\[[A-D]|[\s\S]/g) ?? []) {
        state = press(state, key);
        if (state.ended) return end();
      }
      paint();
    };
    input.setRawMode(true);
    input.on("data", take).resume();
    paint();
  });
}
