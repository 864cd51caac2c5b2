import * as v from "valibot";
import { int, name, u53 } from "../protocol/words.ts";
import { defineCapability } from "./capability.ts";
import { sha256Hex } from "./files.ts";

const MOST_SECONDS = 60;
/** Most bytes of a sound that is played; an hour of speech, some minutes of music. */
const PLAY_BYTES = 32 * 1_048_576;
/** Nobody wants more of it at once, and nobody can stop it from afar but by a call. */
export const PLAY_MS = 300_000;

/** Sounds that a device plays, each in a form that is nothing but sound. */
const SOUNDS = ["audio/ogg", "audio/mpeg", "audio/wav", "audio/flac"] as const;

/** Records sound for some seconds. Since protocol 1.0. */
export const audioRecord = defineCapability({
  name: "audio.record",
  version: 1,
  summary:
    "Record sound for some seconds with the microphone of the named device; returns an Ogg file.",
  effect: "idempotent",
  tier: 2,
  longestGrantMs: 7 * 86_400_000,
  ttlMs: (MOST_SECONDS + 30) * 1_000,
  args: v.strictObject({
    seconds: v.optional(v.pipe(int(1, MOST_SECONDS), v.description("Length in seconds.")), 10),
  }),
  out: v.strictObject({
    /** When it began, on the device's clock, milliseconds since the Unix epoch. */
    taken_at_ms: u53,
    /** As the system calls it; `default`: the one that the person there chose. */
    microphone: name(64),
    seconds: int(1, MOST_SECONDS),
  }),
  /** Opus, one voice: about 4 kB a second. */
  streams: { sound: { types: ["audio/ogg"], maxBytes: 4 * 1_048_576 } },
});

/** Plays a sound, at most five minutes of it. Since protocol 1.0. */
export const audioPlay = defineCapability({
  name: "audio.play",
  version: 1,
  summary: "Play a sound aloud on the named device.",
  effect: "once",
  tier: 1,
  longestGrantMs: Number.POSITIVE_INFINITY,
  ttlMs: PLAY_MS + 30_000,
  args: v.strictObject({ size: int(1, PLAY_BYTES), sha256: sha256Hex }),
  out: v.strictObject({ size: u53 }),
  streams: {},
  takes: { sound: { types: SOUNDS, maxBytes: PLAY_BYTES } },
});
