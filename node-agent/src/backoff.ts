/** When to try again, from how the last link ended. Numbers: docs/protocol.md, "Reconnect and resume". */
import type { Clock, Rng } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { times } from "@kith/shared/protocol/limits";
import type { ByeCode } from "@kith/shared/protocol/session";

/** How a link, or the attempt at one, ended. */
export interface Ending {
  /**
   * `unreachable`: no socket. `refused`: a socket, but no handshake. `silent`: dead. `lost`: the
   * socket went without a word. A bye code: said inside the channel, by us or by the gateway.
   */
  readonly how: "unreachable" | "refused" | "silent" | "lost" | ByeCode;
  /** For people. */
  readonly why: string;
  /** Close code, where the other side gave one. Not authenticated: good for a wait, no more. */
  readonly close?: number;
  /** From `bye`: earliest next try. */
  readonly retryMs?: number;
  /** No gateway is pinned yet: somebody waits in front of this device. */
  readonly unpaired?: boolean;
  /** From `welcome` to the end; undefined when there was no welcome. */
  readonly livedMs?: number;
}

export interface Next {
  readonly waitMs: number;
  /** What the owner should know, at most once per cause. */
  readonly report?: KithError;
  /** Never again by itself; the pin is kept. */
  readonly stop?: boolean;
}

const UNPAIRED_CAP_MS = 5_000;
const BROKEN_WINDOW_MS = 10 * 60_000;
const BROKEN_MOST = 3;
const BROKEN_WAIT_MS = 5 * 60_000;
const VERSION_WAIT_MS = 3_600_000;
const RATE_WAIT_MS = 10_000;
const NOT_ACCEPTED_MS = 3_600_000;

export class Backoff {
  readonly #clock: Clock;
  readonly #rng: Rng;
  #n = 0;
  #broken: number[] = [];
  #refusedSince: number | undefined;
  #told = false;

  constructor(clock: Clock, rng: Rng) {
    this.#clock = clock;
    this.#rng = rng;
  }

  next(ending: Ending): Next {
    const now = this.#clock.mono();
    if (ending.livedMs !== undefined) {
      this.#refusedSince = undefined;
      this.#told = false;
      if (ending.livedMs >= times.stableMs) this.#n = 0;
    }
    const { how, close } = ending;
    if (how === "revoked")
      return {
        waitMs: 0,
        stop: true,
        report: new KithError("revoked", "the gateway's owner ended the pairing"),
      };
    if ((how === "slept" || how === "rollover") && ending.livedMs !== undefined)
      return { waitMs: ending.retryMs ?? 0 };

    const cap = ending.unpaired ? UNPAIRED_CAP_MS : times.backoffCapMs;
    const jitter = Math.floor(
      this.#rng.float() * Math.min(cap, times.backoffFirstMs * 2 ** this.#n),
    );
    this.#n = Math.min(this.#n + 1, 16);
    const wait = (least: number, report?: KithError): Next => ({
      waitMs: Math.max(jitter, least, ending.retryMs ?? 0),
      ...(report && { report }),
    });

    if (how === "fenced" || how === "duplicate")
      return wait(
        times.supersededMs,
        new KithError(
          "fenced",
          "the gateway runs on an older copy of its data, or this device's key was copied",
        ),
      );
    if (how === "superseded" || close === 4409) return wait(times.supersededMs);
    if (how === "version" || close === 4426)
      return wait(
        VERSION_WAIT_MS,
        new KithError("unsupported", "the gateway speaks another version"),
      );
    if (how === "rate" || how === "slow-peer" || close === 4429)
      return wait(ending.retryMs === undefined ? RATE_WAIT_MS : 0);
    if (how === "protocol" || (close === 4400 && how !== "refused")) {
      this.#broken = [...this.#broken.filter((at) => now - at < BROKEN_WINDOW_MS), now];
      if (this.#broken.length < BROKEN_MOST) return wait(0);
      return wait(
        BROKEN_WAIT_MS,
        new KithError("schema", "the gateway and this device do not understand each other"),
      );
    }
    if (how === "refused" || close === 4401 || close === 4403) {
      this.#refusedSince ??= now;
      if (this.#told || now - this.#refusedSince < NOT_ACCEPTED_MS) return wait(times.refusedMs);
      this.#told = true;
      return wait(
        times.refusedMs,
        new KithError("not-accepted", "the gateway has not accepted this device for an hour"),
      );
    }
    return wait(0);
  }
}
