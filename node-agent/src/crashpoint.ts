/**
 * Named places around every durable write and every send of a call. Empty in the product: only
 * a test that runs code in this process can put a hook there (as gateway/src/runtime/crashpoint.ts).
 */
const hook = (globalThis as { [key: symbol]: unknown })[Symbol.for("kith.crashpoint")] as
  | ((name: string) => void)
  | undefined;

export function crashpoint(
  name: "node.epoch" | "node.intent" | "node.run" | "node.result" | "node.send" | "node.file",
): void {
  hook?.(name);
}
