import * as v from "valibot";
import { int, lines, list, name, str, u53 } from "../protocol/words.ts";
import { terminalSide } from "../protocol/terminal.ts";
import { defineCapability } from "./capability.ts";

const HOURS_8_MS = 8 * 3_600_000;

/** Bytes of output that are kept, of each of the two; what comes after is counted and dropped. */
const STREAM_BYTES = 8 * 1_048_576;

/**
 * What a call may add to the environment. A list of names that are fine and not of those that are
 * not: nobody knows them all (LD_PRELOAD, NODE_OPTIONS, GCONV_PATH …). Whoever needs another one
 * starts `env` inside the sandbox.
 */
const ENV_NAME =
  /^(?:TZ|CI|NO_COLOR|FORCE_COLOR|COLUMNS|LINES|SOURCE_DATE_EPOCH|APP_[A-Z0-9_]{1,28})$/;

/** A name, or a path: not empty, and no option of those programs that start it. */
const PROGRAM = /^[^-\s]/;

/**
 * Runs one program with its arguments, without a shell, in the sandbox `workspace`: no network, no
 * secrets, no files but the system's programs and one shared folder, which is all it can change.
 * Since protocol 1.0.
 */
export const shellRun = defineCapability({
  name: "shell.run",
  version: 1,
  summary:
    "Run one program in a sandbox of the named device, without network, on the files of one shared folder.",
  effect: "once",
  tier: 2,
  // An hour of one program is no hour of any.
  kept: ["argv", "cwd", "env", "stdin"],
  longestGrantMs: HOURS_8_MS,
  ttlMs: 600_000,
  args: v.strictObject({
    argv: v.pipe(
      list(lines(8_192), 64),
      v.minLength(1),
      v.check(([program]) => program !== undefined && PROGRAM.test(program), "a program"),
      v.description(
        'The program and its arguments, each by itself: ["grep", "-rn", "TODO", "."]. No shell reads them.',
      ),
    ),
    cwd: v.optional(
      v.strictObject({
        root: v.optional(
          v.pipe(name(64), v.description("Name of the shared folder, when there are several.")),
        ),
        path: v.optional(
          v.pipe(
            name(1_024),
            v.description("Folder inside the shared folder, with forward slashes."),
          ),
        ),
      }),
      {},
    ),
    env: v.optional(
      list(
        v.strictObject({
          name: v.pipe(v.string(), v.maxLength(32), v.regex(ENV_NAME)),
          value: str(1_024),
        }),
        16,
      ),
      [],
    ),
    stdin: v.optional(
      v.pipe(lines(16_384), v.description("What the program reads from its standard input.")),
      "",
    ),
    timeout_s: v.optional(int(1, 590), 60),
  }),
  out: v.strictObject({
    /** What held it in while it ran. */
    sandbox: v.picklist(["workspace"]),
    end: v.picklist(["exit", "signal", "timeout"]),
    /** 127: no such program, 126: it cannot be run. */
    exit_code: v.optional(int(0, 255)),
    /** `SIGKILL` …; read from a code above 128, as shells do. */
    signal: v.optional(str(16)),
    ms: u53,
    /** The first part of what it wrote, without control characters. */
    stdout: lines(24_576),
    stderr: lines(8_192),
    /** Written in all. */
    stdout_bytes: u53,
    stderr_bytes: u53,
    /** The text is not all of it: see the stream. */
    stdout_truncated: v.boolean(),
    stderr_truncated: v.boolean(),
    /** Of these bytes, those that came after the stream's bound and are lost. */
    stdout_lost: u53,
    stderr_lost: u53,
  }),
  streams: {
    stdout: { types: ["application/octet-stream"], maxBytes: STREAM_BYTES, mayLack: true },
    stderr: { types: ["application/octet-stream"], maxBytes: STREAM_BYTES, mayLack: true },
  },
});

/**
 * Opens the shell of whoever runs the agent, in a terminal that nothing confines. The call lasts as
 * long as the shell; it is watched and typed into by live streams. Since protocol 1.0.
 */
export const shellOpen = defineCapability({
  name: "shell.open",
  version: 1,
  summary: "Open a terminal on the named device, outside of any sandbox, for a person to type in.",
  effect: "once",
  tier: 3,
  longestGrantMs: HOURS_8_MS,
  ttlMs: HOURS_8_MS,
  args: v.strictObject({
    columns: v.optional(terminalSide, 80),
    rows: v.optional(terminalSide, 24),
  }),
  out: v.strictObject({
    end: v.picklist(["exit", "signal"]),
    exit_code: v.optional(int(0, 255)),
    /** `SIGHUP` … */
    signal: v.optional(str(16)),
    ms: u53,
    /** Written by the terminal in all. */
    output_bytes: u53,
  }),
  streams: {},
  terminal: true,
});
