/** Both ends of a stream in memory: content that tells its offset, a sink, and links that can be cut. */
import { createHash } from "node:crypto";
import { KithError } from "@kith/shared/errors";
import { hex } from "@kith/shared/ids";
import type { Frame } from "@kith/shared/protocol/frames";
import { limits } from "@kith/shared/protocol/limits";
import { type Sink, StreamReceiver } from "@kith/shared/streams/receiver";
import { type Source, type StreamLink, StreamSender } from "@kith/shared/streams/sender";

export const MIB = 1_048_576;
export const identity = { stream: "S", call: "C", role: "image", type: "image/jpeg" };

/** Bytes that tell their own offset, made when they are asked for. */
const byte = (at: number) => (at * 2_654_435_761) >>> 24;
export const content = (from: number, length: number) =>
  Uint8Array.from({ length }, (_, at) => byte(from + at));

export function source(size: number, known = true): Source & { closed: number; reads: number } {
  return {
    ...{ size: known ? size : undefined, closed: 0, reads: 0 },
    read(offset, most) {
      this.reads++;
      return Promise.resolve(content(offset, Math.max(0, Math.min(most, size - offset))));
    },
    close() {
      this.closed++;
      return Promise.resolve();
    },
  };
}

/** Keeps what was written and checks it as a disk would. `hold` lets writes wait. */
export class Memory implements Sink {
  readonly parts: Uint8Array[] = [];
  length = 0;
  waiting: (() => void)[] | undefined;
  finished = false;

  async write(parts: readonly Uint8Array[]): Promise<void> {
    if (this.waiting) await new Promise<void>((resolve) => this.waiting?.push(resolve));
    for (const part of parts) {
      this.parts.push(part.slice());
      this.length += part.length;
    }
  }
  finish(size: number, sha256: Uint8Array): Promise<void> {
    const hash = createHash("sha256");
    for (const part of this.parts) hash.update(part);
    if (size !== this.length || hash.digest("hex") !== hex(sha256))
      return Promise.reject(new KithError("hash-mismatch", "it is other content"));
    this.finished = true;
    return Promise.resolve();
  }
  closed = 0;
  discarded = 0;
  close(): Promise<void> {
    this.closed++;
    return Promise.resolve();
  }
  discard(): Promise<void> {
    this.discarded++;
    return Promise.resolve();
  }
}

/** One link: frames and chunks arrive in order, a turn later. `cut` drops everything from then on. */
export function link(
  sender: StreamSender,
  sink: Memory,
  ch: number,
  options: { most?: number; window?: number; spoil?: (data: Uint8Array) => Uint8Array } = {},
) {
  const log: string[] = [];
  const state = {
    cut: false,
    highest: 0,
    credit: 0,
    chunks: 0,
    roomy: true,
    error: undefined as unknown,
    outcome: undefined as string | undefined,
    log,
  };
  let receiver: StreamReceiver | undefined;
  const later = (run: () => void) => void Promise.resolve().then(() => state.cut || run());
  const back = {
    send(frame: Frame) {
      if (frame.t === "stream.credit") state.credit = Math.max(state.credit, frame.upto);
      log.push(frame.t);
      later(() => {
        if (frame.t === "stream.credit") sender.credit(frame.upto, frame.from);
        if (frame.t === "stream.done") sender.finished();
      });
    },
  };
  const out: StreamLink = {
    get roomy() {
      return state.roomy;
    },
    drained: () => Promise.resolve(),
    send(frame) {
      log.push(frame.t);
      later(() => {
        if (frame.t === "stream.open") {
          const events = {
            done: () => void (state.outcome = "done"),
            failed: (error: KithError) => void (state.outcome = error.code),
          };
          receiver = new StreamReceiver(
            frame.ch,
            back,
            sink,
            events,
            options.most ?? 64 * MIB,
            options.window ?? limits.creditPerStream,
          );
        }
        if (frame.t === "stream.end") receiver?.end(frame.size, frame.sha256);
      });
    },
    sendChunk(_, offset, data) {
      state.chunks++;
      state.highest = Math.max(state.highest, offset + data.length);
      if (offset + data.length > state.credit) state.error = "a chunk beyond the credit";
      if (data.length === 0 || data.length > limits.chunkBytes)
        state.error = `a chunk of ${data.length} bytes`;
      later(() => {
        try {
          receiver?.chunk(offset, options.spoil?.(data) ?? data);
        } catch (error) {
          state.error = error;
        }
      });
    },
  };
  sender.attach(out, ch);
  return {
    state,
    get receiver() {
      return receiver;
    },
    async cut() {
      state.cut = true;
      sender.detach();
      await receiver?.stop(true);
    },
  };
}

export const settled = async () => {
  for (let at = 0; at < 200; at++) await new Promise((resolve) => setImmediate(resolve));
};
