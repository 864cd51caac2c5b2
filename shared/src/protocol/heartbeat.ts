/**
 * Is the other side alive? One per link and side; numbers in docs/protocol.md "Reconnect".
 *
 * The node pings on its beat and its pong is due; the gateway counts any valid frame as life.
 * With a call or stream open both sides ping every 5 s, and 10 s of silence is death.
 */
import { type Clock, MAX_AFTER_MS } from "../clock.ts";
import { times } from "./limits.ts";

export interface HeartbeatOptions {
  readonly clock: Clock;
  /** The node's beat in ms (with its ±10 % applied); `undefined` at the gateway, which has none. */
  readonly everyMs?: number;
  /** Whether a call or stream is open on this link. */
  readonly busy: () => boolean;
  readonly ping: (n: number) => void;
  /** The link is dead: terminate it. Called once. */
  readonly dead: () => void;
}

export interface Heartbeat {
  /** Any valid frame arrived. */
  alive(): void;
  /** A pong arrived; numbers that were never sent are ignored. */
  pong(n: number): void;
  /** A call or stream was just opened or ended. */
  poke(): void;
  /** Ping now, after sleep or a change of network; dead when no valid frame comes within `ms`. */
  probe(ms: number): void;
  /** How long ago ping `n` left (0: when the link began), in ms; undefined when it never did. */
  sentAgo(n: number): number | undefined;
  stop(): void;
}

/** Pings whose time is remembered; older ones count as never sent. */
const REMEMBERED = 64;

export function heartbeat(options: HeartbeatOptions): Heartbeat {
  const { clock } = options;
  const sent = new Map<number, number>([[0, clock.mono()]]);
  let last = 0;
  let heard = clock.mono();
  let pinged = clock.mono();
  let waiting: number | undefined;
  let busySince: number | undefined;
  let cancel = () => {};
  let cancelProbe = () => {};
  let stopped = false;

  const look = (): void => {
    if (stopped) return;
    cancel();
    const now = clock.mono();
    const busy = options.busy();
    busySince = busy ? (busySince ?? now) : undefined;
    // Silence is judged from the moment both sides had a reason to speak.
    const silentSince = busySince === undefined ? heard : Math.max(heard, busySince);
    const pongLate = waiting !== undefined && now - waiting >= times.pongMs;
    const silent = now - silentSince >= (busy ? times.busyDeadMs : times.idleDeadMs);
    if (pongLate || silent) {
      stop();
      return options.dead();
    }
    const everyMs = busy ? times.busyPingMs : options.everyMs;
    if (everyMs !== undefined && now - pinged >= everyMs) {
      send(now);
    }
    const next = [
      silentSince + (busy ? times.busyDeadMs : times.idleDeadMs),
      ...(everyMs === undefined ? [] : [pinged + everyMs]),
      ...(waiting === undefined ? [] : [waiting + times.pongMs]),
    ];
    cancel = clock.after(Math.min(MAX_AFTER_MS, Math.max(1, Math.min(...next) - now)), look);
  };
  const send = (now: number): void => {
    last++;
    sent.set(last, now);
    sent.delete(last - REMEMBERED);
    pinged = now;
    waiting ??= now;
    options.ping(last);
  };
  const probe = (ms: number): void => {
    if (stopped) return;
    const since = heard;
    send(clock.mono());
    cancelProbe();
    cancelProbe = clock.after(ms, () => {
      if (stopped || heard !== since) return;
      stop();
      options.dead();
    });
  };
  const stop = (): void => {
    stopped = true;
    cancel();
    cancelProbe();
  };
  look();

  return {
    alive: () => {
      heard = clock.mono();
    },
    pong: (n) => {
      if (n === last) waiting = undefined;
      else if (sent.has(n) && waiting !== undefined) waiting = sent.get(n + 1) ?? undefined;
    },
    // One call more among others changes nothing.
    poke: () => {
      if (options.busy() !== (busySince !== undefined)) look();
    },
    probe,
    sentAgo: (n) => {
      const at = sent.get(n);
      return at === undefined ? undefined : clock.mono() - at;
    },
    stop,
  };
}
