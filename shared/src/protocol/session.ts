/**
 * Session: who is there, which link is the newest, is it alive.
 *
 *   node ── hello ─────────────► gateway     (first frame, within 5 s of the handshake)
 *   node ◄────────── welcome ── gateway      (the new epoch is committed before this leaves)
 *   either ── ping ──► the other ── pong ──►
 *   node ── capabilities.advertise ──► gateway ── grants.changed ──► node
 *   either ── bye, then close
 *
 * A second `hello` or `welcome` on a link breaks the rules and closes it.
 * In full: docs/protocol.md, "Session".
 */
import * as v from "valibot";
import { limits } from "./limits.ts";
import { bin, id26, int, list, ms, name, str, u32, u53 } from "./words.ts";

export const kinds = ["laptop", "desktop", "server", "phone", "browser", "operator"] as const;
const kind = v.picklist(kinds);

/** What a device says of itself; also the body of `pair.begin`. */
export const about = {
  name: name(64),
  kind,
  os: str(32),
  arch: str(16),
  agent: str(32),
};

export const hello = v.strictObject({
  t: v.literal("hello"),
  minor: u32,
  features: list(str(32), 32),
  ...about,
  /** New per process start. */
  boot: id26,
  /** Made when the ledger file was created. */
  ledger: id26,
  /** Highest epoch the node has stored, 0 if none. */
  last_epoch: u53,
  caps: v.optional(v.strictObject({ hash: bin(32) })),
});

export const welcome = v.strictObject({
  t: v.literal("welcome"),
  minor: u32,
  features: list(str(32), 32),
  /** Bounded below what a counter can reach, so that no gateway can use the numbers up. */
  epoch: int(0, 2 ** 52),
  session: id26,
  gateway: name(64),
  ping_ms: int(1_000, 60_000),
  limits: v.strictObject({ calls: u32, streams: u32, control: u32, chunk: u32 }),
  want_caps: v.boolean(),
  /** Unix ms, for display only: no clock of another machine decides anything. */
  now: u53,
});

export const ping = v.strictObject({ t: v.literal("ping"), n: u32 });
export const pong = v.strictObject({ t: v.literal("pong"), n: u32 });

export const byeCodes = [
  "done",
  "slept",
  "shutdown",
  "rollover",
  "protocol",
  "revoked",
  "superseded",
  "duplicate",
  "fenced",
  "version",
  "rate",
  "slow-peer",
  "overload",
  "starting",
] as const;
export type ByeCode = (typeof byeCodes)[number];

export const bye = v.strictObject({
  t: v.literal("bye"),
  code: v.picklist(byeCodes),
  text: str(100),
  retry_ms: v.optional(ms),
});

export const capabilityStates = [
  "ready",
  "needs-permission",
  "denied",
  "off",
  "busy",
  "unavailable",
] as const;

/** One capability as a device offers it now. */
export const offered = v.strictObject({
  cap: name(48),
  v: int(1, 2 ** 32 - 1),
  effect: v.picklist(["read", "idempotent", "once"]),
  /** Canonical JSON of `{input, output}`; only and always for `x.*` names. */
  schema: v.optional(str(8_192)),
  state: v.picklist(capabilityStates),
  os: v.optional(
    v.strictObject({
      permission: v.picklist(["granted", "denied", "prompt", "not-required", "unknown"]),
      name: str(48),
    }),
  ),
  /** The node's own policy; `off` in `state` means that its owner never turned it on. */
  policy: v.picklist(["allow", "ask", "deny"]),
  foreground: v.boolean(),
  parallel: int(1, 16),
  max_ms: ms,
  max_bytes: u53,
  /** What a person can do about a state that is not `ready`. */
  reason: v.optional(str(160)),
  devices: v.optional(
    list(
      v.strictObject({
        id: name(64),
        label: str(64),
        facing: v.optional(v.picklist(["front", "back", "external", "unknown"])),
      }),
      16,
    ),
  ),
});
export type Offered = v.InferOutput<typeof offered>;

export const advertise = v.strictObject({
  t: v.literal("capabilities.advertise"),
  rev: u53,
  part: int(1, limits.capabilityParts),
  parts: int(1, limits.capabilityParts),
  hash: bin(32),
  caps: list(offered, limits.capabilities),
  /** Somebody locked the device: what may wait for that waits. */
  locked: v.optional(v.boolean()),
});

export const grantsChanged = v.strictObject({
  t: v.literal("grants.changed"),
  rev: u53,
  grants: list(
    v.strictObject({
      cap: name(48),
      mode: v.picklist(["standing", "ask"]),
      left_ms: v.optional(u53),
      uses: v.optional(u32),
    }),
    64,
  ),
});

export type Hello = v.InferOutput<typeof hello>;
export type Welcome = v.InferOutput<typeof welcome>;
