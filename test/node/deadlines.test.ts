import { expect, test } from "vitest";
import { node, type Run } from "./world.ts";

const forever: Run = (_args, tools) =>
  new Promise((_resolve, reject) =>
    tools.signal.addEventListener("abort", () => reject(tools.signal.reason as Error)),
  );

test("each call ends at its own deadline, whichever of several began first", async () => {
  await using world = await node();
  world.info.current = world.snap.current = forever;
  const peer = await world.connect();
  const long = world.invoke({ ttl_ms: 40_000 });
  const [later, sooner] = [4_000, 2_000].map((ttl_ms) =>
    world.invoke({ cap: "device.info", effect: "read", ttl_ms }),
  ) as [typeof long, typeof long];
  for (const one of [long, later, sooner]) {
    peer.send(one);
    await peer.next("accept");
  }
  await world.live(2_000);
  expect(await peer.next("error")).toMatchObject({ call: sooner.call, code: "timeout" });
  await world.live(1_999);
  expect(peer.count("error")).toBe(1);
  await world.live(1);
  expect(await peer.next("error")).toMatchObject({ call: later.call, code: "timeout" });
  await world.live(35_999);
  expect(peer.count("error")).toBe(2);
  await world.live(1);
  expect(await peer.next("error")).toMatchObject({ call: long.call, code: "timeout" });
});
