/** Processes end in the middle, and what the owner was promised still comes: once. */
import { describe, expect, test } from "vitest";
import { type Owner, pairedWorld, until, world, type World } from "../support/home.ts";

const hasPhoto = (owner: Owner) => owner.hear("the photo", ({ final, result }) => final && result);

async function asked(home: World): Promise<Owner> {
  const owner = await home.owner();
  await owner.say("grab a photo from my laptop camera");
  await owner.hear("the question", ({ question }) => question);
  return owner;
}

async function expectOnePhoto(home: World, owner: Owner, most = 1): Promise<void> {
  await owner.ask("/devices");
  expect(owner.messages.filter(({ result }) => result)).toHaveLength(1);
  expect(owner.messages.filter(({ question }) => question)).toHaveLength(1);
  expect(owner.messages.flatMap(({ error }) => error ?? [])).toEqual([]);
  expect(await home.auditIsWhole()).toBe(true);
  const rows = await home.ledger("laptop");
  expect(rows).toMatchObject([{ state: "done" }]);
  expect(rows[0]?.starts).toBeLessThanOrEqual(most);
}

/** Resolves when the camera is on. */
const cameraOn = (home: World, name = "laptop") =>
  home.nodes.get(name)?.event("notice", ({ on }) => on);

describe("a gateway that is killed", () => {
  test("with a question open asks no second time, and /allow once still works", async () => {
    await using home = await world();
    const owner = await asked(home);
    await home.gateway?.end("SIGKILL");
    await home.startGateway();
    expect((await home.call("approvals.list")).out.approvals).toHaveLength(1);
    await owner.say("/allow once");
    await hasPhoto(owner);
    await expectOnePhoto(home, owner);
  });

  test("while the camera works takes the photo over", async () => {
    await using home = await world();
    const owner = await asked(home);
    await owner.say("/allow once");
    await cameraOn(home);
    await home.gateway?.end("SIGKILL");
    await home.startGateway();
    await hasPhoto(owner);
    await expectOnePhoto(home, owner);
  });

  test("keeps a standing permission", async () => {
    await using home = await world();
    const owner = await asked(home);
    await owner.say("/allow 1h");
    await hasPhoto(owner);
    await home.gateway?.end("SIGKILL");
    await home.startGateway();
    await home.offers("laptop", () => true);
    expect((await owner.ask("/photo laptop")).result).toMatchObject({ state: "done" });
    expect(owner.messages.filter(({ question }) => question)).toHaveLength(1);
  });
});

describe("a gateway that is told to end while the camera works", () => {
  test.for(["SIGTERM", "SIGINT"] as const)(
    "by %s ends well, and the photo comes in the end",
    async (signal) => {
      await using home = await world();
      const owner = await asked(home);
      await owner.say("/allow once");
      await cameraOn(home);
      expect(await home.gateway?.end(signal)).toEqual({ code: 0, signal: null });
      await home.startGateway();
      await hasPhoto(owner);
      await expectOnePhoto(home, owner);
    },
  );
});

describe("a node-agent that is killed", () => {
  test("while the camera works ends the call with one photo, and its ledger counts the starts", async () => {
    await using home = await world();
    const owner = await asked(home);
    await owner.say("/allow once");
    await cameraOn(home);
    await home.nodes.get("laptop")?.end("SIGKILL");
    await home.startNode("laptop");
    await hasPhoto(owner);
    await expectOnePhoto(home, owner, 2);
  });

  test("before the call was allowed is waited for when it comes back in time", async () => {
    await using home = await world();
    const owner = await asked(home);
    await home.nodes.get("laptop")?.end("SIGKILL");
    await owner.say("/allow once");
    await owner.hear("the answer to /allow", ({ text }) => text.startsWith("Allowed once"));
    await home.startNode("laptop");
    await hasPhoto(owner);
    await expectOnePhoto(home, owner);
  });

  test("by SIGTERM while the camera works says how the call ended", async () => {
    await using home = await world();
    const owner = await asked(home);
    await owner.say("/allow once");
    await cameraOn(home);
    expect(await home.nodes.get("laptop")?.end("SIGTERM")).toMatchObject({ code: 0 });
    await home.startNode("laptop");
    const { result, error } = await owner.hear(
      "how it ended",
      (message) => message.final && (message.error ?? message.result),
    );
    // Either the photo was already on its way, or the owner reads that it was stopped: never silence.
    expect(error?.code ?? result?.state).toMatch(/^(interrupted|done)$/);
    expect(await home.auditIsWhole()).toBe(true);
  });
});

describe("a device that falls silent in mid-call", () => {
  test(
    "ends the call with a reason, and nothing spins meanwhile",
    { timeout: 60_000 },
    async () => {
      await using home = await world();
      const owner = await home.owner();
      const pid = home.nodes.get("laptop")?.pid ?? 0;
      // Frozen, not dead: the socket stays open and says nothing.
      process.kill(pid, "SIGSTOP");
      try {
        await owner.say("/info laptop");
        const before = (await home.call("audit.list", { limit: 1_000 })).out.rows.length;
        const { error } = await owner.hear(
          "how it ended",
          ({ final, error: told }) => final && { error: told },
        );
        expect(error?.code).toBe("timeout");
        expect(
          (await home.call("audit.list", { limit: 1_000 })).out.rows.length - before,
        ).toBeLessThan(10);
      } finally {
        process.kill(pid, "SIGCONT");
      }
    },
  );
});

test("both are killed while the camera works, and the photo still comes", async () => {
  await using home = await world();
  const owner = await asked(home);
  await owner.say("/allow once");
  await cameraOn(home);
  await Promise.all([home.gateway?.end("SIGKILL"), home.nodes.get("laptop")?.end("SIGKILL")]);
  await home.startGateway();
  await home.startNode("laptop");
  await hasPhoto(owner);
  await expectOnePhoto(home, owner, 2);
});

test("a gateway that is killed again and again while it recovers still gets there", async () => {
  await using home = await pairedWorld();
  await home.startGateway();
  await home.startNode("laptop");
  const owner = await asked(home);
  await owner.say("/allow once");
  await cameraOn(home);
  for (const waitMs of [0, 40, 80, 120, 160]) {
    await home.gateway?.end("SIGKILL");
    home.spawnGateway();
    const born = performance.now();
    await until("a moment of the start", () => performance.now() - born > waitMs);
  }
  await home.gateway?.end("SIGKILL");
  await home.startGateway();
  await hasPhoto(owner);
  await expectOnePhoto(home, owner);
});
