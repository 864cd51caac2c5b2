/** A capability that a newcomer wrote: the walk of CONTRIBUTING.md, with its very file. */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type World, freshFolder, pairedWorld, root } from "../support/home.ts";

const CAP = "x.lamp.set";
const LAMP = join(root, "test/own/lamp.mjs");

/** A laptop with a lamp of its own. */
async function lit(file = LAMP): Promise<{ home: World; lamp: string; off: () => Promise<void> }> {
  const home = await pairedWorld();
  const lamp = join(freshFolder(), "lamp");
  await home.startGateway();
  // A line that pairs a device anew may name it; this one was paired before.
  const start = () =>
    home.startNode("laptop", {
      args: ["--driver", file, "--allow", `${CAP}=allow`],
      env: { LAMP: lamp },
    });
  const node = await start();
  await home.offers("laptop", (caps) =>
    caps.some(({ cap, state }) => cap === CAP && state === "ready"),
  );
  return { home, lamp, off: async () => void (await node.end("SIGTERM")) };
}

const invoke = (home: World, args: object, more = {}) =>
  home.call("invoke", { device: "laptop", cap: CAP, args, ...more });

test("it is offered, asked about, done, and remembered over restarts", async () => {
  const { home, lamp, off } = await lit();
  await using _ = home;
  // What a device was paired for does not grow by its own word.
  expect(
    await home.refused("invoke", { device: "laptop", cap: CAP, args: { on: true } }),
  ).toMatchObject({
    code: "not-offered",
  });
  await home.call("devices.widen", { device: "laptop", cap: CAP });
  expect(
    await home.refused("invoke", { device: "laptop", cap: CAP, args: { on: true } }),
  ).toMatchObject({
    code: "approval-needed",
  });
  await home.call("deny", {});
  const owner = await home.owner();
  await owner.say(`/use laptop ${CAP} {"on":true,"percent":40}`);
  const { text } = await owner.hear(
    "the question",
    ({ question, text: words }) => question && words.includes("40"),
  );
  expect(text).toContain('{"on":true,"percent":40}');
  await owner.say("/allow once");
  await owner.hear("the end", ({ final }) => final);
  expect(readFileSync(lamp, "utf8")).toBe("40 %");
  expect((await invoke(home, { on: false }, { allow: "once" })).out).toMatchObject({
    out: { was: "40 %" },
  });
  for (const args of [{}, { on: 1 }, { on: true, percent: 0 }, { on: true, colour: "red" }])
    expect(
      (await home.refused("invoke", { device: "laptop", cap: CAP, args, allow: "once" })).code,
    ).toBe("bad-args");
  await off();
  await home.startNode("laptop", { env: { LAMP: lamp } });
  await home.offers("laptop", (caps) =>
    caps.some(({ cap, state }) => cap === CAP && state === "ready"),
  );
  expect((await home.ledger("laptop", CAP)).map(({ state }) => state)).toEqual(["done", "done"]);
});

test("a permission is for what it was when it was given: another module asks again", async () => {
  const mine = join(freshFolder(), "mine.mjs");
  copyFileSync(LAMP, mine);
  const { home, lamp, off } = await lit(mine);
  await using _ = home;
  await home.call("devices.widen", { device: "laptop", cap: CAP });
  await invoke(home, { on: true }, { allow: "1h" });
  await invoke(home, { on: true });
  await off();
  writeFileSync(mine, readFileSync(mine, "utf8").replace("maximum: 100", "maximum: 400"));
  await home.startNode("laptop", { env: { LAMP: lamp } });
  await home.offers("laptop", (caps) =>
    caps.some(({ cap, state }) => cap === CAP && state === "ready"),
  );
  expect(
    await home.refused("invoke", { device: "laptop", cap: CAP, args: { on: true } }),
  ).toMatchObject({
    code: "approval-needed",
  });
});

test("a module that does not fit is told of, and everything else goes on", async () => {
  await using home = await pairedWorld();
  const broken = join(freshFolder(), "broken.mjs");
  writeFileSync(broken, 'export default { name: "x.broken", summary: "No." };');
  await home.startGateway();
  const node = await home.startNode("laptop", { args: ["--driver", broken, "--driver", LAMP] });
  const { message } = await node.event("driver-failed");
  expect(message).toMatch(/broken\.mjs: run/);
  const { out } = await home.call("invoke", { device: "laptop", cap: "device.info" });
  expect(out).toMatchObject({ name: "laptop" });
  await home.offers("laptop", (caps) =>
    caps.some(({ cap, state }) => cap === CAP && state === "off"),
  );
});
