/** A question to the model and a call of an own tool, as steps: what comes of them is an event, also when they fail. */
import { KithError, toFailure } from "@kith/shared/errors";
import type { Budget } from "../budgets/book.ts";
import type { Account } from "../budgets/usage.ts";
import type { Event } from "../runtime/effect.ts";
import type { OwnTool, ToolContext } from "../tools/tool.ts";
import type { Model, Question } from "./model.ts";
import { ModelFailure } from "./provider.ts";

/** What holds at the moment that something would be done, whatever held when it was asked for. */
export interface May {
  /** The owner turned everything off. */
  readonly off: boolean;
  isDenied(tool: string, whose: Whose): boolean;
}
export type Whose = Pick<ToolContext, "agent" | "chat" | "by">;

/** Nothing of an answer is acted on before it is whole, so one that broke off may be asked for again. */
const TRIES = 2;

/** @throws what is no KithError: a defect */
export async function performAsk(
  model: Model,
  may: Pick<May, "off">,
  question: Question,
  signal: AbortSignal,
): Promise<Event> {
  const { n } = question;
  for (let tries = 1; ; tries++)
    try {
      if (may.off) throw new KithError("locked", "everything is locked");
      return { type: "model.said", n, said: await model.ask(question, signal) } as Event;
    } catch (error) {
      if (!(error instanceof KithError)) throw error;
      const again = error instanceof ModelFailure && error.retryable && !signal.aborted;
      if (!again || tries >= TRIES)
        return { type: "model.failed", n, failure: toFailure(error, "none") } as Event;
    }
}

/** Never fails: its session waits for this very call. */
export async function performTool(
  tools: readonly OwnTool[],
  report: (what: string, error: unknown) => void,
  budget: Pick<Budget, "take">,
  may: May,
  { tool: name, args, context, account }: ToolCallStep,
  signal: AbortSignal,
): Promise<Event> {
  const { call } = context;
  const tool = tools.find((one) => one.name === name);
  try {
    if (!tool) throw new KithError("unsupported", `there is no ${name} here`);
    if (may.off) throw new KithError("locked", `everything is locked, also ${name}`);
    // The owner's lines may be other ones since it was asked for.
    if (may.isDenied(name, context))
      throw new KithError("not-granted", `the owner's permissions deny ${name}`);
    await budget.take(account, { calls: 1 });
    return { type: "tool.ended", call, result: await tool.run(args, context, signal) } as Event;
  } catch (error) {
    if (!(error instanceof KithError)) report(`tool ${name}`, error);
    const effect = tool?.class === "idempotent" ? "unknown" : "none";
    return { type: "tool.ended", call, failure: toFailure(error, effect) } as Event;
  }
}

interface ToolCallStep {
  readonly tool: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly context: ToolContext;
  readonly account: Account;
}
