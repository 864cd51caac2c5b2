/**
 * The one screen of this program: which capabilities are off, asked for, or allowed.
 *
 *     camera.snap   off [ask] allow   Take one photo ...
 *                   cannot work now: no camera found
 *   › device.info  [off] ask  allow   Tell what ...          up/down, space, Enter, s
 */
import { tame } from "@kith/shared/protocol/words";
import type { Choice, Person } from "./person.ts";
import type { Rule } from "./policy.ts";

type Capability = Parameters<Person["choose"]>[0][number] & {
  /** Why it cannot work now; undefined when it can. */
  readonly reason?: string | undefined;
};

const rules: readonly Rule[] = ["off", "ask", "allow"];

export interface ScreenState {
  readonly caps: readonly Capability[];
  readonly choice: Choice;
  readonly row: number;
  /** Answers a key that a person meant for something else. */
  readonly hint?: string;
  readonly ended?: "accepted" | "skipped" | "interrupted";
}

const CODE_LATER = "The return code comes after this screen.";
const ENTER_AGAIN = "Enter once more accepts this list.";

/** What a key does. Unknown keys do nothing. */
export function press({ hint, ...state }: ScreenState, key: string): ScreenState {
  if (/^\d$/.test(key)) return { ...state, hint: CODE_LATER };
  // The Enter that ends a typed code is no word on this list.
  if (hint === CODE_LATER && (key === "\r" || key === "\n")) return { ...state, hint: ENTER_AGAIN };
  return turned(state, key);
}

function turned(state: ScreenState, key: string): ScreenState {
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

/** At most `rows` lines: what does not fit would be painted twice by the next key. */
export function draw(
  { caps, choice, row, hint }: ScreenState,
  columns: number,
  rows = Number.POSITIVE_INFINITY,
): string[] {
  const most = Math.max(20, columns - 1);
  const width = Math.max(0, ...caps.map(({ name }) => name.length));
  const blocks = caps.map(({ name, summary, reason }, at) => {
    const states = rules
      .map((rule) => ((choice[name] ?? "off") === rule ? `[${rule}]` : ` ${rule} `))
      .join(" ");
    // The words are the model's, which has many devices to choose from.
    const words = tame(summary.replaceAll("the named device", "this device"), 200);
    return [
      `${at === row ? "›" : " "} ${name.padEnd(width)}  ${states}  ${words}`,
      ...(reason ? [`  ${" ".repeat(width)}  cannot work now: ${tame(reason, 160)}`] : []),
    ];
  });
  const title = [
    "What may your assistant use this device for?",
    "(ask: somebody here must say yes, each time)",
  ];
  const oneLine = title.join(" ");
  const head = oneLine.length <= most ? [oneLine] : title;
  const foot = [
    "up/down move, space changes, Enter accepts, s skips",
    ...(hint === undefined ? [] : [hint]),
  ];
  // One line stays free, for the cursor behind the last one.
  const lines = fitted(blocks, row, rows - 1 - head.length - foot.length);
  return [...head, ...lines, ...foot].map((line) =>
    line.length <= most ? line : `${line.slice(0, most - 1)}…`,
  );
}

/** All lines where there is room; else reasons only where the cursor is; else what is around it. */
function fitted(blocks: readonly (readonly string[])[], row: number, room: number): string[] {
  const all = blocks.flat();
  if (all.length <= room) return all;
  const lines = blocks.flatMap((block, at) => (at === row ? block : block.slice(0, 1)));
  const above = Math.max(0, row - Math.floor(room / 2));
  const from = Math.max(0, Math.min(above, lines.length - room));
  return lines.slice(from, from + Math.max(2, room));
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
    const lines = draw(state, output.columns || 80, output.rows || Number.POSITIVE_INFINITY);
    output.write(
      `${height > 0 ? `\u001b[${height}A\u001b[J` : ""}${lines.map((line) => `${line}\n`).join("")}`,
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
