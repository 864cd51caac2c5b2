/** What makes two calls the same call. */
import { hash } from "node:crypto";
import { hex } from "@kith/shared/ids";
import type { Invoke } from "@kith/shared/protocol/call";

/** The same content gives the same digest, whatever the order of its keys. */
export function digestOf({ cap, v, args }: Pick<Invoke, "cap" | "v" | "args">): string {
  return hash("sha256", canonical([cap, v, args]), "hex");
}

/** Type tags and lengths keep different values from giving the same text. */
function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) {
    const text = String(value);
    return `${typeof value}${text.length}:${text}`;
  }
  if (value instanceof Uint8Array) return `x${hex(value)};`;
  if (Array.isArray(value)) {
    let text = `l${value.length}:`;
    for (const one of value) text += canonical(one);
    return text;
  }
  const keys = Object.keys(value).sort();
  let text = `m${keys.length}:`;
  for (const key of keys)
    text += canonical(key) + canonical((value as Record<string, unknown>)[key]);
  return text;
}
