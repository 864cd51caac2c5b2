/**
 * Linux: bubblewrap (0.8 or later) makes the namespaces and mounts, `choom` and `prlimit`
 * (util-linux) set the bounds from inside, where counting begins at zero.
 *
 *   agent ─► bwrap (waits) ─► bwrap (process 1 inside) ─► choom ─► prlimit ─► the program
 *                └ dies with the agent   └ dies with bwrap, and all inside with it
 */
import { lstatSync, readlinkSync } from "node:fs";
import { KithError } from "@kith/shared/errors";
import type { Command, Job, Sandbox } from "./sandbox.ts";
import { syscallFilter } from "./syscalls.ts";

const MIB = 1_048_576;

/**
 * Of each process, but `nproc`: of all. Address space, which alone counts shared memory, is wider
 * than data: runtimes reserve what they never use.
 */
const LIMITS = {
  nproc: 64,
  data: 512 * MIB,
  as: 4_096 * MIB,
  cpu: 60,
  core: 0,
  nofile: 1_024,
  fsize: 1_024 * MIB,
};

/** Memory too, though no limit of a process counts it. */
const TMP_BYTES = 256 * MIB;
const HOME_BYTES = 64 * MIB;
const SHM_BYTES = 64 * MIB;

const HOME = "/home/kith";
const WORKSPACE = "/workspace";

/** The whole environment, before a job's additions. */
const ENVIRONMENT = {
  PATH: "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
  HOME,
  LANG: "C.UTF-8",
  TERM: "dumb",
  TMPDIR: "/tmp",
};

/** Of /etc, what programs need to start and to tell the time; nothing that names people or machines. */
const ETC = ["alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime"];

const PASSWD = `kith:x:1000:1000::${HOME}:/bin/sh\n`;
const GROUP = "kith:x:1000:\n";

/** Descriptors of `Command.feeds`, in this order; 3 is where bwrap reports. */
const [ARGS, FILTER, USERS, GROUPS] = ["4", "5", "6", "7"] as const;

export function bubblewrap(processor: string, program = "bwrap"): Sandbox | string {
  const filter = syscallFilter(processor);
  if (!filter) return `no sandbox on the processor ${processor}, and nothing is run without one`;
  return {
    name: "workspace",
    missing: "bubblewrap is not installed (Debian, Ubuntu: sudo apt install bubblewrap)",
    command(job): Command {
      const texts = [
        options(job)
          .map((one) => `${one}\0`)
          .join(""),
        filter,
        PASSWD,
        GROUP,
      ];
      const limits = Object.entries(LIMITS).map(([name, value]) => `--${name}=${value}`);
      return {
        program,
        // Only the job is on the command line, which the inside can read: paths come by descriptor.
        args: [
          ...["--args", ARGS, "--", "choom", "-n", "1000", "--"],
          ...["prlimit", ...limits, "--", ...job.argv],
        ],
        feeds: texts.map((text) => (typeof text === "string" ? Buffer.from(text) : text)),
      };
    },
    failure,
  };
}

function options({ folder, names, env }: Job): string[] {
  return [
    // `--unshare-all` alone would do without a user namespace where there is none to be had.
    ...["--unshare-all", "--unshare-user", "--disable-userns", "--hostname", "sandbox"],
    ...["--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--seccomp", FILTER],
    ...["--new-session", "--die-with-parent", "--json-status-fd", "3"],
    "--clearenv",
    ...Object.entries({ ...env, ...ENVIRONMENT }).flatMap((pair) => ["--setenv", ...pair]),
    ...["--ro-bind", "/usr", "/usr", ...["bin", "sbin", "lib", "lib32", "lib64"].flatMap(system)],
    ...["--perms", "0755", "--dir", "/etc"],
    ...ETC.flatMap((name) => ["--ro-bind-try", `/etc/${name}`, `/etc/${name}`]),
    ...["--ro-bind-data", USERS, "/etc/passwd", "--ro-bind-data", GROUPS, "/etc/group"],
    ...["--proc", "/proc", "--dev", "/dev"],
    ...room("/dev/shm", SHM_BYTES),
    ...["--remount-ro", "/dev"],
    ...room("/tmp", TMP_BYTES),
    ...room(HOME, HOME_BYTES),
    ...["--bind", folder, WORKSPACE, "--remount-ro", "/"],
    ...["--chdir", [WORKSPACE, ...names].join("/")],
  ];
}

const room = (path: string, bytes: number) => ["--size", String(bytes), "--tmpfs", path];

/** /bin and its like are links into /usr on most systems and folders on others. */
function system(name: string): string[] {
  const path = `/${name}`;
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return [];
  return found.isSymbolicLink()
    ? ["--symlink", readlinkSync(path), path]
    : ["--ro-bind", path, path];
}

const meanings: readonly (readonly [RegExp, "gone" | "not-ready", string])[] = [
  [/can't chdir/i, "gone", "no such folder inside the shared one"],
  [/unknown option/i, "not-ready", "bubblewrap is too old, 0.8 or later is needed"],
  [
    /user ?namespace|uid map|no permissions to creat|creating new namespace/i,
    "not-ready",
    "this system refuses user namespaces to bubblewrap; docs/capabilities.md says what to do",
  ],
  [/execvp choom/i, "not-ready", "choom and prlimit are not installed (package util-linux)"],
  [/source path|bind mount|can't find/i, "not-ready", "the shared folder cannot be reached"],
];

/** Its own words may hold a path. */
function failure(stderr: string): KithError {
  for (const [words, code, message] of meanings)
    if (words.test(stderr)) return new KithError(code, message);
  return new KithError("not-ready", "the sandbox did not start, so nothing was run");
}
