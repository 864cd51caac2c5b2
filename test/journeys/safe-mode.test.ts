/** Three crashes within five minutes: the gateway is there, but sends no call until its owner says so. */
import { expect, test } from "vitest";
import { Control, type Refusal, world } from "../support/home.ts";

test("after the third crash no call is sent until the owner ends safe mode", async () => {
  await using home = await world();
  for (let crashes = 1; crashes <= 3; crashes++) {
    home.gateway?.child.kill("SIGKILL");
    await home.gateway?.ended;
    await home.startGateway();
    using control = await Control.open(home.home);
    expect((await control.call("status")).out.safe).toBe(crashes === 3);
  }
  await home.offers("laptop", (caps) => caps.length > 0);
  using control = await Control.open(home.home);
  expect((await control.call("status")).text).toContain("SAFE MODE");
  const asked = await control
    .call("invoke", { device: "laptop", cap: "camera.snap" })
    .catch((error: Refusal) => error);
  expect(asked).toMatchObject({ code: "approval-needed" });
  const { approval } = asked as Refusal;
  await control.call("allow", { id: approval, for: "once" });
  const whats = async (): Promise<string[]> =>
    (await control.call("audit.list", { limit: 20 })).out.rows.map((row: any) => row.what);
  expect(await whats()).toEqual(expect.arrayContaining(["safe.entered", "approval.approved"]));
  expect(await whats()).not.toContain("call.sent");

  expect((await control.call("safe.off")).out).toEqual({ was: true });
  await expect.poll(whats, { timeout: 20_000 }).toContain("call.done");
  expect(await whats()).toEqual(expect.arrayContaining(["safe.ended", "call.sent"]));
  expect((await control.call("safe.off")).out).toEqual({ was: false });
});
