/** One process holds a home; the operating system takes the lock back when it dies. */
import { once } from "node:events";
import { expect, test } from "vitest";
import { openStore } from "@kith/gateway/store/store";
import { committer, tempHome } from "./home.ts";

test("a second gateway is told which process holds the home and since when, and gets it at once when that is killed", async () => {
  using home = tempHome();
  const { child, lines } = committer(home.path);
  for await (const line of lines) if (line === "open") break;
  const store = openStore(home.path);
  const refused = await store.open().catch((thrown: unknown) => thrown);
  expect(refused).toMatchObject({ code: "home-locked" });
  expect(String(refused)).toMatch(new RegExp(`process ${child.pid}, since 20\\d\\d-`));

  child.kill("SIGKILL");
  await once(child, "exit");
  expect(await store.open()).toMatchObject({ clean: false });
  await store.close();
});

test("a closed home is free", async () => {
  using home = tempHome();
  const [first, second] = [openStore(home.path), openStore(home.path)];
  await first.open();
  await expect(second.open()).rejects.toMatchObject({ code: "home-locked" });
  await first.close();
  expect(await second.open()).toMatchObject({ epoch: 2 });
  await second.close();
});
