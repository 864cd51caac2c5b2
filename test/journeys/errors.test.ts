/** What can go wrong on the way, each with a code of its own, its remedy, its audit row, and nothing half done. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ErrorCode, remedies } from "@kith/shared/errors";
import { hex } from "@kith/shared/ids";
import { approvalCode } from "@kith/shared/noise/approval-code";
import { importStaticKey } from "@kith/shared/noise/keys";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kith } from "../support/kith.ts";
import {
  Control,
  freshFolder,
  freshWorld,
  POLICY,
  until,
  world,
  type World,
} from "../support/home.ts";

const snap = { device: "laptop", cap: "camera.snap", allow: "once" };

/** Refused with this code and its remedy; the audit says so, and nothing stays behind. */
async function isRefused(
  home: World,
  args: object,
  code: ErrorCode,
  what: string | undefined,
): Promise<void> {
  const before = (await home.audit()).length;
  expect(await home.refused("invoke", args)).toMatchObject({
    code,
    remedy: remedies[code].replace("CAP", String((args as { cap?: string }).cap)),
  });
  await leftNothing(home, before, code, what);
}

async function leftNothing(
  home: World,
  before: number,
  code: ErrorCode,
  what: string | undefined,
): Promise<void> {
  const rows = (await home.audit()).slice(before);
  if (what)
    expect(rows.filter((row) => row.data.code !== undefined)).toMatchObject([
      { what, data: { code } },
    ]);
  expect(await home.auditIsWhole()).toBe(true);
  expect((await home.call("approvals.list")).out.approvals).toEqual([]);
  expect(readdirSync(join(home.home, "media", "partial"))).toEqual([]);
  expect(
    (await home.ledger("laptop")).filter(({ state }) => !/^(done|failed|cancelled)$/.test(state)),
  ).toEqual([]);
}

describe("a call that cannot be", () => {
  let home: World;
  const shared = freshFolder();
  beforeAll(async () => {
    home = await world();
    mkdirSync(join(shared, "docs"));
    writeFileSync(join(shared, "secret.txt"), "no");
    writeFileSync(join(shared, "docs", "big.bin"), Buffer.alloc(4_096));
    symlinkSync(join(shared, "secret.txt"), join(shared, "docs", "link.txt"));
    await home.nodes.get("laptop")?.end("SIGTERM");
    await home.startNode("laptop", {
      allow: POLICY,
      args: ["--root", `docs=${join(shared, "docs")}`],
    });
  });
  afterAll(() => home[Symbol.asyncDispose]());

  test("for an unknown device is refused", () =>
    isRefused(home, { ...snap, device: "toaster" }, "device-unknown", "call.refused"));

  test("for an unknown capability is refused", () =>
    isRefused(home, { ...snap, cap: "camera.fly" }, "unsupported", "call.refused"));

  test("with bad arguments is refused", () =>
    isRefused(home, { ...snap, args: { max_edge_px: 1 } }, "bad-args", "call.refused"));

  test("with an argument that nobody knows is refused", () =>
    isRefused(home, { ...snap, args: { zoom: 2 } }, "bad-args", "call.refused"));

  test.for([
    ["../secret.txt", "bad-args"],
    ["/etc/passwd", "bad-args"],
    ["link.txt", "bad-args"],
    ["nothing.txt", "no-file"],
  ] as const)("for the file %s ends with %s", async ([path, code]) => {
    await isRefused(
      home,
      { device: "laptop", cap: "files.read", args: { path }, allow: "once" },
      code,
      "call.failed",
    );
  });

  test("for a file that is larger than allowed ends with too-big", () =>
    isRefused(
      home,
      {
        device: "laptop",
        cap: "files.read",
        args: { path: "big.bin", max_bytes: 4_095 },
        allow: "once",
      },
      "too-big",
      "call.failed",
    ));

  test("without a permission exits with 3 at the command line and can be denied", async () => {
    const before = (await home.audit()).length;
    const { code, json } = await kith(home.home, "invoke", "laptop", "camera.snap", "--json");
    expect(code).toBe(3);
    expect(json).toMatchObject({
      ok: false,
      error: { code: "approval-needed", remedy: expect.stringContaining("kith allow") },
    });
    await home.call("deny");
    // The answer is on disk; the call hears of it a moment later.
    await until(
      "the end of the call",
      async () => (await home.audit()).at(-1)?.what === "call.denied",
    );
    await leftNothing(home, before, "denied-owner", "call.denied");
  });

  test("for a device that is away is refused at once, when the gateway has been up for a while", async () => {
    await home.nodes.get("laptop")?.end("SIGTERM");
    await until(
      "the gateway's first seconds to be over",
      async () => (await home.call("status")).out.uptime_s > 10,
    );
    await isRefused(home, snap, "device-away", "call.refused");
  });
});

describe("a device that does not want", () => {
  test("has a capability off", async () => {
    await using home = await world();
    await home.nodes.get("laptop")?.end("SIGTERM");
    await home.startNode("laptop", { allow: "camera.snap=off" });
    await isRefused(home, snap, "capability-off", "call.refused");
    expect(await home.ledger("laptop")).toEqual([]);
  });

  test("was never offered for that at its pairing", async () => {
    await using home = await world();
    const { publicKey } = await importStaticKey(
      new Uint8Array(readFileSync(join(home.nodeHome("laptop"), "keys/node.key"))),
    );
    const about = { name: "laptop", kind: "laptop", os: "linux", arch: "x64", agent: "test/1" };
    await home.call("node.register", { key: hex(publicKey), ...about, caps: ["device.info"] });
    await isRefused(home, snap, "not-offered", "call.refused");
  });

  test("asks there, and the answer is no", async () => {
    await using home = await world();
    await home.nodes.get("laptop")?.end("SIGTERM");
    const node = await home.startNode("laptop", { allow: "camera.snap=ask" });
    const refused = isRefused(home, snap, "denied-person", "call.failed");
    const { call, cap } = await node.event("asked");
    expect(cap).toBe("camera.snap");
    using person = await Control.open(home.nodeHome("laptop"), undefined, "node.sock");
    expect((await person.call("consent.list")).out.questions).toMatchObject([{ call }]);
    await person.call("consent.answer", { call, yes: false });
    await refused;
    expect(await home.ledger("laptop")).toMatchObject([{ state: "failed", starts: 0 }]);
  });

  test("asks there, and the answer is yes", async () => {
    await using home = await world();
    await home.nodes.get("laptop")?.end("SIGTERM");
    await home.startNode("laptop", { allow: "camera.snap=ask" });
    const asked = Promise.withResolvers<any>();
    using person = await Control.open(
      home.nodeHome("laptop"),
      (_, question) => asked.resolve(question),
      "node.sock",
    );
    const photo = home.call("invoke", snap);
    const { call } = await asked.promise;
    await person.call("consent.answer", { call, yes: true });
    expect((await photo).out).toMatchObject({ name: "laptop", streams: [{ role: "image" }] });
    await expect(person.call("consent.answer", { call, yes: true })).rejects.toMatchObject({
      code: "call-unknown",
    });
  });

  test("is revoked while the camera works", async () => {
    await using home = await world();
    const before = (await home.audit()).length;
    const refused = home.refused("invoke", { ...snap, args: { max_edge_px: 4_096 } });
    await home.nodes.get("laptop")?.event("notice", ({ on }) => on);
    await home.call("devices.revoke", { device: "laptop" });
    expect(await refused).toMatchObject({ code: "revoked", remedy: remedies.revoked });
    await home.nodes.get("laptop")?.ended;
    await leftNothing(home, before, "revoked", "call.cancelled");
  });
});

describe("a device that cannot", () => {
  test("has no camera", async () => {
    await using home = await world();
    await home.nodes.get("laptop")?.end("SIGTERM");
    await home.startNode("laptop", { args: ["--camera", "video99"] });
    await home.offers("laptop", (caps) =>
      caps.some(({ cap, state }) => cap === "camera.snap" && state === "unavailable"),
    );
    await isRefused(home, snap, "no-camera", "call.failed");
  });

  /** A camera by name only, in a mount namespace of its own. */
  const fake = [
    "mount -t tmpfs none /sys/class && mkdir -p /sys/class/video4linux/video0",
    "echo 'USB Camera' > /sys/class/video4linux/video0/name && echo 0 > /sys/class/video4linux/video0/index && echo 81:0 > /sys/class/video4linux/video0/dev",
    "mkdir -p /tmp/kith-dev-$$ && mount -t tmpfs none /tmp/kith-dev-$$ && cp -a /dev/null /dev/zero /dev/random /dev/urandom /tmp/kith-dev-$$ && touch /tmp/kith-dev-$$/video0",
    "mount --bind /tmp/kith-dev-$$ /dev && umount -l /tmp/kith-dev-$$ && rmdir /tmp/kith-dev-$$",
    'exec "$0" "$@"',
  ].join(" && ");
  const through = ["unshare", "-m", "sh", "-c", fake];
  const possible = (() => {
    try {
      execFileSync(through[0] ?? "", [...through.slice(1), "/bin/true"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  })();

  test("lacks ffmpeg, and the answer has the line that installs it", async ({ skip }) => {
    if (!possible) skip("needs root and a mount namespace for a camera that is not there");
    await using home = await world();
    await home.nodes.get("laptop")?.end("SIGTERM");
    const tools = freshFolder();
    for (const name of ["unshare", "sh", "mount", "umount", "mkdir", "rmdir", "cp", "touch"]) {
      symlinkSync(
        execFileSync("/bin/sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim(),
        join(tools, name),
      );
    }
    await home.startNode("laptop", { args: ["--camera", "video0"], through, env: { PATH: tools } });
    await home.offers("laptop", (caps) =>
      caps.some(({ cap, state }) => cap === "camera.snap" && state === "unavailable"),
    );
    const refusal = await home.refused("invoke", snap);
    expect(refusal).toMatchObject({
      code: "ffmpeg-missing",
      remedy: expect.stringContaining("apt install ffmpeg"),
    });
    expect(refusal.message).toMatch(/install ffmpeg/);
    expect((await home.audit()).at(-1)).toMatchObject({
      what: "call.failed",
      data: { code: "ffmpeg-missing" },
    });
  });
});

describe("a code for pairing", () => {
  /** Well formed, and shown by nobody. */
  const wrong = () => {
    const random = () => crypto.getRandomValues(new Uint8Array(16));
    return approvalCode(crypto.getRandomValues(new Uint8Array(32)), random(), random()).code;
  };
  const rows = async (home: World, what: string) =>
    (await home.audit()).filter((row) => row.what === what).length;

  test("without an open window is refused, and a device that knocks waits", async () => {
    await using home = await freshWorld();
    await home.startGateway();
    expect(await home.refused("pair.approve", { code: wrong() })).toMatchObject({
      code: "pairing-closed",
      remedy: remedies["pairing-closed"],
    });
    const node = home.spawnNode("laptop");
    expect(await node.event("waiting")).toMatchObject({
      why: expect.stringContaining("open pairing"),
    });
    expect(await home.devices()).toEqual([]);
  });

  test("that was mistyped is not counted; a wrong one is; the third locks pairing", async () => {
    await using home = await freshWorld();
    await home.startGateway();
    await home.call("pair.listen");
    const good = wrong();
    for (let n = 0; n < 4; n++) {
      const typo = `${good.slice(0, -1)}${good.endsWith("0") ? "1" : "0"}`;
      expect((await home.refused("pair.approve", { code: typo })).code).toBe("code-mistyped");
    }
    expect(await rows(home, "pairing.wrong-code")).toBe(0);
    expect((await home.refused("pair.approve", { code: wrong() })).code).toBe("code-unknown");
    expect((await home.refused("pair.approve", { code: wrong() })).code).toBe("code-unknown");
    expect((await home.refused("pair.approve", { code: wrong() })).code).toBe("pairing-locked");
    expect(await rows(home, "pairing.wrong-code")).toBe(3);
    expect(await rows(home, "pairing.locked")).toBe(1);

    expect(await home.refused("pair.listen")).toMatchObject({
      code: "pairing-locked",
      remedy: remedies["pairing-locked"],
    });
    await home.gateway?.end("SIGKILL");
    await home.startGateway();
    expect((await home.refused("pair.listen")).code).toBe("pairing-locked");
    expect(await home.devices()).toEqual([]);
  });

  test("that was used is worth nothing a second time", async () => {
    await using home = await freshWorld();
    await home.startGateway();
    const node = await home.pair("laptop");
    const { code } = await node.event("code");
    expect((await home.refused("pair.approve", { code })).code).toBe("code-unknown");
    expect(await home.devices()).toHaveLength(1);
  });

  test("is of no use when the return code is wrong three times", async () => {
    await using home = await freshWorld();
    await home.startGateway();
    await home.call("pair.listen");
    const owner = await home.owner();
    const node = home.spawnNode("laptop", {
      args: ["--allow", POLICY, "--camera", "test-pattern"],
    });
    const { code } = await node.event("code");
    await owner.hear("the news of a device", ({ text }) => text.includes("waits with its code"));
    const { out } = await home.call("pair.approve", { code });
    await node.event("approved");
    const not = String((Number(out.returnCode) + 1) % 10_000).padStart(4, "0");
    for (let n = 0; n < 3; n++) node.types(not);
    expect(await node.event("failed")).toMatchObject({
      error: { code: "return-code-wrong", remedy: remedies["return-code-wrong"] },
    });
    expect(await node.ended).toMatchObject({ code: 1 });
    expect(await home.devices()).toEqual([]);
  });
});
