import { inspect } from "node:util";
import { Secret } from "@kith/gateway/secret";
import { expect, test } from "vitest";

const VALUE = "sk-canary-4711";
const secret = new Secret(VALUE);

test("a secret's value is handed to the function that uses it", () => {
  expect(secret.use((value) => value.length)).toBe(VALUE.length);
});

test.each<[string, () => unknown]>([
  ["as a string", () => `${secret as unknown as string} ${String(secret)}`],
  ["as JSON", () => JSON.stringify({ secret, list: [secret] })],
  ["to an inspector", () => inspect(secret, { showHidden: true, depth: 9, getters: true })],
  ["in an error", () => inspect(new Error("x", { cause: { secret } }), { showHidden: true })],
  ["when it is spread", () => ({ ...secret, ...Object.assign({}, secret) })],
  ["when it is copied", () => structuredClone({ secret })],
  ["by its keys", () => Reflect.ownKeys(secret)],
])("a secret shows nothing %s", (_how, shown) => {
  expect(inspect(shown(), { depth: 9 })).not.toContain("canary");
});
