import * as v from "valibot";
import { int, list, name, str, u53 } from "../protocol/words.ts";
import { defineCapability } from "./capability.ts";

/** What kind of machine it is: facts that do not change while it runs. Since protocol 1.0. */
export const deviceInfo = defineCapability({
  name: "device.info",
  version: 1,
  summary: "Tell what the named device is: system, processor, memory.",
  effect: "read",
  tier: 0,
  longestGrantMs: Number.POSITIVE_INFINITY,
  ttlMs: 10_000,
  args: v.strictObject({}),
  out: v.strictObject({
    os: str(32),
    release: str(64),
    arch: str(16),
    cpus: int(0, 4_096),
    memory_bytes: u53,
    agent: str(32),
  }),
  streams: {},
});

/** How the machine is doing now. What cannot be read is absent. Since protocol 1.0. */
export const deviceStatus = defineCapability({
  name: "device.status",
  version: 1,
  summary:
    "Tell how the named device is doing: load, free memory and disk, battery, lid, network, uptime.",
  effect: "read",
  tier: 0,
  longestGrantMs: Number.POSITIVE_INFINITY,
  ttlMs: 10_000,
  args: v.strictObject({}),
  out: v.strictObject({
    uptime_s: u53,
    /** One-minute load average in hundredths; 0 on Windows, which has none. */
    load_percent: u53,
    memory_free_bytes: u53,
    disk_free_bytes: v.optional(u53),
    battery_percent: v.optional(int(0, 100)),
    charging: v.optional(v.boolean()),
    lid: v.optional(v.picklist(["open", "closed"])),
    /** What kinds of network it is in now; no names. Empty: none. */
    network: v.optional(list(v.picklist(["wifi", "ethernet", "mobile", "tailnet", "other"]), 5)),
    host: v.optional(name(64)),
  }),
  streams: {},
});
