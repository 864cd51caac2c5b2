/**
 * One request to a service, from the asking to the last event: what ends it early, and its bounds.
 *
 *     service ─► watched: abort, silence, what was thrown ─► read: this service's shape ─► bounds ─► session
 */
import * as v from "valibot";
import type { ModelEvent } from "../provider.ts";
import { type Service, badAnswer, thrownFailure } from "./failure.ts";

/** Of an answer's text, in UTF-8, and as much again of its calls' arguments. */
export const TEXT_BYTES = 256 * 1_024;

/**
 * A service that says nothing for so long is given up, whatever it was doing: an SDK may be waiting
 * to ask again, a local model may be loading. Less than the five minutes of Node's `fetch`, after
 * which an SDK would begin anew.
 */
const SILENCE_MS = 4 * 60_000;

/** The service's own events, parsed but unchecked. */
export type Raw = AsyncIterable<unknown>;

/**
 * @param ask starts the request, which ends with its signal
 * @param read checks each event, and yields `end` once it is sure that the answer is whole
 * @throws ModelFailure, or the reason of `signal`
 */
export async function* answer(
  service: Service,
  signal: AbortSignal,
  ask: (signal: AbortSignal) => Promise<Raw>,
  read: (raw: Raw) => AsyncIterable<ModelEvent>,
): AsyncGenerator<ModelEvent> {
  let bytes = 0;
  let heard = false;
  async function* heeded() {
    for await (const event of watched(service, signal, ask)) {
      heard = true;
      yield event;
    }
  }
  for await (const event of read(heeded())) {
    if (event.type === "text") {
      if (event.text === "") continue;
      bytes += Buffer.byteLength(event.text);
      if (bytes > TEXT_BYTES) throw badAnswer(service, "wrote more than 256 KiB");
    }
    yield event;
    if (event.type === "end") return;
  }
  // A web page, or words of another kind, are no event of an SDK.
  throw badAnswer(
    service,
    heard ? "ended in the middle of its answer" : "gave no answer of a model; check baseUrl",
  );
}

async function* watched(
  service: Service,
  signal: AbortSignal,
  ask: (signal: AbortSignal) => Promise<Raw>,
): AsyncGenerator {
  signal.throwIfAborted();
  const request = new AbortController();
  const events = started(ask, request.signal);
  /** Ends the wait for the next event. The SDKs hear of an abort, but when they tell is theirs. */
  let end: (why: unknown) => void = () => {};
  const abort = () => end(signal.reason);
  signal.addEventListener("abort", abort);
  const silence = setTimeout(
    () => end(badAnswer(service, `said nothing for ${SILENCE_MS / 60_000} minutes`)),
    SILENCE_MS,
  );
  try {
    for (let begun = false; ; begun = true) {
      signal.throwIfAborted();
      silence.refresh();
      const next = await new Promise<IteratorResult<unknown>>((resolve, reject) => {
        end = reject;
        events.next().then(resolve, (why) => reject(thrownFailure(service, why, begun)));
      });
      if (next.done) return;
      yield next.value;
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", abort);
    request.abort();
    // What it throws now is that we aborted it.
    events.return(undefined).catch(() => {});
  }
}

async function* started(
  ask: (signal: AbortSignal) => Promise<Raw>,
  signal: AbortSignal,
): AsyncGenerator {
  yield* await ask(signal);
}

/** Checks what a service sent. @throws ModelFailure */
export function checked<const S extends v.GenericSchema>(
  service: Service,
  schema: S,
  value: unknown,
): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value);
  if (!parsed.success) throw badAnswer(service, "sent what is no answer of a model");
  return parsed.output;
}

/** How many tokens: a count that is missing or none is 0. */
export const tokens = v.fallback(v.pipe(v.number(), v.safeInteger(), v.minValue(0)), 0);
