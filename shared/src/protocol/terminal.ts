/**
 * A terminal of a device while somebody watches it: two live streams of its call and its size.
 *
 *   gateway ── event tty.size ───────────────► node
 *   gateway ── stream.open tty-in, live ─────► node   (somebody watches)
 *   gateway ◄── credit · stream.open tty-out ─ node   (`size`: written so far)
 *   gateway ── credit, `from` ───────────────► node   (where the watcher goes on)
 *   gateway ◄─ chunks, credit both ways ─────► node
 *   gateway ── stream.end tty-in ────────────► node   (nobody watches any more; the shell goes on)
 *   gateway ◄── stream.end tty-out ─────────── node   (the shell is over, or an answer to that)
 *
 * The terminal is the node's and outlives watchers, links and gateways. Offsets of tty-out count
 * from its beginning, those of tty-in from the stream's. In full: docs/protocol.md, "Terminals".
 */
import * as v from "valibot";
import { id26, int } from "./words.ts";

export const TTY_OUT = "tty-out";
export const TTY_IN = "tty-in";
export const TTY_TYPE = "application/octet-stream";

/** Columns or rows. */
export const terminalSide = int(1, 1_000);

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Name of the event that gives a terminal its size. */
export const TTY_SIZE = "tty.size";
export const ttySize = v.strictObject({
  call: id26,
  columns: terminalSide,
  rows: terminalSide,
});
