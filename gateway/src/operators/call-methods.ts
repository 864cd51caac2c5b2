/** The method that makes a call, and how a call's end is told to whoever waits. */
import { KithError } from "@kith/shared/errors";
import { newId } from "@kith/shared/ids";
import { mediaType, name, str, u53 } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { durations } from "../grants/grant.ts";
import { MOST_DELIVER_MS } from "../invocations/make.ts";
import type { Outcome } from "../invocations/outcome.ts";
import { ended as endedMessage, short, waits } from "../sessions/words.ts";
import { ASK, event, one } from "./lookup.ts";
import { type Answer, type Caller, type Method, type MethodsOptions, method } from "./method.ts";

/** An error with more than a code: which question must be answered first. */
export class ApprovalNeeded extends KithError {
  readonly approval: string;
  constructor(outcome: Outcome) {
    super(
      "approval-needed",
      `${outcome.cap} of ${outcome.name} needs your permission (${short(outcome.call)})`,
    );
    this.approval = outcome.call;
  }
  override get remedy(): string {
    return `Allow it with \`kith allow ${short(this.approval)} once\` (or 15m, 1h, today), or \`kith deny ${short(this.approval)}\`.`;
  }
}

/** How a call failed, with a remedy that names its capability. */
class CallFailed extends KithError {
  readonly #cap: string;
  constructor({ state, failure, cap }: Outcome) {
    super(
      state === "unknown" ? "unknown" : (failure?.code ?? "internal"),
      failure?.message ?? "it ended without a reason",
    );
    this.#cap = cap;
  }
  override get remedy(): string {
    return super.remedy.replace("CAP", this.#cap);
  }
}

/** @throws KithError with the call's own code when it did not end well */
export function ended(outcome: Outcome): Answer {
  if (outcome.state === "done") {
    return {
      out: {
        call: outcome.call,
        device: outcome.device,
        name: outcome.name,
        out: outcome.out ?? {},
        streams: outcome.streams ?? [],
      },
      text: endedMessage(outcome, true).text,
    };
  }
  throw new CallFailed(outcome);
}

const OCTETS = "application/octet-stream";
/** How often somebody who waits hears of it: a terminal shows no more. */
const PROGRESS_MS = 250;
const duration = v.picklist(durations);
/** As `content.put` and results name it. */
const content = v.strictObject({
  sha256: v.pipe(str(64), v.regex(/^[0-9a-f]{64}$/, "must be 64 hex digits")),
  type: mediaType,
  bytes: u53,
});

export function callMethods({
  runtime,
  calls,
  waiting,
  clock,
  rng,
  contents,
  presence,
}: MethodsOptions): [string, Method][] {
  /** Tells now and then how far the content of a call is, as long as the call is open. */
  const watch = (id: string, tell: NonNullable<Caller["tell"]>, told = 0): void => {
    const call = calls.get(id);
    if (!call) return;
    const moved = presence.get(call.device)?.moved(id);
    if (moved && moved.bytes !== told) tell("call.progress", { call: id, ...moved });
    clock.after(PROGRESS_MS, () => watch(id, tell, moved?.bytes ?? told));
  };
  return [
    [
      "invoke",
      method(
        v.strictObject({
          device: str(256),
          cap: name(48),
          args: v.optional(v.record(str(31), v.unknown()), {}),
          content: v.optional(content),
          allow: v.optional(duration),
          /** May wait so long for a device that is away. */
          deliver_s: v.optional(
            v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MOST_DELIVER_MS / 1_000)),
          ),
          /** With it: also until somebody unlocks the device. */
          unlocked: v.optional(v.boolean(), false),
          wait_ms: v.optional(
            v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(3_600_000)),
            0,
          ),
          /** Tells how far its content is. */
          progress: v.optional(v.boolean(), false),
        }),
        async (
          {
            device: said,
            cap,
            args,
            content: brought,
            allow,
            deliver_s,
            unlocked,
            wait_ms,
            progress,
          },
          { by, tell },
        ) => {
          const { first, end, forget } = await waiting.request(newId(clock, rng), {
            device: said,
            cap,
            args,
            requester: "owner",
            by,
            ...(brought === undefined ? {} : { content: brought }),
            ...(allow === undefined ? {} : { allow }),
            ...(deliver_s === undefined ? {} : { deliverMs: deliver_s * 1_000 }),
            ...(unlocked && { unlocked }),
          });
          const held = deliver_s === undefined ? undefined : calls.get(first.call);
          const why = held?.state === "ready" ? calls.waitsFor(held) : undefined;
          if (held && why) {
            forget();
            const { call, name } = first;
            const until = held.deadlineAt;
            return {
              out: { call, device: first.device, name, waits: true, until },
              text: waits(call, name, until, why === "unlock").text,
            };
          }
          if (first.state === "asked" && wait_ms === 0) {
            forget();
            throw new ApprovalNeeded(first);
          }
          if (progress && tell) watch(first.call, tell);
          if (first.state !== "asked") return ended(await end);
          const late = Promise.withResolvers<undefined>();
          const cancel = clock.after(Math.min(wait_ms, 30_000), () => late.resolve(undefined));
          let outcome = await Promise.race([end, late.promise]);
          for (let left = wait_ms - 30_000; !outcome && left > 0; left -= 30_000) {
            const again = Promise.withResolvers<undefined>();
            clock.after(Math.min(left, 30_000), () => again.resolve(undefined));
            outcome = await Promise.race([end, again.promise]);
          }
          cancel();
          if (outcome) return ended(outcome);
          forget();
          throw new ApprovalNeeded(first);
        },
      ),
    ],
    [
      "content.put",
      method(
        v.strictObject({ path: str(4_096), type: v.optional(mediaType, OCTETS) }),
        async ({ path, type }, { key }) => {
          // Whoever speaks in a chat names no file of this machine.
          if (key !== undefined) throw new KithError("not-granted", "only at the command line");
          const put = await contents.put(path, type, newId(clock, rng));
          return { out: { ...put }, text: "" };
        },
      ),
    ],
    [
      "calls.cancel",
      method(v.strictObject({ id: str(32) }), async ({ id }, { by }) => {
        const waiting = calls.list().filter(({ state }) => state === "asked" || state === "ready");
        const call = one(waiting, id, "call-unknown", "call that waits");
        const { cancelled } = await runtime.ask<{ cancelled: boolean }>(
          `invocation/${call.id}`,
          event({ type: "owner.cancelled", by } as never),
          ASK,
        );
        if (!cancelled) throw new KithError("call-unknown", "it has begun, or is over");
        return {
          out: { call: call.id },
          text: `Taken back: ${call.cap} of ${call.name}.`,
        };
      }),
    ],
  ];
}
