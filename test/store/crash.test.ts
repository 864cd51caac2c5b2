/** What was acknowledged is there after a crash, wherever it struck. */
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { openStore } from "@kith/gateway/store/store";
import { committer, everything, killAfter, SAM, seeded, tempHome } from "./home.ts";

/** Opens what a crash left; every turn up to `acknowledged` must be whole, and at most one more. */
async function recover(home: string, acknowledged: number): Promise<void> {
  const store = openStore(home);
  const { clean } = await store.open();
  const { taken, audit, journal, inbox } = everything(store, acknowledged);
  await store.close();
  expect(clean).toBe(false);
  const turns = audit.length;
  expect([acknowledged, acknowledged + 1]).toContain(turns);
  expect(taken).not.toContain(false);
  expect(audit.map(({ at }) => at)).toEqual(Array.from({ length: turns }, (_, n) => n + 1));
  expect(journal.map(({ seq }) => seq)).toEqual(Array.from({ length: turns }, (_, n) => turns - n));
  expect(inbox.map(({ env }) => env.msg)).toEqual([`telegram:1:${turns}`]);
}

test(
  "thirty kills at any moment lose nothing that was acknowledged",
  { timeout: 300_000 },
  async () => {
    using home = tempHome();
    const random = seeded(1);
    for (let round = 0; round < 30; round++) {
      await recover(home.path, await killAfter(home.path, 1 + random(30)));
    }
  },
);

test("crashes before the anchor, one after the other while it starts, leave a home that opens", async () => {
  using home = tempHome();
  for (const point of [
    "an.write:4",
    "an.write:1",
    "an.write:2",
    "wr.committed:1",
    "an.write:2",
    "an.synced:1",
  ]) {
    const { child } = committer(home.path, point);
    const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
    expect([point, code, signal]).toEqual([point, null, "SIGKILL"]);
  }
  await recover(home.path, 2);
});

describe("a crash at", () => {
  const commits = ["wr.begin", "wr.commit", "wr.committed", "an.write", "an.synced"];
  // The first pass of a commit's points is the opening itself, the fourth is turn 3.
  const points = [
    "bt.lock:1",
    "bt.anchor:1",
    "bt.epoch:1",
    ...commits.flatMap((p) => [`${p}:1`, `${p}:4`]),
  ];

  test.each(points)("%s leaves a home that opens with all that was acknowledged", async (point) => {
    using home = tempHome();
    const { child, lines } = committer(home.path, point);
    const exit = once(child, "exit");
    let acknowledged = 0;
    for await (const line of lines) if (line.startsWith("done")) acknowledged++;
    const [, signal] = (await exit) as [number | null, string | null];
    expect(signal).toBe("SIGKILL");
    expect(acknowledged).toBe(point.endsWith(":4") ? 2 : 0);

    const store = openStore(home.path);
    await store.open();
    const turns = store.audit({ limit: 9 }).length;
    const committed = ["wr.committed:4", "an.write:4", "an.synced:4"].includes(point);
    expect(turns).toBe(acknowledged + (committed ? 1 : 0));
    expect(store.load(SAM)?.seq ?? 0).toBe(turns);
    expect(store.verifyAudit().ok).toBe(true);
    await store.close();
  });
});
