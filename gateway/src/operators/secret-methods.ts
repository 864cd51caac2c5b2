/** Secrets of config.yaml, by name. A value comes in here as text, becomes a `Secret` at once, and never goes out. */
import { KithError } from "@kith/shared/errors";
import * as v from "valibot";
import { Secret } from "../secret.ts";
import { SECRET_NAME, Secrets, VALUE_BYTES } from "../secrets.ts";
import { begin } from "./deeds.ts";
import { NOTHING } from "./lookup.ts";
import { type Method, type MethodsOptions, atCommandLine, method } from "./method.ts";
import { tryOut } from "./model-methods.ts";

const NAME = "a name of letters, digits, _, - and ., at most 64";
const VALUE = "one line of 1 byte to 64 KiB, without control characters";
const name = v.pipe(v.string(NAME), v.regex(SECRET_NAME, NAME));
/** No message of these repeats what was given. */
const value = v.pipe(
  v.string(VALUE),
  v.maxBytes(VALUE_BYTES, VALUE),
  v.regex(/^\P{Cc}+$/u, VALUE),
  v.transform((text) => new Secret(text)),
);

export function secretMethods({ home, model, clock, runtime }: MethodsOptions): [string, Method][] {
  const secrets = new Secrets(home);
  return [
    [
      "secrets.list",
      method(NOTHING, (_, caller) => {
        atCommandLine(caller);
        const names = secrets.names();
        return { out: { names }, text: names.join("\n") || "There are none." };
      }),
    ],
    [
      "secrets.set",
      method(v.strictObject({ name, value }), async (given, caller) => {
        atCommandLine(caller);
        await begin(runtime, "secret.set", { name: given.name, by: caller.by });
        secrets.set(given.name, given.value);
        // A model whose key was not accepted is asked no more, unless it is tried out and answers.
        const out = (model?.provider.choices?.() ?? []).filter(({ state }) => state === "out");
        const tried = await Promise.all(out.map((one) => tryOut(one, clock)));
        const lines = [`${given.name} is set, and counts from its next use on.`];
        return {
          out: { name: given.name },
          text: [...lines, ...tried.map(({ text }) => text)].join("\n"),
        };
      }),
    ],
    [
      "secrets.remove",
      method(v.strictObject({ name }), async (given, caller) => {
        atCommandLine(caller);
        if (secrets.names().includes(given.name))
          await begin(runtime, "secret.removed", { name: given.name, by: caller.by });
        if (!secrets.remove(given.name))
          throw new KithError("bad-args", `there is no secret ${given.name}`);
        return { out: { name: given.name }, text: `${given.name} is removed.` };
      }),
    ],
  ];
}
