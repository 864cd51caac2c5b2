/**
 * Frames that are nearly right, sealed with the right keys, at both ends: the gateway's links
 * (paired, and in pairing) and the node's. Nothing may throw past the link, hang, keep memory,
 * or hand on a frame that its schema does not know.
 */
import { randomBytes } from "node:crypto";
import { importKey, seal } from "@kith/shared/noise/cipher";
import { Channel, type ChannelKeys } from "@kith/shared/protocol/channel";
import { joinControl } from "@kith/shared/protocol/codec";
import { toGateway, toGatewayPairing, toNode, toNodePairing } from "@kith/shared/protocol/frames";
import type { Transport } from "@kith/shared/transport";
import { Packr } from "msgpackr";
import * as v from "valibot";
import { type Planted, type Report, quantile } from "../report/report.ts";
import { type Random, random } from "./random.ts";
import { bent, mangled, valid } from "./samples.ts";

const ends = { toGateway, toGatewayPairing, toNode, toNodePairing } as const;
/** Like ours, but it writes whatever it is given: dates, sets, undefined. */
const packr = new Packr({ useRecords: false });
const CONTROL = 0x10;
const CHUNK = 0x11;

export interface Effort {
  /** Frames bent in their structure, and frames with other bytes, at each end. */
  readonly structured: number;
  readonly mutated: number;
  readonly seed: number;
  /** Stops early at this time of `performance.now()`. */
  readonly until: number;
}

/** One link of an end: it lives until something ends it, then the next one begins. */
class Target {
  readonly #schema: v.GenericSchema;
  readonly #judge: v.GenericSchema;
  #channel: Channel<v.GenericSchema> | undefined;
  #key = importKey(randomBytes(32)) as ChannelKeys["send"];
  #sent = 0;
  /** Frames and chunks that were handed on; frames of no known shape; links that ended. */
  taken = 0;
  refused = 0;
  ended = 0;
  /** Handed on although no schema knows it. */
  wrong = 0;

  /** `judge` says which frames may be handed on; another one than `schema` only for a planted fault. */
  constructor(schema: v.GenericSchema, judge = schema) {
    this.#schema = schema;
    this.#judge = judge;
  }

  async feed(type: number, plaintext: Uint8Array, spoil: Random | undefined): Promise<void> {
    const channel = (this.#channel ??= this.#fresh());
    const sealed = await seal(this.#key, this.#sent++, Uint8Array.of(type), plaintext);
    const message = Buffer.concat([Uint8Array.of(type), sealed]);
    channel.receive(spoil ? mangled(message, spoil) : message);
  }

  #fresh(): Channel<v.GenericSchema> {
    this.#sent = 0;
    const gone = () => {
      this.ended++;
      this.#channel = undefined;
    };
    const wire: Transport = {
      send() {},
      buffered: 0,
      close: gone,
      terminate: gone,
      pause() {},
      resume() {},
    };
    const keys = { send: this.#key, receive: this.#key };
    let malformed = 0;
    const channel: Channel<v.GenericSchema> = new Channel<v.GenericSchema>(
      wire,
      keys,
      this.#schema,
      {
        onFrame: (frame) => {
          this.taken++;
          if (!v.is(this.#judge, frame)) this.wrong++;
        },
        onChunk: (ch, offset, data) => {
          this.taken++;
          if (!Number.isSafeInteger(offset) || ch < 0 || data.length === 0) this.wrong++;
        },
        // As the links do it: five and the link is over.
        onMalformed: () => {
          this.refused++;
          if (++malformed < 5) return;
          channel.close();
          gone();
        },
        onFault: gone,
        onRollover() {},
      },
      queueMicrotask,
    );
    return channel;
  }
}

/** Heap in use after collecting, in bytes. */
function heap(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

export async function frames(report: Report, { structured, mutated, seed, until }: Effort) {
  const times: number[] = [];
  const done = { structured: 0, mutated: 0, taken: 0, refused: 0, ended: 0, wrong: 0, escaped: 0 };
  const each = Object.entries(ends);
  let before = heap();
  for (const [at, [name, schema]] of each.entries()) {
    const chance = random(seed + at);
    const target = new Target(schema as v.GenericSchema);
    const from = performance.now();
    const limit = from + (until - from) / (each.length - at);
    const enough = { structured: Math.ceil(structured / 2), mutated: Math.ceil(mutated / 2) };
    for (let n = 0; n < enough.structured + enough.mutated && performance.now() < limit; n++) {
      if (n === 2_000) before = Math.max(before, heap()); // What is compiled and cached by now is no growth.
      // Both kinds all the way, in the proportion that was asked for.
      const bend =
        (n * enough.structured) % (enough.structured + enough.mutated) < enough.structured;
      const frame = valid(schema as v.GenericSchema, chance) as object;
      const packed = packr.pack(bend ? bent(frame, chance) : frame);
      const message = joinControl([packed])[0] ?? new Uint8Array();
      const began = performance.now();
      try {
        if (bend) {
          done.structured++;
          await target.feed(CONTROL, message, undefined);
        } else {
          done.mutated++;
          const onWire = chance.float() < 0.1;
          const type = chance.float() < 0.05 ? chance.pick([0, CHUNK, 0xff]) : CONTROL;
          await target.feed(
            type,
            onWire ? message : mangled(message, chance),
            onWire ? chance : undefined,
          );
        }
      } catch (why) {
        done.escaped++;
        report.problem(
          `frames: ${name} let an error out: ${String(why)} (again: npm run fuzz -- --only frames --seed ${seed})`,
        );
        if (done.escaped > 5) return;
      }
      times.push(performance.now() - began);
    }
    for (const key of ["taken", "refused", "ended", "wrong"] as const) done[key] += target[key];
  }
  report.planted(await unchecked(seed));
  const growth = (heap() - before - times.length * 8) / 1_048_576;
  report.figure("fuzz.frames.structured", done.structured, { unit: "frames" });
  report.figure("fuzz.frames.mutated", done.mutated, { unit: "frames" });
  report.figure("fuzz.frames.escaped", done.escaped, {
    unit: "errors",
    goal: { op: "==", value: 0 },
  });
  report.figure("fuzz.frames.wrong", done.wrong, { unit: "frames", goal: { op: "==", value: 0 } });
  report.figure("fuzz.frames.refused", done.refused + done.ended, {
    unit: "answers",
    goal: { op: ">=", value: 1 },
  });
  report.figure("fuzz.frames.p999", quantile(times, 0.999), {
    unit: "ms",
    goal: { op: "<=", value: 50 },
  });
  report.figure("fuzz.frames.heap", growth, { unit: "MiB", goal: { op: "<=", value: 2 } });
}

/** A link that takes every map for a frame must be found out. */
async function unchecked(seed: number): Promise<Planted> {
  const chance = random(seed);
  const target = new Target(v.looseObject({}), toGateway);
  const hits = 100;
  for (let n = 0; n < hits; n++) {
    const packed = packr.pack(bent(valid(toGateway, chance) as object, chance));
    await target.feed(CONTROL, joinControl([packed])[0] ?? new Uint8Array(), undefined);
  }
  return {
    name: "frames handed on without their schema",
    by: "fuzz.frames.wrong",
    hits,
    found: target.wrong,
  };
}
