/**
 * A picture as text that a terminal shows. Every escape sequence is made here, out of
 * pixels that were decoded and encoded again; no byte of the file itself is in it.
 */
import { decodePicture, type DecodeOptions, type Picture } from "./decode.ts";

/** What the client found out about its terminal (`gateway/bin/terminal.mjs`). */
export interface Terminal {
  readonly columns: number;
  readonly rows?: number;
  readonly protocol: "kitty" | "iterm" | "blocks";
  readonly color: "truecolor" | "256";
}

/** A wider or higher picture would push the talk off the screen. */
const MAX_COLUMNS = 100;
const MAX_ROWS = 30;

/** The prompt and the line above it stay visible. */
const SPARED_ROWS = 2;

/** A usual cell; the terminal scales to its own. Twice as high as wide, as half-blocks need. */
const CELL = { width: 10, height: 20 };

/** Base64 characters; more in one sequence and kitty drops it. */
const KITTY_CHUNK = 4096;

const RESET = "\x1b[0m";

/**
 * Lines that end with a newline, the last one too. At most 100 columns and 30 rows.
 * @throws KithError as `decodePicture` does
 */
export async function renderForTerminal(
  file: string,
  terminal: Terminal,
  options: DecodeOptions = {},
): Promise<string> {
  const columns = clamp(terminal.columns, MAX_COLUMNS);
  const rows = clamp((terminal.rows ?? Infinity) - SPARED_ROWS, MAX_ROWS);
  const { protocol, color } = terminal;
  if (protocol === "blocks") {
    const box = { as: "rgb", width: columns, height: rows * 2 } as const;
    return blocks(await decodePicture(file, box, options), color);
  }
  const as = protocol === "kitty" ? "png" : "jpeg";
  const box = { as, width: columns * CELL.width, height: rows * CELL.height } as const;
  const picture = await decodePicture(file, box, options);
  return protocol === "kitty" ? kitty(picture) : iterm(picture);
}

/** To a whole number from 1 to `max`; what is no number means `max`. */
function clamp(wanted: number, max: number): number {
  return Number.isNaN(wanted) ? max : Math.floor(Math.max(1, Math.min(wanted, max)));
}

/** The cells that a picture covers. */
function cells({ width, height }: Picture): { columns: number; rows: number } {
  return { columns: Math.ceil(width / CELL.width), rows: Math.ceil(height / CELL.height) };
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

/**
 * https://sw.kovidgoyal.net/kitty/graphics-protocol: a=T transmit and show, f=100 PNG,
 * q=2 no answer (it would land in the prompt), m=1 more chunks follow.
 */
function kitty(picture: Picture): string {
  const { columns, rows } = cells(picture);
  const data = base64(picture.bytes);
  let text = "";
  for (let at = 0; at < data.length; at += KITTY_CHUNK) {
    const more = at + KITTY_CHUNK < data.length ? 1 : 0;
    const keys = at === 0 ? `a=T,f=100,q=2,c=${columns},r=${rows},m=${more}` : `q=2,m=${more}`;
    text += `\x1b_G${keys};${data.slice(at, at + KITTY_CHUNK)}\x1b\\`;
  }
  return `${text}\n`;
}

/** https://iterm2.com/documentation-images.html; the size counts bytes before base64. */
function iterm(picture: Picture): string {
  const keys = `inline=1;size=${picture.bytes.length};width=${cells(picture).columns};height=auto`;
  return `\x1b]1337;File=${keys}:${base64(picture.bytes)}\x07\n`;
}

/** Two pixels a cell: the upper in the half-block's own colour, the lower behind it. */
function blocks({ width, height, bytes }: Picture, color: Terminal["color"]): string {
  const paint = color === "truecolor" ? truecolor : palette;
  const pixel = (x: number, y: number) => {
    const at = (y * width + x) * 3;
    return paint(bytes[at] ?? 0, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0);
  };
  let text = "";
  for (let y = 0; y < height; y += 2) {
    let before = "";
    for (let x = 0; x < width; x += 1) {
      const upper = `38;${pixel(x, y)}`;
      // Below the last line of an odd height the terminal's own background shows.
      const colors = y + 1 < height ? `${upper};48;${pixel(x, y + 1)}` : upper;
      text += colors === before ? "▀" : `\x1b[${colors}m▀`;
      before = colors;
    }
    text += `${RESET}\n`;
  }
  return text;
}

const truecolor = (r: number, g: number, b: number) => `2;${r};${g};${b}`;

/** The levels of the 6 x 6 x 6 cube, colours 16 to 231; 232 to 255 are greys 8, 18 … 238. */
const LEVELS = [0, 95, 135, 175, 215, 255];

function palette(r: number, g: number, b: number): string {
  const [ri, gi, bi] = [r, g, b].map(nearestLevel) as [number, number, number];
  const gray = Math.max(0, Math.min(23, Math.round(((r + g + b) / 3 - 8) / 10)));
  const far = (r2: number, g2: number, b2: number) => (r - r2) ** 2 + (g - g2) ** 2 + (b - b2) ** 2;
  const level = 8 + 10 * gray;
  const cube = far(LEVELS[ri] ?? 0, LEVELS[gi] ?? 0, LEVELS[bi] ?? 0);
  return far(level, level, level) < cube ? `5;${232 + gray}` : `5;${16 + 36 * ri + 6 * gi + bi}`;
}

/** The cube's first step is wide (0 to 95), the others are 40. */
function nearestLevel(value: number): number {
  if (value < 48) return 0;
  return value < 115 ? 1 : Math.floor((value - 35) / 40);
}
