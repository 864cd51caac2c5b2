import * as v from "valibot";
import { int, list, name, str, u53 } from "../protocol/words.ts";
import { defineCapability } from "./capability.ts";

export const sha256Hex = v.pipe(
  v.string(),
  v.maxLength(64),
  v.regex(/^[0-9a-f]{64}$/, "64 hex digits of a SHA-256"),
);

/**
 * Reads one file inside the roots that the device's owner named. The path is relative to a
 * root; links are not followed. Since protocol 1.0.
 */
export const filesRead = defineCapability({
  name: "files.read",
  version: 1,
  summary: "Read one file from a folder of the named device that its owner shared.",
  effect: "read",
  tier: 2,
  tainted: "allowed",
  kept: ["root"],
  longestGrantMs: 7 * 86_400_000,
  ttlMs: 600_000,
  args: v.strictObject({
    root: v.optional(
      v.pipe(name(64), v.description("Name of the shared folder, when there are several.")),
    ),
    path: v.pipe(
      name(1_024),
      v.description("Path inside the shared folder, with forward slashes."),
    ),
    max_bytes: v.optional(int(1, 4 * 1_024 ** 3), 4 * 1_024 ** 3),
  }),
  out: v.strictObject({
    name: str(255),
    size: u53,
    modified_at_ms: u53,
  }),
  streams: { content: { types: "any", maxBytes: 4 * 1_024 ** 3 } },
});

/**
 * Writes one file inside the roots, or replaces it: only the version that is named, which is kept
 * beside for seven days. It appears whole or not at all. Since protocol 1.0.
 */
export const filesWrite = defineCapability({
  name: "files.write",
  version: 1,
  summary: "Put one file into a folder of the named device that its owner shared.",
  effect: "idempotent",
  tier: 2,
  kept: ["root"],
  longestGrantMs: 7 * 86_400_000,
  ttlMs: 600_000,
  args: v.strictObject({
    root: v.optional(
      v.pipe(name(64), v.description("Name of the shared folder, when there are several.")),
    ),
    path: v.pipe(
      name(1_024),
      v.description("Path inside the shared folder, with forward slashes; its folder is there."),
    ),
    size: int(0, 4 * 1_024 ** 3),
    sha256: sha256Hex,
    replaces: v.optional(
      v.pipe(
        sha256Hex,
        v.description("SHA-256 of the file that it replaces; without it there must be none."),
      ),
    ),
  }),
  out: v.strictObject({
    name: str(255),
    size: u53,
    /** False: exactly this was there already. */
    changed: v.boolean(),
    /** Where the version before lies now, in the same shared folder. */
    kept: v.optional(name(300)),
  }),
  streams: {},
  takes: { content: { types: "any", maxBytes: 4 * 1_024 ** 3 } },
});

const entry = {
  name: name(255),
  /** `other`: a link, a pipe, a device; none of them is followed or read. */
  kind: v.picklist(["file", "folder", "other"]),
  /** 0 for what is no file. */
  size: u53,
  modified_at_ms: u53,
};

const root = v.optional(
  v.pipe(name(64), v.description("Name of the shared folder, when there are several.")),
);

/** Lists one folder inside the roots. Since protocol 1.0. */
export const filesList = defineCapability({
  name: "files.list",
  version: 1,
  summary: "List a folder of the named device that its owner shared, or a folder inside it.",
  effect: "read",
  tier: 1,
  tainted: "allowed",
  kept: ["root"],
  longestGrantMs: 30 * 86_400_000,
  ttlMs: 15_000,
  args: v.strictObject({
    root,
    path: v.optional(
      v.pipe(
        str(1_024),
        v.description("Folder inside the shared folder, with forward slashes; empty for itself."),
      ),
      "",
    ),
    limit: v.optional(int(1, 200), 100),
  }),
  out: v.strictObject({
    /** In the order of their names. */
    entries: list(v.strictObject(entry), 200),
    /** How many are there in all, also those that are not named here. */
    total: u53,
  }),
  streams: {},
});

/** Tells of one file or folder inside the roots, without reading it. Since protocol 1.0. */
export const filesStat = defineCapability({
  name: "files.stat",
  version: 1,
  summary: "Tell size and age of one file or folder of the named device that its owner shared.",
  effect: "read",
  tier: 1,
  tainted: "allowed",
  kept: ["root"],
  longestGrantMs: 30 * 86_400_000,
  ttlMs: 15_000,
  args: v.strictObject({
    root,
    path: v.pipe(
      name(1_024),
      v.description("Path inside the shared folder, with forward slashes."),
    ),
  }),
  out: v.strictObject(entry),
  streams: {},
});
