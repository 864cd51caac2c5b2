/** What the agent lends a driver, kept for looking at; and programs that stand in for ffmpeg. */
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Content, Tools } from "@kith/node-agent/drivers/driver";
import type { Family } from "@kith/node-agent/drivers/camera/ffmpeg";
import { v4l2Cameras } from "@kith/node-agent/drivers/camera/ffmpeg-v4l2";
import type { CameraSource } from "@kith/node-agent/drivers/camera/source";
import type { KithError } from "@kith/shared/errors";

export interface Lent extends Tools {
  /** `notice: …` and `stream: …`, in the order they came. */
  readonly said: string[];
  readonly contents: Content[];
}

/** `content`: what the call brings, for a driver that takes some. */
export function lend(
  signal: AbortSignal = new AbortController().signal,
  content = new Uint8Array(),
): Lent {
  const said: string[] = [];
  const contents: Content[] = [];
  return {
    signal,
    said,
    contents,
    stream(role, type, content) {
      said.push(`stream: ${role} ${type}`);
      contents.push(content);
    },
    call: "01K3V9QZ6T0R8M4X2C7B5N1PWD",
    async receive(role, open) {
      said.push(`receive: ${role}`);
      const sink = await open();
      try {
        await sink.write([content.subarray(sink.length)]);
        await sink.finish(content.length, createHash("sha256").update(content).digest());
      } catch (error) {
        await sink.discard();
        throw error;
      }
    },
    terminal() {
      throw new Error("no terminal in this test");
    },
    notice(what) {
      said.push(`notice: ${what}`);
      return Promise.resolve();
    },
  };
}

/** A temporary folder of this test's own: in the common one, other tests make films at the same time. */
export async function ownTemporary(): Promise<AsyncDisposable> {
  const home = await folder();
  const { TMPDIR: before } = process.env;
  process.env.TMPDIR = home.path;
  return {
    async [Symbol.asyncDispose]() {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
      await home[Symbol.asyncDispose]();
    },
  };
}

/** Folders of films that are being made. */
export const films = async (): Promise<string[]> =>
  (await readdir(tmpdir())).filter((name) => name.startsWith("kith-film-"));

/** What ffprobe says about the film that a driver handed over, which is closed then. */
export async function probed({ contents: [content] }: Lent): Promise<{ streams: unknown }> {
  if (!content || !("file" in content)) throw new Error("no file was handed over");
  await using home = await folder();
  const path = join(home.path, "film.mp4");
  await writeFile(path, await content.file.readFile());
  await content.file.close();
  const entries = "stream=codec_type,width,height,nb_frames";
  const args = ["-v", "error", "-show_entries", entries, "-of", "json", path];
  const { streams } = JSON.parse(execFileSync("ffprobe", args, { encoding: "utf8" })) as {
    streams: unknown;
  };
  return { streams };
}

/** The bytes a driver handed over. */
export function bytesOf(tools: Lent): Uint8Array {
  const content = tools.contents[0];
  if (!content || !("bytes" in content)) throw new Error("no bytes were handed over");
  return content.bytes;
}

/** A new folder that goes away at the end of the scope. */
export async function folder(): Promise<
  AsyncDisposable & {
    path: string;
    file(name: string, text: string, mode?: number): Promise<string>;
  }
> {
  const path = await mkdtemp(join(tmpdir(), "kith-drivers-"));
  return {
    path,
    async file(name, text, mode = 0o644) {
      await writeFile(join(path, name), text);
      await chmod(join(path, name), mode);
      return join(path, name);
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

type Folder = Awaited<ReturnType<typeof folder>>;

/** A Linux machine with the named capture nodes, as far as files can tell. */
export async function machine(
  home: Folder,
  program: string,
  inputs?: Family["inputs"],
  names = ["Integrated Camera"],
): Promise<CameraSource> {
  for (const [i, name] of names.entries()) {
    await mkdir(join(home.path, `sys/video${i}`), { recursive: true });
    await mkdir(join(home.path, "dev"), { recursive: true });
    await home.file(`sys/video${i}/name`, `${name}\n`);
    await home.file(`sys/video${i}/index`, "0\n");
    await home.file(`dev/video${i}`, "");
  }
  return v4l2Cameras({
    program,
    sysfs: join(home.path, "sys"),
    dev: join(home.path, "dev"),
    udev: join(home.path, "udev"),
    ...(inputs && { inputs }),
  });
}

/** A program that does this instead of ffmpeg's work. */
export const script = (home: Folder, body: string) =>
  home.file("ffmpeg", `#!/bin/sh\n${body}\n`, 0o755);

/** Runs or sleeps; a zombie that nobody has collected yet is gone for us. */
export async function alive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat !== "" && !/\) [ZX] /.test(stat);
}

/** The code of a failure that must come. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  const failure = await work.then(
    () => undefined,
    (thrown: unknown) => thrown as KithError,
  );
  return failure?.code ?? `no KithError: ${String(failure)}`;
}
