/** A commit is all or nothing, and only of the process that owns the home. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Write } from "@kith/gateway/runtime/store";
import { openStore } from "@kith/gateway/store/store";
import { SAM, tempHome, turn } from "./home.ts";

test("a commit with one impossible write leaves nothing of the others and ends the store", async () => {
  using home = tempHome();
  const deaths: Error[] = [];
  const store = openStore(home.path, { onFatal: (why) => deaths.push(why) });
  await store.open();
  await store.commit(turn(1));
  // The id of step 1 is taken.
  const twice = turn(2).map((write): Write =>
    write.k === "step" ? { ...write, step: { ...write.step, id: "step1" } } : write,
  );
  await expect(store.commit(twice)).rejects.toMatchObject({ code: "internal" });
  expect(deaths).toHaveLength(1);
  await expect(store.commit(turn(3))).rejects.toMatchObject({ code: "internal" });
  await store.close();

  const again = openStore(home.path);
  expect(await again.open()).toMatchObject({ clean: false, lastWallMs: 1 });
  expect(again.load(SAM)?.seq).toBe(1);
  expect(again.audit({ limit: 9 })).toHaveLength(1);
  expect(again.seen(SAM, "telegram:1:2")).toBe(false);
  await again.close();
});

test("a store whose epoch another process raised behind the lock's back writes nothing more", async () => {
  using home = tempHome();
  const store = openStore(home.path);
  await store.open();
  await store.commit(turn(1));
  const sql = "UPDATE meta SET epoch = epoch + 1";
  const code = `new (require("node:sqlite").DatabaseSync)(process.argv[1]).exec("${sql}")`;
  const other = spawnSync(process.execPath, ["-e", code, join(home.path, "kith.db")]);
  expect(other.stderr.toString()).not.toContain("Error");
  await expect(store.commit(turn(2))).rejects.toMatchObject({ code: "store-fenced" });
  await expect(store.commit(turn(2))).rejects.toMatchObject({ code: "store-fenced" });
  expect(store.seen(SAM, "telegram:1:2")).toBe(false);
  await store.close();
});

test("the newest time that the home has seen stays, also when the clock is set back", async () => {
  using home = tempHome();
  const store = openStore(home.path);
  await store.open();
  for (const at of [5, 9_000, 7]) await store.commit([{ k: "audit", at, what: "x", data: {} }]);
  await store.close();
  const again = openStore(home.path);
  expect(await again.open()).toMatchObject({ lastWallMs: 9_000 });
  await again.close();
});

test("commits asked for at once are made in their order", async () => {
  using home = tempHome();
  const store = openStore(home.path);
  await store.open();
  await Promise.all(Array.from({ length: 50 }, (_, n) => store.commit(turn(n + 1))));
  expect(store.audit({ limit: 50 }).map(({ at }) => at)).toEqual(
    Array.from({ length: 50 }, (_, n) => n + 1),
  );
  await store.close();
});

/** A file system of 4 MiB, or why there is none. */
function tinyDisk(): { path: string } | { reason: string } {
  const path = mkdtempSync(join(tmpdir(), "kith-tiny-"));
  const { status, stderr, error } = spawnSync("mount", [
    "-t",
    "tmpfs",
    "-o",
    "size=4m",
    "tmpfs",
    path,
  ]);
  if (status === 0) return { path };
  rmSync(path, { recursive: true });
  return { reason: String(error ?? stderr).trim() };
}

test("a full disk refuses commits, keeps what was there, and works again after space returns", async (context) => {
  const disk = tinyDisk();
  if ("reason" in disk) {
    console.log(`skipped, no tiny file system: ${disk.reason}`);
    return context.skip();
  }
  try {
    const ballast = join(disk.path, "ballast");
    writeFileSync(ballast, Buffer.alloc(1024 * 1024));
    const store = openStore(disk.path);
    await store.open();
    const big = (n: number): Write[] => [
      {
        k: "put",
        table: "setting",
        id: `s${n}`,
        open: true,
        at: n,
        body: new Uint8Array(100_000).fill(n),
      },
      { k: "audit", at: n, what: "put", data: { n } },
      // An actor of its own: a name that was rolled back must not be taken for known.
      {
        k: "actor",
        id: `session/${n}`,
        kind: "session",
        seq: n,
        status: "live",
        snapshot: new Uint8Array(9),
      },
    ];
    let stored = 0;
    const fill = async () => {
      for (;;) {
        await store.commit(big(stored + 1));
        stored++;
      }
    };
    await expect(fill()).rejects.toMatchObject({ code: "disk-full" });
    expect(stored).toBeGreaterThan(2);
    expect(existsSync(join(disk.path, "reserve"))).toBe(false);

    // The notice fits into what the reserve gave back; more fills the disk again.
    await store.commit([{ k: "audit", at: 1_000, what: "disk.full", data: {} }]);
    await expect(fill()).rejects.toMatchObject({ code: "disk-full" });
    await expect(store.commit(big(stored + 1))).rejects.toMatchObject({ code: "disk-full" });
    expect(store.openDocuments("setting")).toHaveLength(stored);
    expect(store.audit({ limit: 999 })).toHaveLength(stored + 1);

    rmSync(ballast);
    await store.commit(big(stored + 1));
    stored++;
    await store.close();
    const again = openStore(disk.path);
    expect(await again.open()).toMatchObject({ clean: true });
    expect(again.openDocuments("setting")).toHaveLength(stored);
    expect(again.actors("session").map((id) => again.load(id)?.seq)).toHaveLength(stored);
    expect(again.verifyAudit()).toMatchObject({ ok: true, rows: stored + 1 });
    await again.close();
    const { bavail, bsize } = statfsSync(disk.path);
    console.log(`tiny disk: ${stored} documents of 100 kB, ${bavail * bsize} bytes left`);
  } finally {
    // Lazily: after a failure the store still holds files there.
    spawnSync("umount", ["-l", disk.path]);
    rmSync(disk.path, { recursive: true, force: true });
  }
  return undefined;
});
