/** What was used today, and how much there may be. */
import { amount, dayOf, kinds, scopes, used, type Usage } from "../budgets/usage.ts";
import { NOTHING } from "./lookup.ts";
import { type Method, type MethodsOptions, method } from "./method.ts";
import { table } from "./text.ts";

export function usageMethods({ runtime, limits, clock }: MethodsOptions): [string, Method][] {
  const { documents } = runtime;
  return [
    [
      "usage.list",
      method(NOTHING, () => {
        const day = dayOf(clock.now());
        const rows = documents.list<Usage>("usage").filter((row) => row.day === day);
        const all = used(documents, day, "day", { by: "", chat: "" });
        const text = kinds.flatMap((kind) => {
          const most = limits.day?.[kind];
          const spent = all[kind];
          if (spent === undefined && most === undefined) return [];
          const of = most === undefined ? "" : `of ${amount(kind, most)}`;
          return [[kind, amount(kind, spent ?? 0), of]];
        });
        const others = scopes.filter((scope) => scope !== "day" && limits[scope] !== undefined);
        const more =
          others.length > 0 ? `\nThere are limits for each ${others.join(", ")}, too.` : "";
        return {
          out: { day, used: all, limits, rows },
          text:
            text.length > 0
              ? `Today:\n${table(text)}${more}`
              : "Nothing was used today, and nothing is limited.",
        };
      }),
    ],
  ];
}
