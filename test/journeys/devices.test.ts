/** Two devices, each with its own name; one that is sent away. */
import { describe, expect, test } from "vitest";
import { pairedWorld, until, world } from "../support/home.ts";

const both = ["laptop", "workshop"];

describe("two devices", () => {
  test.for(both)("a sentence that names %s is answered by it alone", async (name) => {
    await using home = await world(both);
    const owner = await home.owner();
    await owner.say(`take a picture with the ${name} camera`);
    expect(await owner.hear("the question", ({ question }) => question)).toMatchObject({
      text: expect.stringContaining(` of ${name}?`),
    });
    await owner.say("/allow once");
    expect(await owner.hear("the photo", ({ final, result }) => final && result)).toMatchObject({
      result: { name },
    });
    for (const one of both) expect(await home.ledger(one)).toHaveLength(one === name ? 1 : 0);
  });

  test("a sentence that names none is asked about once, and a number answers it", async () => {
    await using home = await world(both);
    const owner = await home.owner();
    const which = await owner.ask("grab a photo");
    expect(which).toMatchObject({ error: { code: "device-ambiguous" } });
    const number = /^ {2}(\d) {2}workshop$/m.exec(which.text)?.[1] ?? "";
    await owner.say(number);
    await owner.hear("the question", ({ question }) => question);
    await owner.say("/allow once");
    expect(await owner.hear("the photo", ({ final, result }) => final && result)).toMatchObject({
      result: { name: "workshop" },
    });
    expect(owner.messages.filter(({ error }) => error)).toHaveLength(1);
  });

  test("when one is away, the other is meant", async () => {
    await using home = await world(both);
    const owner = await home.owner();
    await home.nodes.get("laptop")?.end("SIGTERM");
    await until("laptop to be away", async () =>
      (await home.devices()).some(({ name, state }) => name === "laptop" && state === "away"),
    );
    await owner.say("grab a photo");
    expect(await owner.hear("the question", ({ question }) => question)).toMatchObject({
      text: expect.stringContaining("workshop"),
    });
  });
});

describe("all of them", () => {
  test("one sentence, one reply: each photo, and a line for the device that sleeps", async () => {
    await using home = await world(both);
    const owner = await home.owner();
    await owner.say("/photo all");
    await until("both questions", async () =>
      both.every((name) =>
        owner.messages.some(({ question, text }) => question && text.includes(`of ${name}?`)),
      ),
    );
    await owner.say("/allow 15m all");
    const reply = await owner.hear("the reply", ({ final, results }) => final && results);
    expect(reply.results).toMatchObject([
      { state: "done", name: "laptop", streams: [{ type: "image/jpeg" }] },
      { state: "done", name: "workshop", streams: [{ type: "image/jpeg" }] },
    ]);
    for (const name of both) {
      expect(reply.text).toMatch(new RegExp(`^Photo from ${name}, .* taken \\d\\d:`, "m"));
      expect(await home.ledger(name)).toHaveLength(1);
    }

    await home.nodes.get("workshop")?.end("SIGTERM");
    await until("workshop to be away", async () =>
      (await home.devices()).some(({ name, state }) => name === "workshop" && state === "away"),
    );
    await owner.say("take a picture with all my cameras");
    const partly = await owner.hear("the second reply", ({ final, results }) => final && results);
    expect(partly.results).toMatchObject([
      { state: "done" },
      { failure: { code: "device-away", effect: "none" } },
    ]);
    expect(partly.text).toMatch(/^workshop is not connected/m);
    expect(partly.error).toBeUndefined();
  });
});

describe("a device that is revoked", () => {
  test("is cut off within a second, and its agent stops and says so", async () => {
    await using home = await world(both);
    const node = home.nodes.get("workshop");
    const began = performance.now();
    await home.call("devices.revoke", { device: "workshop" });
    await node?.event("failed", ({ error }) => error.code === "revoked");
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(await node?.ended).toMatchObject({ code: 1 });

    const refusal = await home.refused("invoke", {
      device: "workshop",
      cap: "camera.snap",
      allow: "once",
    });
    expect(refusal).toMatchObject({ code: "revoked", remedy: expect.stringContaining("Pair") });
    expect(
      (await home.call("invoke", { device: "laptop", cap: "camera.snap", allow: "once" })).out.name,
    ).toBe("laptop");
    expect(await home.ledger("workshop")).toEqual([]);
    expect((await home.audit()).map(({ what }) => what)).toContain("device.revoked");
  });

  test("is not let in again with its old key", async () => {
    await using home = await world(both);
    await home.call("devices.revoke", { device: "workshop" });
    await home.nodes.get("workshop")?.ended;
    const again = home.spawnNode("workshop");
    await again.event("failed", ({ error }) => error.code === "revoked");
    expect(await again.ended).toMatchObject({ code: 1 });
  });

  test("while the gateway was down learns of it at its next try", async () => {
    await using home = await pairedWorld(both);
    await home.startGateway();
    await home.call("devices.revoke", { device: "workshop" });
    await home.gateway?.end("SIGKILL");
    const late = home.spawnNode("workshop");
    await late.event("waiting");
    await home.startGateway();
    await late.event("failed", ({ error }) => error.code === "revoked");
    expect(await late.ended).toMatchObject({ code: 1 });
  });

  test("may be paired again by code", async () => {
    await using home = await world(both);
    await home.call("devices.revoke", { device: "workshop" });
    await home.nodes.get("workshop")?.ended;
    await home.pair("workshop", { args: ["--pair"] });
    expect(
      (await home.call("invoke", { device: "workshop", cap: "camera.snap", allow: "once" })).out
        .name,
    ).toBe("workshop");
  });
});

test("a device that was renamed answers to its new name, also after a restart", async () => {
  await using home = await world(both);
  await home.call("devices.rename", { device: "workshop", name: "kitchen table" });
  await home.gateway?.end("SIGKILL");
  await home.startGateway();
  await home.offers("kitchen table", () => true);
  const owner = await home.owner();
  await owner.say("grab a photo from the kitchen table");
  await owner.hear("the question", ({ question }) => question);
  await owner.say("/allow once");
  expect(await owner.hear("the photo", ({ final, result }) => final && result)).toMatchObject({
    result: { name: "kitchen table" },
  });
  expect((await home.refused("invoke", { device: "workshop", cap: "device.info" })).code).toBe(
    "device-unknown",
  );
});
