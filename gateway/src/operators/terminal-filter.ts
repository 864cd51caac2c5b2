/**
 * What a device's terminal may say to the operator's: text, colours, the cursor, the modes that a
 * full-screen program needs. A list of what passes and not of what does not: nobody knows all that
 * some terminal answers to, stores, or types back.
 *
 *   text ─ ESC ─► escape ─ [ ─► csi ── final byte ──► passes as a whole, or nothing of it does
 *     ▲             └─ ] P X ^ _ k ─► string: clipboard, titles, device control; nothing of it passes
 *     └────────────────────────────── BEL, ST, CAN, SUB, or too long ──┘
 *
 * Bytes may be cut anywhere. A sequence is held until it is whole, so what leaves never ends within
 * one, and a filter that starts in the middle of one shows its rest as text. C1 controls written as
 * UTF-8 count as what they mean; as single bytes they are no UTF-8, which is shown as U+FFFD.
 */

const [BEL, CAN, SUB, ESC, DEL] = [0x07, 0x18, 0x1a, 0x1b, 0x7f];
/** BEL, BS, HT, LF, VT, FF, CR, and the two that switch character sets. ENQ makes a terminal answer. */
const isControl = (byte: number) => byte >= BEL && byte <= 0x0f;

/** Longer sequences pass no more: no program writes them. */
const SEQUENCE_CHARS = 128;
/** A string without an end shall not hide everything that follows. */
const STRING_BYTES = 4 * 1_048_576;
/** What a held sequence or a character may add to what one push gives. */
const SLACK_BYTES = SEQUENCE_CHARS + 16;

/**
 * Save and restore the cursor, keypad, line moves, a tab stop, reset, double lines, the character sets
 * of lines and of countries. Not among them: `Z` and `SP F` (answers), `%` (the end of UTF-8, in
 * which half a letter would be a control).
 */
const ESCAPES = /^(?:[78=>DEHMc]|#[34568]|[()*+][012AB])$/;
/** What begins a string. `k` is a title in tmux and screen. */
const STRINGS = "]PX^_k";

/** Cursor, erase, insert, delete, scroll, repeat, tabs, margins. */
const PLAIN = "@ABCDEFGHIJKLMPSXZ`abdefgrsu";
const NUMBERS = /^\d{0,5}(?:;\d{0,5}){0,15}$/;
const COLOURS = /^\d{0,5}(?:[;:]\d{0,5}){0,47}$/;

/**
 * Private modes: cursor keys, inverse, origin, wrap, cursor, keypad, margins, mouse, the other screen,
 * bracketed paste, whole frames. Not among them: 1004 and 2048, which report at once what nobody
 * typed, and 2, after which escapes mean something else.
 */
const MODES = new Set(
  [
    ...[1, 5, 6, 7, 12, 25, 45, 47, 66, 69],
    ...[1000, 1002, 1003, 1005, 1006, 1007, 1015, 1016],
    ...[1047, 1048, 1049, 2004, 2026],
  ].map(String),
);

/** The sequence as it may pass, or nothing. `body`: between CSI and the final byte. */
function csi(body: string, final: string): string {
  const whole = (allowed: boolean) => (allowed ? `\u001B[${body}${final}` : "");
  if (final === "m") return whole(COLOURS.test(body));
  if (PLAIN.includes(final) && NUMBERS.test(body)) return whole(true);
  switch (final) {
    case "h":
    case "l": {
      if (!body.startsWith("?")) return whole(body === "4"); // insert
      const modes = body.slice(1).split(";");
      const kept = modes.filter((mode) => MODES.has(mode));
      return kept.length > 0 ? `\u001B[?${kept.join(";")}${final}` : "";
    }
    case "T": // with more numbers it tracks the mouse, and waits for an answer
      return whole(/^\d{0,5}$/.test(body));
    case "J":
    case "K":
      return whole(/^\?\d?$/.test(body));
    case "p":
      return whole(body === "!"); // soft reset
    case "q":
      return whole(/^\d? $/.test(body)); // shape of the cursor
    default:
      return "";
  }
}

/** Where the text that begins at `at` has its first byte that is no letter of ASCII and no control that passes. */
function plainEnd(bytes: Uint8Array, at: number): number {
  let end = at;
  for (; end < bytes.length; end++) {
    const byte = bytes[end] ?? 0;
    if (byte >= DEL || (byte < 0x20 && !isControl(byte))) break;
  }
  return end;
}

/** Bytes of a UTF-8 character by its first one; 0 for one that begins none. */
const lengthOf = (byte: number) =>
  byte >= 0xc2 && byte <= 0xdf
    ? 2
    : byte >= 0xe0 && byte <= 0xef
      ? 3
      : byte >= 0xf0 && byte <= 0xf4
        ? 4
        : 0;

/** Whether `byte` may follow: no overlong forms, no surrogates, nothing above U+10FFFF. */
function follows(first: number, at: number, byte: number): boolean {
  const least = at > 1 ? 0x80 : first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = at > 1 ? 0xbf : first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  return byte >= least && byte <= most;
}

export class TerminalFilter {
  #state: "text" | "character" | "escape" | "csi" | "string" | "string-escape" = "text";
  /** Of the sequence that is not whole yet, without its beginning. */
  #sequence = "";
  #tooLong = false;
  /** Of the character that is not whole yet. */
  readonly #character = new Uint8Array(4);
  #characterLength = 0;
  /** The string is an OSC, which BEL ends. */
  #osc = false;
  #before = 0;
  #held = 0;
  #out = Buffer.alloc(0);
  #length = 0;

  /** Bytes that were pushed and not decided about: a filter that begins anew begins with them. */
  get held(): number {
    return this.#held;
  }

  /** What may be shown of it, at once. */
  push(bytes: Uint8Array): string {
    // A broken byte becomes the three of U+FFFD; nothing else grows.
    this.#out = Buffer.allocUnsafe(bytes.length * 3 + SLACK_BYTES);
    this.#length = 0;
    for (let at = 0; at < bytes.length; at++) {
      // Nearly all of it: copied at once.
      if (this.#state === "text") {
        const end = plainEnd(bytes, at);
        this.#out.set(bytes.subarray(at, end), this.#length);
        this.#length += end - at;
        at = end;
        if (at === bytes.length) break;
      }
      this.#held++;
      this.#take(bytes[at] ?? 0);
    }
    return this.#out.toString("utf8", 0, this.#length);
  }

  #take(byte: number): void {
    switch (this.#state) {
      case "text":
        return this.#text(byte);
      case "character":
        return this.#inCharacter(byte);
      case "string":
        return this.#inString(byte);
      case "string-escape":
        // ESC ends a string; with a backslash that was all, with anything else it began the next sequence.
        if (byte === 0x5c) return this.#decided();
        this.#begin("escape", 2);
        return this.#inSequence(byte);
      case "escape":
      case "csi":
        return this.#inSequence(byte);
    }
  }

  #text(byte: number): void {
    if (byte >= 0x20 && byte < DEL) return this.#emit(byte);
    if (byte === ESC) return this.#begin("escape", 1);
    if (byte < 0x20) return isControl(byte) ? this.#emit(byte) : this.#decided();
    if (byte === DEL) return this.#decided();
    if (lengthOf(byte) === 0) return this.#broken();
    this.#character[0] = byte;
    this.#characterLength = 1;
    this.#state = "character";
  }

  #inCharacter(byte: number): void {
    const first = this.#character[0] ?? 0;
    if (!follows(first, this.#characterLength, byte)) {
      this.#broken();
      return this.#again(byte);
    }
    this.#character[this.#characterLength++] = byte;
    if (this.#characterLength < lengthOf(first)) return;
    // U+0080 to U+009F mean what ESC and a letter mean.
    if (first === 0xc2 && byte < 0xa0) {
      this.#begin("escape", 2);
      return this.#escape(String.fromCharCode(byte - 0x40));
    }
    for (let at = 0; at < this.#characterLength; at++)
      this.#out[this.#length++] = this.#character[at] ?? 0;
    this.#decided();
  }

  #inSequence(byte: number): void {
    if (byte === ESC) return this.#begin("escape", 1);
    if (byte === CAN || byte === SUB) return this.#decided();
    // Terminals act on a control in the middle and go on; here it is left out.
    if (byte < 0x20 || byte === DEL) return;
    if (byte > DEL) return this.#again(byte);
    const char = String.fromCharCode(byte);
    const isFinal = byte >= (this.#state === "csi" ? 0x40 : 0x30);
    if (!isFinal) {
      if (this.#sequence.length < SEQUENCE_CHARS) this.#sequence += char;
      else this.#tooLong = true;
      return;
    }
    if (this.#state === "escape") return this.#escape(this.#sequence + char);
    const passes = this.#tooLong ? "" : csi(this.#sequence, char);
    this.#length += this.#out.write(passes, this.#length, "latin1");
    this.#decided();
  }

  #escape(sequence: string): void {
    if (sequence === "[") {
      this.#state = "csi";
      this.#sequence = "";
      return;
    }
    if (sequence.length === 1 && STRINGS.includes(sequence)) {
      this.#state = "string";
      this.#osc = sequence === "]";
      this.#before = 0;
      return;
    }
    if (!ESCAPES.test(sequence)) return this.#decided();
    this.#length += this.#out.write(`\u001B${sequence}`, this.#length, "latin1");
    this.#decided();
  }

  #inString(byte: number): void {
    const before = this.#before;
    this.#before = byte;
    if (byte === ESC) this.#state = "string-escape";
    else if (byte === CAN || byte === SUB || (byte === BEL && this.#osc)) this.#decided();
    // ST as one character.
    else if (before === 0xc2 && byte === 0x9c) this.#decided();
    else if (this.#held > STRING_BYTES) this.#decided();
  }

  /** `held`: bytes that it has begun with. */
  #begin(state: "escape", held: number): void {
    this.#state = state;
    this.#sequence = "";
    this.#tooLong = false;
    this.#held = held;
  }

  /** That was no part of what came before: it is looked at for itself. */
  #again(byte: number): void {
    this.#decided();
    this.#held = 1;
    this.#text(byte);
  }

  #broken(): void {
    this.#emit(0xef);
    this.#emit(0xbf);
    this.#emit(0xbd);
  }

  #emit(byte: number): void {
    this.#out[this.#length++] = byte;
    this.#decided();
  }

  #decided(): void {
    this.#state = "text";
    this.#held = 0;
  }
}
