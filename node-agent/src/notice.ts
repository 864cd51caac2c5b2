/** The visible sign that a camera, a microphone or a screen is in use. */
import type { Clock } from "@kith/shared/clock";
import { tame } from "@kith/shared/protocol/words";
import type { Say } from "./events.ts";

/** The sign stays at least that long after the use. */
const AFTER_MS = 2_000;

export interface Notices {
  /** Resolves when the line is out; rejects when it cannot be shown, and then nothing may be used. */
  on(what: string): Promise<void>;
  /** The use ended; the sign goes out a little later. Once per `on`. */
  off(what: string): void;
}

export function notices(say: Say, clock: Clock): Notices {
  return {
    on: (what) => say({ event: "notice", what: tame(what, 100), on: true }),
    off: (what) => {
      clock.after(AFTER_MS, () => {
        // Nobody reads any more: then there is nobody to show it to either.
        say({ event: "notice", what: tame(what, 100), on: false }).catch(() => {});
      });
    },
  };
}
