/** What waits for a device, or for its time, outlives whoever dies meanwhile, and is done once. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { until, world } from "../support/home.ts";

const away = (home: Awaited<ReturnType<typeof world>>, name: string) =>
  until(`${name} to be away`, async () =>
    (await home.devices()).some((one) => one.name === name && one.state === "away"),
  );

test("a photo of a device that sleeps is delivered when it returns, over a kill -9 of both, once", async () => {
  await using home = await world(["laptop"]);
  await home.nodes.get("laptop")?.end("SIGKILL");
  await away(home, "laptop");
  const owner = await home.owner();
  await owner.say("take a photo with my laptop when it is back within 2h");
  const { text } = await owner.hear("the question", ({ question }) => question);
  expect(text).toContain("as soon as it is connected within the next 2 h");
  await owner.say("/allow once");
  await owner.hear("that it waits", (one) => one.text.startsWith("laptop is away."));

  await home.gateway?.end("SIGKILL");
  await home.startGateway();
  await home.startNode("laptop");
  const again = await home.owner();
  const photo = await again.hear("the photo", ({ final, result }) => final && result);
  expect(photo.result).toMatchObject({ state: "done", name: "laptop" });
  expect(await home.ledger("laptop")).toMatchObject([{ state: "done", starts: 1 }]);
  expect(await home.auditIsWhole()).toBe(true);
});

test("a photo of a device that somebody locked is taken when it is unlocked, over a kill -9 of both, once", async () => {
  await using home = await world(["laptop"]);
  const lock = join(home.nodeHome("laptop"), "locked");
  writeFileSync(lock, "");
  await home.offers("laptop", (caps) => caps.every(({ state }) => state === "denied"));
  const asked = { device: "laptop", cap: "camera.snap", allow: "once", deliver_s: 3_600 };
  expect(await home.refused("invoke", asked)).toMatchObject({ code: "denied-local" });
  const owner = await home.owner();
  await owner.say("take a photo with my laptop when it is unlocked within 2h");
  const { text } = await owner.hear("the question", ({ question }) => question);
  expect(text).toContain("as soon as it is connected and unlocked within the next 2 h");
  await owner.say("/allow once");
  await owner.hear("that it waits", (one) => one.text.startsWith("laptop is locked."));

  await home.gateway?.end("SIGKILL");
  await home.nodes.get("laptop")?.end("SIGKILL");
  await home.startGateway();
  await home.startNode("laptop");
  expect(await home.ledger("laptop")).toEqual([]);
  const again = await home.owner();
  rmSync(lock);
  const photo = await again.hear("the photo", ({ final, result }) => final && result);
  expect(photo.result).toMatchObject({ state: "done", name: "laptop" });
  expect(await home.ledger("laptop")).toMatchObject([{ state: "done", starts: 1 }]);
});

test("at the command line it is told at once that it waits, and it can be taken back", async () => {
  await using home = await world(["laptop"]);
  await home.nodes.get("laptop")?.end("SIGTERM");
  await away(home, "laptop");
  const asked = { device: "laptop", cap: "camera.snap", allow: "once", deliver_s: 3_600 };
  const { out } = await home.call("invoke", asked);
  expect(out).toMatchObject({ waits: true, name: "laptop" });
  const { text } = await home.call("calls.cancel", { id: out.call });
  expect(text).toBe("Taken back: camera.snap of laptop.");
  expect(await home.refused("calls.cancel", { id: out.call })).toMatchObject({
    code: "call-unknown",
  });
  await home.startNode("laptop");
  expect(await home.ledger("laptop")).toEqual([]);
});

test("what is put off is done at its time, though the gateway was killed before", async () => {
  await using home = await world(["laptop"]);
  const owner = await home.owner();
  await owner.say("/later 10s /photo laptop");
  await owner.hear("the promise", ({ text }) => text.startsWith("At "));
  await home.gateway?.end("SIGKILL");
  await home.startGateway();
  const again = await home.owner();
  await again.hear("the question", ({ question }) => question);
  await again.say("/allow once");
  const photo = await again.hear("the photo", ({ final, result }) => final && result);
  expect(photo.result).toMatchObject({ state: "done" });
  expect(await home.ledger("laptop")).toHaveLength(1);
});
