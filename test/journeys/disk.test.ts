/** The gateway's disk runs full under it, and gets room again. */
import { execFileSync } from "node:child_process";
import { closeSync, cpSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { remedies } from "@kith/shared/errors";
import { freshFolder, pairedWorld, Refusal, until, type World } from "../support/home.ts";

const BACK_MS = 10_000;
const mounts: string[] = [];
const unmount = (folder: string): void => {
  try {
    execFileSync("umount", ["-l", folder], { stdio: "ignore" });
  } catch {
    // It was never mounted.
  }
};
afterAll(() => mounts.forEach(unmount));

/** A paired world whose gateway has 12 MiB; undefined when nobody may mount. */
async function smallWorld(): Promise<World | undefined> {
  const home = await pairedWorld();
  const kept = join(freshFolder(), "kept");
  cpSync(home.home, kept, { recursive: true });
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=12m,mode=0700", "none", home.home], {
      stdio: "ignore",
    });
  } catch {
    await home[Symbol.asyncDispose]();
    return undefined;
  }
  mounts.push(home.home);
  cpSync(kept, home.home, { recursive: true });
  return home;
}

/** Takes all that is left. */
function fill(home: World): void {
  const file = openSync(join(home.home, "ballast"), "a");
  for (let size = 65_536; size >= 512;) {
    try {
      if (writeSync(file, new Uint8Array(size)) < size) size /= 2;
    } catch {
      size /= 2;
    }
  }
  closeSync(file);
}

/** A tmpfs that is still mounted cannot be removed with its folder. */
const released = async (home: World): Promise<void> => {
  await Promise.all([home.gateway?.end(), ...[...home.nodes.values()].map((node) => node.end())]);
  unmount(home.home);
};

const WHY_SKIPPED = "needs root, to mount a tmpfs of 12 MiB";

describe("a full disk", () => {
  test("refuses new work, keeps what was accepted, and is over when there is room", async ({
    skip,
  }) => {
    const small = await smallWorld();
    if (!small) return skip(WHY_SKIPPED);
    await using home = small;
    try {
      await home.startGateway();
      await home.startNode("laptop");
      const owner = await home.owner();
      await owner.say("grab a photo from my laptop camera");
      await owner.hear("the question", ({ question }) => question);

      // What is there already, such as the log of the database, takes some more.
      let refusal: unknown;
      const accepted: string[] = [];
      await until("the disk to be full", async () => {
        fill(home);
        await owner.say("/help").then(
          () => accepted.push("/help"),
          (error: unknown) => (refusal = error),
        );
        return refusal;
      });
      expect(refusal).toBeInstanceOf(Refusal);
      expect(refusal).toMatchObject({ code: "disk-full", remedy: remedies["disk-full"] });
      fill(home);
      expect(
        await home.refused("invoke", { device: "laptop", cap: "camera.snap", allow: "once" }),
      ).toMatchObject({ code: "disk-full" });
      // It still answers what needs no disk.
      expect((await home.call("devices.list")).out.devices).toHaveLength(1);
      expect((await home.call("approvals.list")).out.approvals).toHaveLength(1);
      expect(await home.ledger("laptop")).toEqual([]);

      rmSync(join(home.home, "ballast"));
      const freed = performance.now();
      await until("new work to be taken", () =>
        owner.say("/grants").then(
          () => true,
          () => false,
        ),
      );
      expect(performance.now() - freed).toBeLessThan(BACK_MS);
      expect(home.gateway?.over).toBeUndefined();

      await owner.hear("the grants", ({ text }) => text.startsWith("No permission"));
      await until(
        "every answer that was owed",
        () =>
          owner.messages.filter(({ text }) => text.includes("/unlock")).length === accepted.length,
      );
      await owner.say("/allow once");
      expect(await owner.hear("the photo", ({ final, result }) => final && result)).toMatchObject({
        result: { state: "done" },
      });
      expect(await home.ledger("laptop")).toMatchObject([{ state: "done", starts: 1 }]);
      expect(await home.auditIsWhole()).toBe(true);
    } finally {
      await released(home);
    }
  });

  test("in the middle of a photo ends it with a reason or a photo, and never a second shot", async ({
    skip,
  }) => {
    const small = await smallWorld();
    if (!small) return skip(WHY_SKIPPED);
    await using home = small;
    try {
      await home.startGateway();
      await home.startNode("laptop");
      const owner = await home.owner();
      await owner.say("grab a photo from my laptop camera");
      await owner.hear("the question", ({ question }) => question);
      await owner.say("/allow once");
      const node = home.nodes.get("laptop");
      await node?.event("notice", ({ on }) => on);
      fill(home);
      await node?.event("notice", ({ on }) => !on);
      await until(
        "the device to have stored its photo",
        async () => (await home.ledger("laptop"))[0]?.state === "done",
      );
      rmSync(join(home.home, "ballast"));
      const { result, error } = await owner.hear(
        "how it ended",
        (message) => message.final && (message.result ?? message.error),
      );
      expect(error?.code ?? result.state).toMatch(/^(disk-full|done)$/);
      expect(await home.ledger("laptop")).toMatchObject([{ starts: 1 }]);
      expect(await home.auditIsWhole()).toBe(true);
      expect(home.gateway?.over).toBeUndefined();
    } finally {
      await released(home);
    }
  });

  test("at the start is said, and the home is as it was", async ({ skip }) => {
    const small = await smallWorld();
    if (!small) return skip(WHY_SKIPPED);
    await using home = small;
    try {
      fill(home);
      const gateway = home.spawnGateway();
      await until(
        "its end, or its start",
        () => gateway.over ?? gateway.events.some(({ event }) => event === "ready"),
      );
      if (gateway.over)
        expect(gateway.events.at(-1)).toMatchObject({
          event: "failed",
          error: { code: "disk-full" },
        });
      await gateway.end();
      rmSync(join(home.home, "ballast"));
      await home.startGateway();
      expect(await home.auditIsWhole()).toBe(true);
      expect(await home.devices()).toHaveLength(1);
    } finally {
      await released(home);
    }
  });
});
