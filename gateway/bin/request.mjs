// @ts-check
/** What most verbs do: one question to the gateway, and its answer as a person or a script reads it. */
import { connect } from "./control.mjs";
import { line, tame, toJson } from "./print.mjs";

/** @typedef {import("./verbs.mjs").Context} Context */

/**
 * One question to the gateway.
 * @param {Context} context
 * @param {string} op
 * @param {object} [args]
 * @param {(event: string, data: any) => void} [onEvent] hears what happens until it is answered
 */
export async function request({ home }, op, args, onEvent) {
  const link = await connect(home, onEvent);
  try {
    return await link.call(op, args);
  } finally {
    link.close();
  }
}

/** @param {Context} context @param {any} out @param {string} text */
export function print({ json }, out, text) {
  if (json) line(toJson({ ok: true, ...out }));
  else if (text) line(tame(text));
}
