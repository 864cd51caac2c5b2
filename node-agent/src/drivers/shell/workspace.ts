/** Which sandbox this system has. None is an answer too; then nothing is run. */
import { osName } from "../../platform.ts";
import { bubblewrap } from "./bubblewrap.ts";
import type { Sandbox } from "./sandbox.ts";

/**
 * The sandbox of this system, or the reason why there is none.
 * A new one is a file beside `bubblewrap.ts` and a case here: macOS wants `sandbox-exec` with a
 * profile that denies by default, and an end for what the program leaves running.
 */
export function sandboxHere(system = osName(), processor: string = process.arch): Sandbox | string {
  switch (system) {
    case "linux":
      return bubblewrap(processor);
    case "macos":
      return "no sandbox on macOS yet, and nothing is run without one";
    default:
      return `no sandbox on ${system}, and nothing is run without one`;
  }
}
