/**
 * The disks of simulated devices. Stands for `node:fs` and `node:fs/promises` in the node agent's
 * modules (see hooks.ts): each path starts with the name of a volume. What was written and not
 * synced is lost, wholly or in part, when a device loses its power.
 */
import process from "node:process";
import type { Mortal, World } from "../../support/world.ts";

interface Write {
  readonly at: number;
  readonly before: Uint8Array;
  readonly after: number;
  readonly size: number;
}

class File {
  bytes = new Uint8Array(512);
  size = 0;
  mtimeMs = 0;
  readonly ino: number;
  /** Since the last sync, oldest first. */
  unsynced: Write[] = [];

  constructor(ino: number) {
    this.ino = ino;
  }

  write(at: number, data: Uint8Array): void {
    const end = at + data.length;
    if (end > this.bytes.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.bytes.length));
      grown.set(this.bytes.subarray(0, this.size));
      this.bytes = grown;
    }
    const before = this.bytes.slice(at, Math.max(at, Math.min(end, this.size)));
    this.unsynced.push({ at, before, after: data.length, size: this.size });
    this.bytes.set(data, at);
    this.size = Math.max(this.size, end);
  }

  truncate(size: number): void {
    const before = this.bytes.slice(Math.min(size, this.size), this.size);
    this.unsynced.push({ at: Math.min(size, this.size), before, after: 0, size: this.size });
    if (size > this.bytes.length) this.write(this.size, new Uint8Array(size - this.size));
    this.bytes.fill(0, Math.min(size, this.size), Math.max(size, this.size));
    this.size = size;
  }

  /** Takes back all but the first `kept` unsynced writes; of the next one its first sectors may stay. */
  lose(kept: number, torn: number): void {
    for (let n = this.unsynced.length - 1; n >= kept; n--) {
      const { at, before, after, size } = this.unsynced[n] as Write;
      const stays = n === kept ? Math.min(torn * 512, after) : 0;
      const start = this.bytes.slice(at, at + stays);
      if (this.size < size) this.size = size;
      this.bytes.fill(0, at, Math.max(at + after, this.size));
      this.bytes.set(before, at);
      this.size = size;
      if (stays > 0) {
        this.bytes.set(start, at);
        this.size = Math.max(size, at + stays);
      }
    }
    this.unsynced = [];
  }
}

/** Faults of one device's disk; each is asked before the operation. */
interface Trouble {
  /** Ms that a sync takes. */
  readonly syncMs: () => number;
  /** No room for this write. */
  readonly full: () => boolean;
  /** This sync fails, and what was written may be gone. */
  readonly broken: () => boolean;
}

export class Volume {
  readonly name: string;
  readonly world: World;
  readonly trouble: Trouble;
  readonly files = new Map<string, File>();
  /** The process that uses it now. */
  owner: Mortal | undefined;
  #inodes = 0;

  constructor(name: string, world: World, trouble: Trouble) {
    this.name = name;
    this.world = world;
    this.trouble = trouble;
    volumes.set(name, this);
  }

  make(path: string): File {
    const file = new File(++this.#inodes);
    file.mtimeMs = this.world.now;
    this.files.set(path, file);
    return file;
  }

  /** Puts a file there as if it had always been. */
  put(path: string, text: string): void {
    const file = this.make(path);
    file.write(0, new TextEncoder().encode(text));
    file.unsynced = [];
  }

  /** The power goes; a mere end of the process would lose nothing. */
  crash(): void {
    const { rng } = this.world;
    for (const file of this.files.values()) {
      if (file.unsynced.length === 0) continue;
      file.lose(rng.below(file.unsynced.length + 1), rng.below(3));
    }
  }

  get(path: string): File {
    const file = this.files.get(path);
    if (!file) throw failure("ENOENT", path);
    return file;
  }
}

const volumes = new Map<string, Volume>();

const failure = (code: string, path: string) =>
  Object.assign(new Error(`${code}: ${path}`), { code });

function volumeOf(path: string): Volume {
  const volume = volumes.get(path.split("/")[1] ?? "");
  if (!volume) throw failure("ENOENT", path);
  return volume;
}

const isFolder = (volume: Volume, path: string): boolean =>
  path === `/${volume.name}` || [...volume.files.keys()].some((one) => one.startsWith(`${path}/`));

let descriptors = 0;
const opened = new Map<number, File>();

/** The world is over: its disks go, and the files that its crashed processes never closed. */
export function forget(): void {
  volumes.clear();
  opened.clear();
}

class Handle {
  readonly fd: number;
  readonly #volume: Volume;
  readonly #owner: Mortal | undefined;
  readonly #file: File | undefined;

  constructor(volume: Volume, file: File | undefined) {
    this.fd = ++descriptors;
    this.#volume = volume;
    this.#owner = volume.owner;
    this.#file = file;
    if (file) opened.set(this.fd, file);
  }

  get #live(): File {
    if (!this.#file) throw failure("EISDIR", "");
    return this.#file;
  }

  async write(
    data: Uint8Array,
    from = 0,
    length = data.length - from,
    at?: number,
  ): Promise<{ bytesWritten: number }> {
    if (this.#owner?.dead) return await never();
    if (this.#volume.trouble.full()) throw failure("ENOSPC", "");
    this.#live.write(at ?? this.#live.size, data.subarray(from, from + length));
    this.#live.mtimeMs = this.#volume.world.now;
    return { bytesWritten: length };
  }

  async writeFile(content: string | Uint8Array): Promise<void> {
    await this.write(typeof content === "string" ? new TextEncoder().encode(content) : content);
  }

  async read(into: Uint8Array, from: number, length: number, at: number) {
    const file = this.#live;
    const part = file.bytes.subarray(at, Math.min(file.size, at + length));
    into.set(part, from);
    return { bytesRead: part.length, buffer: into };
  }

  async truncate(size: number): Promise<void> {
    if (this.#owner?.dead) return await never();
    this.#live.truncate(size);
  }

  async stat() {
    return told(this.#live);
  }

  sync(): Promise<void> {
    const { world, trouble, name } = this.#volume;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const pending = this.#file?.unsynced.length ?? 0;
    const done = (): void => {
      if (this.#file && trouble.broken()) {
        this.#file.lose(0, 0);
        return reject(failure("EIO", ""));
      }
      this.#file?.unsynced.splice(0, pending);
      resolve();
    };
    world.in(trouble.syncMs(), `${name} sync`, done, this.#owner);
    return promise;
  }

  datasync(): Promise<void> {
    return this.sync();
  }

  async close(): Promise<void> {
    opened.delete(this.fd);
  }
}

const told = (file: File | undefined) => ({
  isFile: () => file !== undefined,
  isDirectory: () => file === undefined,
  uid: process.getuid?.() ?? 0,
  mode: 0o700,
  size: file?.size ?? 0,
  mtimeMs: file?.mtimeMs ?? 0,
  ino: file?.ino ?? 0,
});

/** A dead process waits for ever. */
const never = () => new Promise<never>(() => {});

export async function open(path: string, flags: string): Promise<Handle> {
  const volume = volumeOf(path);
  const known = volume.files.get(path);
  if (!known && isFolder(volume, path)) return new Handle(volume, undefined);
  if (flags.startsWith("wx") && known) throw failure("EEXIST", path);
  if (flags.startsWith("r")) return new Handle(volume, volume.get(path));
  return new Handle(volume, volume.make(path));
}

export async function readFile(path: string, encoding?: string): Promise<Uint8Array | string> {
  const file = volumeOf(path).get(path);
  const bytes = file.bytes.slice(0, file.size);
  return encoding === undefined ? bytes : new TextDecoder().decode(bytes);
}

export async function copyFile(from: string, to: string): Promise<void> {
  const volume = volumeOf(from);
  const { bytes, size } = volume.get(from);
  volume.make(to).write(0, bytes.subarray(0, size));
}

export async function rename(from: string, to: string): Promise<void> {
  const { files, owner } = volumeOf(from);
  const file = files.get(from);
  if (owner?.dead) return await never();
  if (!file) throw failure("ENOENT", from);
  files.delete(from);
  files.set(to, file);
}

export async function rm(path: string, { force = false } = {}): Promise<void> {
  const { files } = volumeOf(path);
  if (!files.delete(path) && !force) throw failure("ENOENT", path);
}

export async function mkdir(): Promise<void> {}

export async function readdir(path: string): Promise<string[]> {
  const start = `${path}/`;
  return [...volumeOf(path).files.keys()]
    .filter((one) => one.startsWith(start))
    .map((one) => one.slice(start.length))
    .filter((one) => !one.includes("/"));
}

export function statSync(path: string): ReturnType<typeof told> {
  const volume = volumeOf(path);
  const file = volume.files.get(path);
  if (!file && !isFolder(volume, path)) throw failure("ENOENT", path);
  return told(file);
}

export const stat = async (path: string) => {
  const volume = volumeOf(path);
  // Folders are there as soon as somebody asks: `mkdir` has nothing to do.
  return told(volume.files.get(path));
};
export const lstat = async (path: string) => statSync(path);

export function readSync(
  fd: number,
  into: Uint8Array,
  from: number,
  length: number,
  at: number,
): number {
  const file = opened.get(fd);
  if (!file) throw failure("EBADF", "");
  const part = file.bytes.subarray(at, Math.min(file.size, at + length));
  into.set(part, from);
  return part.length;
}
