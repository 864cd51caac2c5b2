import { test } from "vitest";
import { world } from "../support/home.ts";
for (const [cap, args, device] of [["camera.snap", {}, "laptop"]] as const) test("x", async () => {
  await using home = await world();
  const a = { device, cap, args, allow: "15m" };
  for (let i = 0; i < 4; i++) await home.call("invoke", a).then(({ text }) => console.log(i, text.slice(0, 80)), (e) => console.log(i, e.code, e.message));
  console.log(JSON.stringify((await home.call("grants.list")).out.grants));
});
