/** A message whose turn never ends: the process is killed by its own writer, and after three tries it is put aside. */
import { expect, test } from "vitest";
import { assemble } from "../faults/assembly.ts";
import { Control, freshWorld, until } from "../support/home.ts";

test("a turn that never ends is found, counted over restarts, and put aside", async () => {
  const programs = await assemble([
    [
      "gateway/src/store/store.ts",
      "const STALL_MS = 10_000;",
      "const STALL_MS = 400;", // Nobody should wait ten seconds three times.
    ],
    [
      "gateway/src/runtime/cell.ts",
      'if (before.status !== "done") root.send(event);',
      'if ((event as any).text === "hang") for (;;) continue;\n    if (before.status !== "done") root.send(event);',
    ],
  ]);
  await using home = await freshWorld(undefined, programs);
  let gateway = await home.startGateway();
  const owner = await home.owner();
  await owner.say("/help");
  await owner.hear("help");
  // Acknowledged by the first process, which hangs on it a moment later.
  await owner.say("hang");
  for (let tries = 1; tries <= 3; tries++) {
    expect(await gateway.ended).toMatchObject({ signal: "SIGKILL" });
    gateway = await home.startGateway();
  }
  using control = await Control.open(home.home);
  let letters: unknown[] = [];
  await until("the dead letter", async () => {
    ({ letters } = (await control.call("dead.list")).out);
    return letters.length > 0;
  });
  expect(letters).toMatchObject([{ event: "chat.said", error: "Error" }]);
  expect(gateway.over).toBeUndefined();
  // The chat goes on.
  await owner.say("/devices");
  await owner.hear("the devices", ({ text }) => text.includes("No devices"));
});
