/**
 * A script of ours on something that nobody trusts, in a process that can do no harm.
 *
 * It has no secret in its environment, writes no file, and is killed with its process group when the time is up.
 * On Linux the kernel holds its memory to 512 MiB; elsewhere only JavaScript's heap is held.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { KithError } from "@kith/shared/errors";

export interface Caged {
  /** For messages: “decoding”. */
  readonly called: string;
  /** TypeScript from source, `.mjs` in the bundle. */
  readonly script: URL;
  readonly args?: readonly string[];
  /** For its standard input. */
  readonly input?: string;
  readonly limitMs: number;
  /** Of its standard output, in bytes. */
  readonly mostBytes: number;
  /** Of JavaScript's own heap. */
  readonly heapMib: number;
  /** Where it runs for long: faster, but with memory that is writable and executable. */
  readonly jit?: boolean;
  /** Of Node, beside ours. */
  readonly flags?: readonly string[];
  readonly signal?: AbortSignal;
  /** The Node that runs it; default: the one that runs us. */
  readonly node?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Private writable memory of the child, in KiB. */
const CEILING_KIB = 512 * 1024;

/** V8 reserves its code range up front and the kernel counts it: 512 MiB on x64, never filled. */
const CODE_RANGE_KIB = 512 * 1024;

/** No core dump, no file written, 10 s of processor, a ceiling on memory; then the command itself. */
const CAGE = 'set -e; ulimit -c 0; ulimit -f 0; ulimit -t 10; ulimit -d "$1"; shift; exec "$@"';

/** All that the child gets of our environment (security.md, C7). */
const ENVIRONMENT = ["PATH", "HOME", "LANG", "TMPDIR"];

/**
 * The child's whole output; what there is of it when a signal killed it.
 * @throws KithError timeout, cancelled, too-big, internal (none could be started, or it ended with a code)
 */
export async function runCaged(caged: Caged): Promise<Buffer> {
  const { called, signal, limitMs, mostBytes, input, env = process.env } = caged;
  const cancelled = () => new KithError("cancelled", `${called} is not wanted any more`);
  if (signal?.aborted) throw cancelled();

  const [command, ...args] = commandLine(caged);
  const child = spawn(command, args, {
    cwd: "/",
    env: Object.fromEntries(ENVIRONMENT.flatMap((name) => (env[name] ? [[name, env[name]]] : []))),
    stdio: ["pipe", "pipe", "ignore"],
    detached: process.platform !== "win32", // a process group of its own
    windowsHide: true,
  });

  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const stop = (error: KithError) => {
    reject(error);
    kill(child);
  };
  const timer = setTimeout(
    () => stop(new KithError("timeout", `${called} took longer than ${limitMs} ms`)),
    limitMs,
  );
  using _ = onAbort(signal, () => stop(cancelled()));

  const chunks: Buffer[] = [];
  let size = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > mostBytes) stop(new KithError("too-big", `${called} gave too much`));
    else chunks.push(chunk);
  });
  child.stdin.on("error", () => {}); // It ended before it read all; `close` tells how.
  child.stdin.end(input);
  child.on("error", (cause) =>
    reject(new KithError("internal", `no process for ${called} started`, { cause })),
  );
  // What it works on can kill it by a signal only; an exit code tells of a defect of ours.
  child.on("close", (code) => {
    if (code) reject(new KithError("internal", `the process for ${called} ended with ${code}`));
    else resolve(Buffer.concat(chunks));
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

export function onAbort(signal: AbortSignal | undefined, react: () => void): Disposable {
  if (signal?.aborted) react();
  else signal?.addEventListener("abort", react);
  return { [Symbol.dispose]: () => signal?.removeEventListener("abort", react) };
}

/**
 * Under the kernel's limits where we know how. Without a JIT there is no code range to pay for, and no
 * memory that is writable and executable; stripping types needs WebAssembly, so from source it stays on.
 */
function commandLine(caged: Caged): [string, ...string[]] {
  const { script, args = [], heapMib, flags = [], node = process.execPath } = caged;
  const path = fileURLToPath(script);
  const jit = caged.jit === true || path.endsWith(".ts");
  const own = [`--max-old-space-size=${heapMib}`, ...flags, ...(jit ? [] : ["--jitless"])];
  const inner = [...own, path, ...args];
  if (process.platform !== "linux") return [node, ...inner];
  const ceiling = CEILING_KIB + (jit ? CODE_RANGE_KIB : 0);
  return ["/bin/sh", "-c", CAGE, "sh", `${ceiling}`, node, ...inner];
}

function kill(child: ChildProcess): void {
  try {
    if (child.pid === undefined) return;
    if (process.platform === "win32") child.kill("SIGKILL");
    else process.kill(-child.pid, "SIGKILL");
  } catch {
    // ESRCH: it ended by itself in the same moment.
  }
}
