import { inspect } from "node:util";
import { Secret, without } from "@kith/gateway/secret";
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

test.each<[string, (value: string) => string]>([
  ["as it is", (value) => value],
  ["in an address", encodeURIComponent],
  ["in hex", (value) => Buffer.from(value).toString("hex")],
  ["in capital hex", (value) => Buffer.from(value).toString("hex").toUpperCase()],
  ...[0, 1, 2, 3].flatMap((shift) =>
    (["base64", "base64url"] as const).map((form): [string, (value: string) => string] => [
      `in ${form} behind ${shift} bytes`,
      (value) => Buffer.from(`${"x".repeat(shift)}${value} y`).toString(form),
    ]),
  ),
])("a service's words are told without the key %s", (_how, written) => {
  const key = "sk-canary/4711+=ü";
  const told = without(new Secret(key), `no ${written(key)}, no`);
  expect(told).toMatch(/^no .*…/);
  // Some letters at its ends are shared with what stands beside it.
  expect(told.length).toBeLessThan(24);
});

test("an empty secret hides nothing, and a text without it stays", () => {
  expect(without(new Secret(""), "a b")).toBe("a b");
  expect(without(new Secret("key"), "a b")).toBe("a b");
});
