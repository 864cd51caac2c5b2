/** Skills: which there are, what is wrong with them, and the owner's word about one. */
import { KithError } from "@kith/shared/errors";
import { str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import type { Event } from "../runtime/effect.ts";
import type { Diagnostic } from "../skills/diagnostic.ts";
import { type Skill, reason } from "../skills/skills.ts";
import { ASK, NOTHING } from "./lookup.ts";
import { type Method, type MethodsOptions, atCommandLine, method } from "./method.ts";
import { table } from "./text.ts";

export function skillMethods({ skills, runtime }: MethodsOptions): [string, Method][] {
  const all = (): readonly Skill[] => skills?.all() ?? [];
  return [
    [
      "skills.list",
      method(NOTHING, () => {
        const found = all();
        const lines = found.map((one) => [
          one.id,
          one.where,
          reason(one),
          one.description.slice(0, 80),
        ]);
        return {
          out: { skills: found.map(told) },
          text: lines.length > 0 ? table(lines) : "There is no skill.",
        };
      }),
    ],
    [
      "skills.check",
      method(v.strictObject({ folder: str(4_096) }), ({ folder }, caller) => {
        atCommandLine(caller);
        const checked = skills?.check(folder) ?? [];
        const text = checked.map(({ id, diagnostics }) => `${id}: ${verdict(diagnostics)}`);
        return {
          out: { skills: checked.map(({ id, name, diagnostics }) => ({ id, name, diagnostics })) },
          text: text.join("\n") || "There is no skill in that folder.",
        };
      }),
    ],
    [
      "skills.approve",
      method(
        v.strictObject({
          name: str(128),
          hash: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))),
        }),
        async ({ name, hash }, caller) => {
          // It widens what a model is told: never from a chat.
          atCommandLine(caller);
          const [skill, another] = all().filter(({ id, key }) => id === name || key === name);
          if (!skill) throw new KithError("skill-unknown", `there is no skill ${name}`);
          if (another) throw new KithError("id-ambiguous", `say ${skill.key} or ${another.key}`);
          if (skill.state === "broken") throw new KithError("skill-unknown", reason(skill));
          if (hash !== undefined && hash !== skill.hash)
            throw new KithError("conflict", `${name} has changed since it was shown`);
          if (skill.state === "unapproved" || skill.state === "changed")
            await runtime.ask(
              `skill/${skill.key}`,
              { type: "skill.approved", hash: skill.hash, by: caller.by } as Event,
              ASK,
            );
          return {
            out: { skill: skill.key, hash: skill.hash, diagnostics: skill.diagnostics },
            text: `Approved as it is now: ${skill.key}. ${verdict(skill.diagnostics)}`,
          };
        },
      ),
    ],
  ];
}

const told = (skill: Skill) => ({
  ...{ id: skill.id, where: skill.where, name: skill.name, description: skill.description },
  ...{ state: skill.state, why: reason(skill), hash: skill.hash, diagnostics: skill.diagnostics },
});

const verdict = (diagnostics: readonly Diagnostic[]): string =>
  diagnostics.length === 0
    ? "nothing to say."
    : diagnostics
        .map(({ severity, class: kind, file, line, message }) => {
          const place = line > 0 ? `${file}:${line}` : file;
          return `\n  ${severity}  ${kind}${place === "" ? "" : `  ${place}`}  ${message}`;
        })
        .join("");
