/**
 * Content on its way to the gateway, over as many links as it takes.
 *
 *   bytes ── spool (fsync) ──► kept until stream.done, 15 min at most, also over a restart
 *   file  ── read as it is sent, never copied; gone with this process
 *
 * Each content is one stream with one sender; a new link opens it again on a new channel.
 */
import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Rng } from "@kith/shared/clock";
import { fromWire, KithError } from "@kith/shared/errors";
import { newId } from "@kith/shared/ids";
import type { StreamRef } from "@kith/shared/protocol/call";
import { limits, times } from "@kith/shared/protocol/limits";
import type { NewHash } from "@kith/shared/streams/hash";
import { FileSource } from "@kith/shared/streams/file-source.node";
import {
  type Source,
  type StreamIdentity,
  type StreamLink,
  StreamSender,
} from "@kith/shared/streams/sender";
import { syncFolder } from "./disk.ts";

/** The browser's portable hash is ten times slower. */
const nativeHash: NewHash = () => createHash("sha256");
const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash("sha256").update(bytes).digest());

const SWEEP_MS = 30_000;

interface Kept {
  readonly sender: StreamSender;
  /** Its result is known, or it is read from a file: the bytes may leave. */
  free: boolean;
  /** On the monotonic clock: when nobody needs to keep it any more. */
  until: number;
  /** Its file in the spool, removed at the end. */
  readonly path: string | undefined;
}

export class Outgoing {
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #kept = new Map<string, Kept>();
  readonly #byChannel = new Map<number, StreamSender>();
  /** Something ended: a rollover may have waited for it. */
  onQuiet: () => void = () => {};
  #link: StreamLink | undefined;
  /** Old streams wait until the ledgers were compared. */
  #opened = false;
  #nextChannel = 1;
  #stopSweep = () => {};
  #stopped = false;

  constructor(dir: string, clock: Clock, rng: Rng) {
    this.#dir = dir;
    this.#clock = clock;
    this.#rng = rng;
  }

  /** Makes the folder and takes up what an earlier process left there; `refs` says what is still wanted. */
  async recover(refs: Iterable<StreamRef & { readonly call: string }>): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const wanted = new Map([...refs].map((ref) => [ref.stream, ref]));
    for (const name of await readdir(this.#dir)) {
      const path = join(this.#dir, name);
      const ref = wanted.get(name);
      const left = times.keepContentMs - (this.#clock.now() - (await stat(path)).mtimeMs);
      if (ref && left > 0) {
        const source = new FileSource(await open(path, "r"), ref.size);
        this.#keep(ref, source, ref.size, Math.min(left, times.keepContentMs), path).free = true;
      } else await rm(path, { force: true, recursive: true });
    }
    this.#sweep();
  }

  /** Streams that the gateway has not confirmed. */
  get open(): number {
    return this.#kept.size;
  }

  has(stream: string): boolean {
    return this.#kept.has(stream);
  }

  /** Stores bytes durably; they leave after `release`. @throws KithError disk-full, interrupted */
  async spool(call: string, role: string, type: string, bytes: Uint8Array): Promise<StreamRef> {
    const stream = newId(this.#clock, this.#rng);
    const path = join(this.#dir, stream);
    const file = await open(path, "wx+", 0o600).catch(noRoom);
    try {
      await file.writeFile(bytes).catch(noRoom);
      await file.sync();
      await syncFolder(this.#dir);
    } catch (error) {
      await file.close();
      await rm(path, { force: true });
      throw error;
    }
    this.#keep(
      { stream, call, role, type },
      new FileSource(file, bytes.length),
      bytes.length,
      times.keepContentMs,
      path,
    );
    return { stream, role, type, size: bytes.length, sha256: sha256(bytes) };
  }

  /** Sends an open file from now on and closes it; resolves with its reference when all of it was read once. */
  async file(
    call: string,
    role: string,
    type: string,
    file: FileHandle,
    size: number,
    most: number,
  ): Promise<StreamRef> {
    const stream = newId(this.#clock, this.#rng);
    const kept = this.#keep(
      { stream, call, role, type },
      new FileSource(file, size),
      most,
      Number.POSITIVE_INFINITY,
    );
    kept.free = true;
    this.#fill();
    const early = kept.sender.done.then(() => {
      throw new KithError("gone", "the gateway took the content before it was complete");
    });
    // `read` has no word for failure: `done` rejects when the content will never be complete.
    const read = await Promise.race([kept.sender.read, early]).catch((error: unknown) => {
      if (error instanceof KithError) throw error;
      if (error instanceof RangeError)
        throw new KithError("too-big", `the content has more than ${most} bytes`);
      throw new KithError("driver", "the content could not be read", { cause: error });
    });
    kept.until = this.#clock.mono() + times.keepContentMs;
    return { stream, role, type, size: read.size, sha256: new Uint8Array(read.sha256) };
  }

  /** The result is stored: the call's bytes may leave. */
  release(call: string): void {
    for (const kept of this.#kept.values())
      if (kept.sender.identity.call === call) kept.free = true;
    this.#fill();
  }

  /** The call has no result: its content goes. */
  drop(call: string, why: KithError): void {
    for (const kept of [...this.#kept.values()])
      if (kept.sender.identity.call === call) this.#end(kept.sender, why);
  }

  /** A stream for whoever has bytes that are not kept here, on the next channel of this link. */
  newStream(): { readonly stream: string; readonly ch: number } {
    return { stream: newId(this.#clock, this.#rng), ch: this.#channel() };
  }

  /** A new link is ready; nothing is opened on it before `reopen`. */
  attach(link: StreamLink): void {
    this.detach();
    this.#link = link;
    this.#nextChannel = 1;
  }

  detach(): void {
    this.#link = undefined;
    this.#opened = false;
    this.#byChannel.clear();
    for (const { sender } of this.#kept.values()) sender.detach();
  }

  /** The ledgers were compared, or nobody wants to: open what is not open on this link. */
  reopen(): void {
    this.#opened = this.#link !== undefined;
    this.#fill();
  }

  credit(ch: number, upto: number, from: number | undefined): void {
    this.#byChannel.get(ch)?.credit(upto, from);
  }

  done(ch: number): void {
    const sender = this.#byChannel.get(ch);
    if (sender) this.#end(sender, undefined);
  }

  /** The gateway will not have it. */
  refused(stream: string, code: string): void {
    const kept = this.#kept.get(stream);
    if (kept)
      this.#end(kept.sender, new KithError(fromWire(code), "the gateway refused the content"));
  }

  /** Nothing leaves any more; the spool stays for the next start. */
  stop(): void {
    this.#stopped = true;
    this.detach();
    this.#stopSweep();
    const kept = [...this.#kept.values()];
    this.#kept.clear();
    for (const { sender } of kept) sender.fail(stopped());
  }

  /** @throws KithError interrupted when the agent was stopped meanwhile; then the source is closed */
  #keep(
    { stream, call, role, type }: StreamIdentity,
    source: Source,
    most: number,
    forMs: number,
    path?: string,
  ): Kept {
    const sender = new StreamSender({ stream, call, role, type }, source, nativeHash, most);
    if (this.#stopped) {
      sender.done.catch(() => {}); // told to whoever brought the content
      sender.fail(stopped());
      throw stopped();
    }
    const kept = { sender, path, free: false, until: this.#clock.mono() + forMs };
    this.#kept.set(stream, kept);
    sender.done.catch(() => {
      if (!this.#kept.has(stream)) return;
      // It could not be read to its end, and the gateway waits for it.
      this.#link?.send({ t: "error", stream, code: "gone", text: "the content is no longer held" });
      this.#end(sender, undefined);
    });
    return kept;
  }

  #channel(): number {
    const ch = this.#nextChannel;
    this.#nextChannel += 2;
    return ch;
  }

  #fill(): void {
    if (!this.#link || !this.#opened || this.#kept.size === 0) return;
    const open = new Set(this.#byChannel.values());
    for (const { sender, free } of this.#kept.values()) {
      if (!free || open.has(sender)) continue;
      if (this.#byChannel.size >= limits.streamsPerLink) return;
      const ch = this.#channel();
      this.#byChannel.set(ch, sender);
      sender.attach(this.#link, ch);
    }
  }

  #end(sender: StreamSender, why: KithError | undefined): void {
    const path = this.#kept.get(sender.identity.stream)?.path;
    if (!this.#kept.delete(sender.identity.stream)) return;
    if (this.#byChannel.get(sender.ch) === sender) this.#byChannel.delete(sender.ch);
    if (why) sender.fail(why);
    else sender.finished();
    // What cannot be removed now is removed at the next start: nobody names it any more.
    if (path !== undefined) rm(path, { force: true, maxRetries: 3 }).catch(() => {});
    this.#fill();
    this.onQuiet();
  }

  #sweep(): void {
    this.#stopSweep = this.#clock.after(SWEEP_MS, () => {
      const now = this.#clock.mono();
      for (const { sender, until } of [...this.#kept.values()])
        if (now >= until)
          this.#end(sender, new KithError("gone", "nobody fetched the content in 15 minutes"));
      this.#sweep();
    });
  }
}

const stopped = () => new KithError("interrupted", "the agent was stopped");

function noRoom(cause: unknown): never {
  throw new KithError("disk-full", "the device cannot store the content", { cause });
}
