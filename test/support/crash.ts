/**
 * The hook of runtime/crashpoint.ts. Import this before anything of the runtime: the hook is
 * looked up once, when that module loads.
 */
let hook: ((name: string) => void) | undefined;

(globalThis as { [key: symbol]: unknown })[Symbol.for("kith.crashpoint")] = (name: string) =>
  hook?.(name);

/** Hears every crash point from now on. */
export function onCrashpoint(heard: ((name: string) => void) | undefined): void {
  hook = heard;
}
