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
  if (value instanceof Uint8Array) return `x${hex(value)};`;
  if (Array.isArray(value)) return `l${value.length}:${value.map(canonical).join("")}`;
  if (typeof value === "object" && value !== null) {
    const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `m${pairs.length}:${pairs.map(([key, entry]) => canonical(key) + canonical(entry)).join("")}`;
  }
  const text = String(value);
  return `${typeof value}${text.length}:${text}`;
}
