/** Three crashes within five minutes: the gateway is there, but sends no call until its owner says so. */
import { expect, test } from "vitest";
import { Control, world } from "../support/home.ts";

test("after the third crash no call is sent until the owner ends safe mode", async () => {
  await using home = await world();
  const control = () => Control.open(home.home);
  // Asked before the crashes, answered after them.
  const photo = { device: "laptop", cap: "camera.snap" };
  const asked = await home.refused("invoke", photo);
  expect(asked).toMatchObject({ code: "approval-needed" });
  for (let crashes = 1; crashes <= 3; crashes++) {
    await home.gateway?.end();
    await home.startGateway();
    using link = await control();
    expect((await link.call("status")).out.safe).toBe(crashes === 3);
  }
  await home.offers("laptop", (caps) => caps.length > 0);
  using link = await control();
  expect((await link.call("status")).text).toContain("SAFE MODE");
  const news: string[] = [];
  using chat = await Control.open(home.home, (_, { text }) => void news.push(text));
  await chat.call("chat.open", { chat: "console" });
  await expect.poll(() => news).toContainEqual(expect.stringMatching(/^Safe mode: .*\/safe off/));

  // What is asked now is refused at once, with what to do.
  expect(await home.refused("invoke", photo)).toMatchObject({
    code: "safe-mode",
    remedy: expect.stringContaining("kith safe off"),
  });
  // What was asked before is permitted, and waits.
  await link.call("allow", { id: asked.approval, for: "once" });
  const whats = async (): Promise<string[]> =>
    (await link.call("audit.list", { limit: 20 })).out.rows.map((row: any) => row.what);
  expect(await whats()).toEqual(expect.arrayContaining(["safe.entered", "approval.approved"]));
  expect(await whats()).not.toContain("call.sent");

  expect((await link.call("safe.off")).out).toEqual({ was: true });
  await expect.poll(whats, { timeout: 20_000 }).toContain("call.done");
  expect(await whats()).toEqual(expect.arrayContaining(["safe.ended", "call.sent"]));
  expect((await link.call("safe.off")).out).toEqual({ was: false });
});
