import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { remedies } from "@kith/shared/errors";
import { describe, expect, test } from "vitest";
import { fakeGateway, freshHome, kith } from "./kith.ts";

/** Plain JavaScript without declarations: what is tested of it is typed here. */
const client = <T>(name: string): Promise<T> =>
  import(new URL(`../../gateway/bin/${name}`, import.meta.url).href) as Promise<T>;

const { remedies: own } = await client<{ remedies: Record<string, string> }>("control.mjs");
const { verbs } = await client<{ verbs: Record<string, unknown> }>("verbs.mjs");
const { tame, toJson } = await client<{
  tame(text: string): string;
  toJson(value: unknown): string;
}>("print.mjs");

const photo = {
  call: "CALL",
  device: "key",
  name: "laptop",
  out: { camera: "test-pattern" },
};

describe("help", () => {
  test.for(Object.keys(verbs))("kith %s --help shows an example and exits 0", async (verb) => {
    const { code, stdout } = await kith("/nowhere", verb, "--help");
    expect(code).toBe(0);
    expect(stdout).toContain(`Example:\n  kith ${verb}`);
    expect(stdout).toContain("--json");
  });

  test("kith --help names every verb", async () => {
    const { code, stdout } = await kith("/nowhere", "--help");
    expect(code).toBe(0);
    for (const verb of Object.keys(verbs)) expect(stdout).toContain(`  ${verb} `);
  });
});

describe("usage", () => {
  test.for([
    ["dance"],
    ["devices", "dance"],
    ["devices", "rename", "laptop"],
    ["devices", "--loud"],
    ["invoke", "laptop"],
    ["invoke", "laptop", "camera.snap", "[]"],
    ["invoke", "laptop", "camera.snap", "{"],
    ["invoke", "laptop", "camera.snap", "--allow", "always"],
    ["allow"],
    ["allow", "ID", "2h"],
    ["ask"],
    ["ask", "hello", "--wait", "soon"],
    ["why"],
    ["lock", "now"],
  ])("kith %s is refused with 2", async (args) => {
    const { code, json } = await kith("/nowhere", ...args, "--json");
    expect(code).toBe(2);
    expect(json).toMatchObject({ ok: false, error: { code: "usage" } });
    expect(json.error.remedy).toContain("--help");
  });
});

describe("without a gateway", () => {
  test.for([["devices"], ["ask", "hello"], ["invoke", "a", "b"], ["lock"], ["chat"]])(
    "kith %s fails with gateway-away and 1",
    async (args) => {
      const home = await freshHome();
      const { code, json, stderr } = await kith(home, ...args, "--json");
      expect(code).toBe(1);
      expect(stderr).toBe("");
      expect(json.error.code).toBe("gateway-away");
      expect(json.error.remedy).toBe(remedies["gateway-away"]);
    },
  );
});

describe("with a gateway", () => {
  test("prints `text` for a person and `out` for a script", async () => {
    const home = await freshHome();
    await fakeGateway(home, () => ({ out: { devices: [] }, text: "no devices" }));
    expect((await kith(home, "devices")).stdout).toBe("no devices\n");
    expect((await kith(home, "devices", "--json")).stdout).toBe('{"ok":true,"devices":[]}\n');
  });

  test.for([
    ["driver", 1],
    ["approval-needed", 3],
    ["unknown", 4],
    ["a-code-of-tomorrow", 1],
  ] as const)("the failure %s ends with %i", async ([failure, exit]) => {
    const home = await freshHome();
    const error = { code: failure, message: "so it is", remedy: "do this" };
    await fakeGateway(home, () => ({ error }));
    const { code, json } = await kith(home, "invoke", "laptop", "camera.snap", "--json");
    expect(json).toEqual({ ok: false, error });
    expect(code).toBe(exit);
  });

  test("what may have happened is `unknown`, what was only asked is not", async () => {
    const home = await freshHome();
    await fakeGateway(home, (_op, _args, link) => void link.hangUp());
    expect((await kith(home, "invoke", "laptop", "camera.snap")).code).toBe(4);
    expect((await kith(home, "devices")).code).toBe(1);
  });

  test("is reached in a home that is deeper than a socket's path can be long", async () => {
    const home = join(await freshHome(), "deep/".repeat(30));
    await mkdir(home, { recursive: true });
    await fakeGateway(home, () => ({ out: { devices: [] } }));
    expect((await kith(home, "devices", "--json")).json).toEqual({ ok: true, devices: [] });
  });

  test.for(["HTTP/1.1 400\n", "x".repeat(1_100_000), "null\n"])(
    "a peer of another kind is none",
    async (text) => {
      const home = await freshHome();
      await fakeGateway(home, (_op, _args, link) => void link.write(text));
      const { json } = await kith(home, "why", "ID", "--json");
      expect(json.error.code).toBe("gateway-away");
    },
  );

  test("sends what was typed", async () => {
    const home = await freshHome();
    const { asked } = await fakeGateway(home, () => ({ out: {} }));
    await kith(home, "invoke", "laptop", "camera.snap", '{"facing":"back"}', "--allow", "15m");
    await kith(home, "pair", "approve", "E8Z", "PKG", "EJH");
    await kith(home, "grants", "explain", "laptop", "camera.snap");
    await kith(home, "allow", "ID", "--no-wait");
    expect(asked).toEqual([
      {
        op: "invoke",
        args: { device: "laptop", cap: "camera.snap", args: { facing: "back" }, allow: "15m" },
      },
      { op: "pair.approve", args: { code: "E8Z-PKG-EJH" } },
      { op: "grants.explain", args: { device: "laptop", cap: "camera.snap" } },
      { op: "allow", args: { id: "ID", for: "once", wait: false } },
    ]);
  });

  test("--out gives the files readable names and never takes another's", async () => {
    const home = await freshHome();
    const path = join(home, "0123abcd");
    await writeFile(path, "a photo");
    const streams = [{ role: "image", type: "image/jpeg", bytes: 7, sha256: "…", path }];
    await fakeGateway(home, () => ({ out: { ...photo, streams }, text: "done" }));
    const out = join(home, "out");
    const names = [];
    for (let n = 0; n < 2; n++) {
      const { json } = await kith(home, "invoke", "laptop", "camera.snap", "--out", out, "--json");
      names.push(json.streams[0]?.path);
    }
    expect(names).toEqual([join(out, "image.jpg"), join(out, "image-2.jpg")]);
    expect(await readFile(join(out, "image-2.jpg"), "utf8")).toBe("a photo");
  });

  test("an audit that is not whole is a failure", async () => {
    const home = await freshHome();
    await fakeGateway(home, () => ({ out: { verified: false, problem: "row 7 was changed" } }));
    const { code, json } = await kith(home, "audit", "verify", "--json");
    expect(code).toBe(1);
    expect(json.error).toMatchObject({ code: "store-damaged", message: "row 7 was changed" });
  });
});

describe("what reaches the terminal", () => {
  const hostile = "a\u001b[2Jb\u009b1mc\u0007d\u202ee\r\nf\tg";

  test("has no control characters but the line feed", () => {
    expect(tame(hostile)).toBe("a[2Jb1mcde\nf  g");
    expect(JSON.parse(toJson(hostile))).toBe(hostile);
    expect(toJson(hostile)).not.toMatch(/[\p{Cc}\p{Bidi_C}]/u);
  });

  test("is tamed wherever it came from", async () => {
    const home = await freshHome();
    await fakeGateway(home, (op) =>
      op === "why"
        ? { text: hostile }
        : { error: { code: "x", message: hostile, remedy: hostile } },
    );
    expect((await kith(home, "why", "ID")).stdout).toBe("a[2Jb1mcde\nf  g\n");
    expect((await kith(home, "devices")).stderr).not.toMatch(/(?!\n)\p{Cc}/u);
  });
});

test("the client's remedies are the product's", () => {
  const { "install-failed": _onlyTheLauncher, ...shared } = own;
  expect(remedies).toMatchObject(shared);
});
