/**
 * Named places around every durable write and every send. Empty in the product: only a test
 * that runs code in this process can put a hook there (see test/support/crash.ts).
 */
const hook = (globalThis as { [key: symbol]: unknown })[Symbol.for("kith.crashpoint")] as
  | ((name: string) => void)
  | undefined;

export function crashpoint(name: string): void {
  hook?.(name);
}
