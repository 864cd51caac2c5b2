/** How a call that went wrong is told: what happened in the world, and whether to try again. */
import { type ErrorCode, type FailureEffect, KithError } from "@kith/shared/errors";
import type { ErrorFrame } from "@kith/shared/protocol/call";
import { tame } from "@kith/shared/protocol/words";
import type { Active } from "./active.ts";

/** What a driver says before it did anything; nothing happened in the world. */
const harmless: ReadonlySet<ErrorCode> = new Set([
  ...([
    "bad-args",
    "gone",
    "not-ready",
    "no-camera",
    "camera-busy",
    "ffmpeg-missing",
    "os-permission",
  ] as const),
  ...(["too-big", "busy", "unsupported", "foreground", "denied-local", "denied-person"] as const),
]);

const retries: Partial<Record<ErrorCode, "later" | "after-action">> = {
  ...{
    busy: "later",
    rate: "later",
    "not-ready": "later",
    "camera-busy": "later",
    timeout: "later",
  },
  ...{
    interrupted: "later",
    deadline: "later",
    "denied-person": "later",
    "disk-full": "after-action",
  },
  ...{
    "os-permission": "after-action",
    "capability-off": "after-action",
    "denied-local": "after-action",
  },
  ...{
    locked: "after-action",
    "ffmpeg-missing": "after-action",
    "no-camera": "after-action",
    foreground: "after-action",
  },
};

/** What happened in the world when this call ended with `why` (undefined: a stranger's error). */
export function effectOf({ started, driver }: Active, why: KithError | undefined): FailureEffect {
  if (!started || driver.capability.effect === "read") return "none";
  return why && harmless.has(why.code) ? "none" : "unknown";
}

export function errorFrame(call: string, error: unknown, effect: FailureEffect): ErrorFrame {
  const known =
    error instanceof KithError
      ? error
      : new KithError("internal", "an unexpected error; the device's log has it");
  return {
    t: "error",
    call,
    code: known.code,
    effect,
    text: tame(known.message, 200),
    retry: retries[known.code] ?? "no",
  };
}
