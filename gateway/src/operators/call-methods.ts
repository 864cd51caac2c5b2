/** The method that makes a call, and how a call's end is told to whoever waits. */
import { KithError } from "@kith/shared/errors";
import { newId } from "@kith/shared/ids";
import { name, str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { durations } from "../grants/grant.ts";
import type { Outcome } from "../invocations/request.ts";
import { ended as endedMessage, short } from "../sessions/words.ts";
import { type Answer, type Method, type MethodsOptions, method } from "./method.ts";

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

const duration = v.picklist(durations);

export function callMethods({ waiting, clock, rng }: MethodsOptions): [string, Method][] {
  return [
    [
      "invoke",
      method(
        v.strictObject({
          device: str(256),
          cap: name(48),
          args: v.optional(v.record(str(31), v.unknown()), {}),
          allow: v.optional(duration),
          wait_ms: v.optional(
            v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(3_600_000)),
            0,
          ),
        }),
        async ({ device: said, cap, args, allow, wait_ms }, { by }) => {
          const { first, end, forget } = await waiting.request(newId(clock, rng), {
            device: said,
            cap,
            args,
            requester: "owner",
            by,
            ...(allow === undefined ? {} : { allow }),
          });
          if (first.state !== "asked") return ended(await end);
          if (wait_ms === 0) {
            forget();
            throw new ApprovalNeeded(first);
          }
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
  ];
}
