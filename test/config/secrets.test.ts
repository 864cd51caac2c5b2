import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { readConfig, readSecret } from "@kith/gateway/config";
import { Secret } from "@kith/gateway/secret";
import { Secrets } from "@kith/gateway/secrets";
import { expect, onTestFinished, test } from "vitest";

const CANARY = "sk-canary-4711";

function start() {
  const home = mkdtempSync(join(tmpdir(), "kith-secrets-"));
  onTestFinished(() => rmSync(home, { recursive: true }));
  const secrets = new Secrets(home);
  const set = (name: string, value = CANARY) => secrets.set(name, new Secret(value));
  return { home, secrets, set, file: join(home, "secrets"), key: join(home, "keys/secrets.key") };
}
const unsafe = expect.objectContaining({ code: "home-unsafe" });
const shown = (secret: Secret) => secret.use((value) => value);

test("what is set is read again, by others too, and is in no file as it was", () => {
  const { home, secrets, set, file, key } = start();
  expect(secrets.names()).toEqual([]);
  set("b");
  set("a", "other");
  expect(secrets.names()).toEqual(["a", "b"]);
  expect(shown(readSecret("${secret:b}", home))).toBe(CANARY);
  expect([statSync(file).mode & 0o777, statSync(key).mode & 0o777]).toEqual([0o600, 0o600]);
  const sealed = readFileSync(file);
  for (const form of ["utf8", "base64", "hex"] as const)
    expect(sealed.toString("latin1")).not.toContain(Buffer.from(CANARY).toString(form));
  expect(sealed.toString("latin1")).not.toContain('"b"');
});

test("one that is set anew counts at its next use, one that is removed is gone", () => {
  const { home, secrets, set } = start();
  set("a");
  const secret = readSecret("${secret:a}", home);
  expect(inspect(secret, { showHidden: true, depth: 9 })).not.toContain(CANARY);
  set("a", "new");
  expect(shown(secret)).toBe("new");
  expect([secrets.remove("a"), secrets.remove("a")]).toEqual([true, false]);
  expect(() => shown(secret)).toThrow("there is no secret a");
  expect(() => readSecret("${secret:a}", home)).toThrow("there is no secret a");
});

test("a name that every object has is one like any other", () => {
  const { secrets, set } = start();
  set("__proto__");
  expect(secrets.names()).toEqual(["__proto__"]);
  expect(() => secrets.get("constructor")).toThrow("there is no secret");
  expect(secrets.remove("toString")).toBe(false);
});

test.each<[string, (world: ReturnType<typeof start>) => void]>([
  ["a changed byte", ({ file }) => writeFileSync(file, readFileSync(file).fill(0, 40, 42))],
  ["another version", ({ file }) => writeFileSync(file, readFileSync(file).fill(2, 0, 1))],
  ["half of it", ({ file }) => writeFileSync(file, readFileSync(file).subarray(0, 20))],
  ["another's key", ({ key }) => writeFileSync(key, Buffer.alloc(32))],
  ["no key", ({ key }) => rmSync(key)],
  ["a file that others may read", ({ file }) => chmodSync(file, 0o644)],
  ["a key that others may read", ({ key }) => chmodSync(key, 0o644)],
])("with %s nothing is read, and nothing is written over it", (_what, spoil) => {
  const world = start();
  world.set("a");
  spoil(world);
  const before = readFileSync(world.file);
  expect(() => world.secrets.names()).toThrow(unsafe);
  expect(() => world.set("b")).toThrow(unsafe);
  expect(readFileSync(world.file)).toEqual(before);
});

test("256 are kept, one more is not, and a known one may still be changed", () => {
  const { set } = start();
  for (let n = 0; n < 256; n++) set(`n${n}`);
  expect(() => set("more")).toThrow(expect.objectContaining({ code: "bad-args" }));
  set("n0", "new");
});

test("config.yaml may name one, and not by a path", () => {
  const { home } = start();
  const write = (reference: string) =>
    writeFileSync(
      join(home, "config.yaml"),
      `model:\n  provider: ollama\n  name: x\n  apiKey: ${reference}\n`,
    );
  write("${secret:my.key-1}");
  expect(readConfig(home).model?.[0]?.apiKey).toBe("${secret:my.key-1}");
  write("${secret:../x}");
  expect(() => readConfig(home)).toThrow("expected a reference");
});
