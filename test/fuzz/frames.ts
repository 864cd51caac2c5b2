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
import * as fc from "fast-check";
import { Packr } from "msgpackr";
import * as v from "valibot";
import { type Planted, type Report, quantile } from "../report/report.ts";
import { Random } from "./random.ts";
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
  const targets = Object.entries(ends).map(([name, schema]) => {
    const target = new Target(schema as v.GenericSchema);
    return { name, target, samples: valid(schema as v.GenericSchema) };
  });
  const timed = async (work: () => Promise<void>): Promise<void> => {
    const began = performance.now();
    await work();
    times.push(performance.now() - began);
  };
  // What is compiled and cached by the first of them is no growth.
  let before = 0;
  for (const round of [0.05, 0.95]) {
    for (const [at, { name, target, samples }] of targets.entries()) {
      const from = performance.now();
      const left = Math.max(1, ((until - from) * (round < 0.5 ? 0.05 : 1)) / (targets.length - at));
      const bend = (frame: object) =>
        timed(() => target.feed(CONTROL, message(packr.pack(frame)), undefined));
      const checked = await fc.check(
        fc.asyncProperty(bent(samples), async (frame) => {
          await bend(frame);
          done.structured++;
          if (target.wrong > 0) throw new Error("a frame was handed on that its schema refuses");
        }),
        {
          seed: seed + at,
          numRuns: Math.ceil((structured * round) / 2),
          interruptAfterTimeLimit: left / 3,
          markInterruptAsFailure: false,
        },
      );
      if (checked.failed) {
        done.escaped++;
        report.problem(`frames: ${name}: ${fc.defaultReportMessage(checked) ?? "failed"}`);
      }
      done.escaped += await spoil(target, samples, {
        chance: new Random(seed + at),
        times: Math.ceil((mutated * round) / 2),
        until: from + left,
        timed: async (work) => {
          done.mutated++;
          await timed(work);
        },
        escaped: (why) =>
          report.problem(
            `frames: ${name} let an error out: ${String(why)}; again with --seed ${seed}`,
          ),
      });
    }
    if (round < 0.5) before = heap();
  }
  for (const { target } of targets)
    for (const key of ["taken", "refused", "ended", "wrong"] as const) done[key] += target[key];
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

interface Spoiling {
  readonly chance: Random;
  readonly times: number;
  readonly until: number;
  timed(work: () => Promise<void>): Promise<void>;
  escaped(why: unknown): void;
}

/** Valid frames with other bytes: before they are sealed, and now and then on the wire. Returns errors that got out. */
async function spoil(target: Target, samples: fc.Arbitrary<unknown>, with_: Spoiling) {
  const { chance, times, until, timed } = with_;
  const packed = fc
    .sample(samples, { numRuns: 300, seed: 1 })
    .map((frame) => message(packr.pack(frame)));
  let escaped = 0;
  for (let n = 0; n < times && escaped < 5 && performance.now() < until; n++) {
    const plaintext = chance.pick(packed);
    const onWire = chance.chance(0.1);
    const type = chance.chance(0.05) ? chance.pick([0, CHUNK, 0xff]) : CONTROL;
    try {
      await timed(() =>
        onWire
          ? target.feed(type, plaintext, chance)
          : target.feed(type, mangled(plaintext, chance), undefined),
      );
    } catch (why) {
      escaped++;
      with_.escaped(why);
    }
  }
  return escaped;
}

const message = (packed: Uint8Array): Uint8Array => joinControl([packed])[0] ?? new Uint8Array();

/** A link that takes every map for a frame must be found out. */
async function unchecked(seed: number): Promise<Planted> {
  const target = new Target(v.looseObject({}), toGateway);
  const frames = fc.sample(bent(valid(toGateway)), { numRuns: 100, seed });
  for (const frame of frames) await target.feed(CONTROL, message(packr.pack(frame)), undefined);
  return {
    name: "frames handed on without their schema",
    by: "fuzz.frames.wrong",
    hits: frames.length,
    found: target.wrong,
  };
}
