import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MediaStore } from "@kith/gateway/media/media";
import { expect, test } from "vitest";

const DAY = 86_400_000;
const HOUR = 3_600_000;

async function store() {
  const folder = mkdtempSync(join(tmpdir(), "kith-media-"));
  const media = new MediaStore(folder);
  await media.start();
  let n = 0;
  return {
    ...{ folder, media },
    /** Takes a text in that came so many days ago. */
    async put(text: string, days: number) {
      const path = join(folder, "..", `source-${process.pid}-${++n}`);
      writeFileSync(path, text);
      const { sha256, type, bytes } = await media.put(path, "text/plain", `ID${n}`);
      rmSync(path);
      const at = (Date.now() - days * DAY) / 1_000;
      utimesSync(join(folder, `${sha256}.txt`), at, at);
      return () => media.find(sha256, type, bytes) !== undefined;
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}

test("what came is kept for thirty days, and then goes", async () => {
  using world = await store();
  const [old, young] = [await world.put("old", 31), await world.put("young", 29)];
  const foreign = join(world.folder, "mine.txt");
  writeFileSync(foreign, "of somebody else");
  utimesSync(foreign, 1, 1);
  await world.media.sweep(Date.now() - HOUR);
  expect(old()).toBe(true); // right after the start the clock may still be wrong
  await world.media.sweep(Date.now());
  expect([old(), young(), existsSync(foreign)]).toEqual([false, true, true]);
  await world.media.sweep(Date.now() + 2 * DAY);
  expect(young()).toBe(false);
  expect(readdirSync(world.folder).toSorted()).toEqual(["mine.txt", "partial"]);
});

test("the same content that comes again is young again", async () => {
  using world = await store();
  await world.put("the same", 31);
  const again = await world.put("the same", 0);
  await world.media.sweep(Date.now() - HOUR);
  await world.media.sweep(Date.now());
  expect(again()).toBe(true);
});

test("the whole is looked through once a day, what is on its way each time", async () => {
  using world = await store();
  await world.media.sweep(Date.now() - HOUR);
  await world.media.sweep(Date.now());
  const old = await world.put("old", 31);
  const partial = join(world.folder, "partial", "CALL.image.S");
  writeFileSync(partial, "half");
  utimesSync(partial, 1, 1);
  await world.media.sweep(Date.now() + 600_000);
  expect([old(), existsSync(partial)]).toEqual([true, false]);
  await world.media.sweep(Date.now() + DAY);
  expect(old()).toBe(false);
});

test("what an open call brings stays, and what came before the clock was set counts from now on", async () => {
  using world = await store();
  await world.media.sweep(Date.now() - HOUR);
  const held = await world.put("held", 31);
  const early = await world.put("early", 20_000);
  const [name = ""] = readdirSync(world.folder).filter(
    (one) => one !== "partial" && readFileSync(join(world.folder, one), "utf8") === "held",
  );
  await world.media.sweep(Date.now(), new Set([name.slice(0, 64)]));
  expect([held(), early()]).toEqual([true, true]);
  await world.media.sweep(Date.now() + 29 * DAY, new Set());
  expect([held(), early()]).toEqual([false, true]);
  await world.media.sweep(Date.now() + 31 * DAY, new Set());
  expect(early()).toBe(false);
});
