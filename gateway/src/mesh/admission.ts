/**
 * Who may knock: bounds on sockets that have not proved a key, per source and in all.
 *
 *   TCP ── knock ──► HTTP ── admit ──► handshake ── trusted (charge taken back)
 *                                          └────── left    (the charge stays: a failed handshake)
 *
 * An attempt is charged when it is admitted, before anything it says is looked at, so no
 * path through the handshake is free of charge. (One is excused: a device that waits for pairing to be
 * opened asks every 10 s, and two of them behind one address would pause it, paired devices included.) Loopback is a source like any other.
 */
import { isIPv4 } from "node:net";
import type { Clock } from "@kith/shared/clock";
import { limits } from "@kith/shared/protocol/limits";
import { type Recent, recent } from "./recent.ts";

/** TCP connections without a request yet: browsers open six at once, nobody needs more than this. */
const KNOCKS_PER_SOURCE = 32;
const KNOCKS = 512;
/** Sources remembered; more than fail in a minute under the global limit. */
const SOURCES = 8_192;
/** How many are forgotten at once when that is not enough. */
const FORGOTTEN = 512;

/** One admitted socket; repeated calls change nothing. */
export interface Guest {
  /** It has proved its key: no stranger any more, and its attempt was no failure. */
  trusted(): void;
  /** It asked for what is simply not open now: no failure, since waiting devices ask again and again. */
  excused(): void;
  /** Its socket is gone. */
  left(): void;
}

export interface Admission {
  /** A TCP connection. `undefined`: drop it at once. Otherwise call the result when it is gone or upgraded. */
  knock(source: string): (() => void) | undefined;
  /** An upgrade that is otherwise in order. Returns the HTTP status of a refusal instead. */
  admit(source: string): Guest | 429 | 503;
}

interface Source {
  knocks: number;
  strangers: number;
  pausedUntil: number;
  readonly failures: Recent;
}

export function admission(clock: Clock): Admission {
  const sources = new Map<string, Source>();
  const everywhere = recent(clock, limits.failuresPerSecond, 1_000);
  let knocks = 0;
  let strangers = 0;

  const idle = (one: Source) =>
    one.knocks + one.strangers === 0 && one.pausedUntil <= clock.mono() && one.failures.idle;

  /** The oldest that nobody needs goes; under pressure the oldest that has no socket open. */
  const makeRoom = () => {
    for (const [name, one] of sources) if (idle(one)) sources.delete(name);
    for (const [name, one] of sources) {
      if (sources.size <= SOURCES - FORGOTTEN) return;
      if (one.knocks + one.strangers === 0) sources.delete(name);
    }
  };
  const find = (name: string): Source => {
    const known = sources.get(name);
    if (known) return known;
    if (sources.size >= SOURCES) makeRoom();
    const failures = recent(clock, limits.failuresPerSource, limits.failuresWindowMs);
    const made: Source = { knocks: 0, strangers: 0, pausedUntil: -Infinity, failures };
    sources.set(name, made);
    return made;
  };

  return {
    knock(name) {
      const source = find(name);
      if (source.knocks >= KNOCKS_PER_SOURCE || knocks >= KNOCKS) return undefined;
      source.knocks++;
      knocks++;
      return once(() => {
        source.knocks--;
        knocks--;
      });
    },
    admit(name) {
      const source = find(name);
      const now = clock.mono();
      if (source.pausedUntil > now) return 429;
      if (source.strangers >= limits.strangersPerSource) return 429;
      if (strangers >= limits.strangers) return 503;
      const here = source.failures.hit();
      if (here === undefined) {
        source.pausedUntil = now + limits.failuresPauseMs;
        return 429;
      }
      const all = everywhere.hit();
      if (all === undefined) {
        source.failures.forgive(here);
        return 503;
      }
      source.strangers++;
      strangers++;
      const left = once(() => {
        source.strangers--;
        strangers--;
      });
      const forgive = once(() => {
        source.failures.forgive(here);
        everywhere.forgive(all);
      });
      return {
        left,
        excused: forgive,
        trusted() {
          forgive();
          left();
        },
      };
    },
  };
}

function once(fn: () => void): () => void {
  let over = false;
  return () => {
    if (!over) fn();
    over = true;
  };
}

/** An address as people read it: without zone, and mapped IPv4 as IPv4. */
export function plainAddress(address: string | undefined): string {
  const bare = (address ?? "unknown").split("%")[0] ?? "";
  const groups = bare.includes(":") ? ipv6Groups(bare) : undefined;
  if (!groups || groups.slice(0, 5).some((group) => group !== 0) || groups[5] !== 0xffff)
    return bare.toLowerCase();
  const [high = 0, low = 0] = groups.slice(6);
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

/** What limits are counted by: one IPv4 address, or the /64 that one IPv6 host has to itself. */
export function canonicalSource(address: string | undefined): string {
  const plain = plainAddress(address);
  const groups = plain.includes(":") ? ipv6Groups(plain) : undefined;
  if (!groups) return plain;
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":")}::/64`;
}

/** The eight numbers of an IPv6 address in any spelling; `undefined` when it is none. */
function ipv6Groups(address: string): number[] | undefined {
  const tail = address.slice(address.lastIndexOf(":") + 1);
  let text = address;
  if (isIPv4(tail)) {
    const [a = 0, b = 0, c = 0, d = 0] = tail.split(".").map(Number);
    text = `${address.slice(0, -tail.length)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head = "", rest] = text.split("::");
  const read = (part: string | undefined) =>
    part ? part.split(":").map((group) => Number.parseInt(group, 16)) : [];
  const [front, back] = [read(head), read(rest)];
  const groups =
    rest === undefined
      ? front
      : [...front, ...Array<number>(Math.max(0, 8 - front.length - back.length)).fill(0), ...back];
  return groups.length === 8 && groups.every((group) => group >= 0 && group <= 0xffff)
    ? groups
    : undefined;
}
