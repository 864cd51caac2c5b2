/** Loaded with --import: KITH_CRASH_AT="an.write:3" kills the process at the third pass of that point. */
const [point, hit] = (process.env["KITH_CRASH_AT"] ?? "").split(":");
let left = Number(hit);
(globalThis as { [key: symbol]: unknown })[Symbol.for("kith.crashpoint")] = (name: string) => {
  if (name === point && --left === 0) process.kill(process.pid, "SIGKILL");
};
