/** A large file goes from disk to disk, never through memory, and over a gateway that dies. */
import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { freshFolder, pairedWorld, residentMiB, until, type World } from "../support/home.ts";

const MIB = 1_048_576;
const SIZE_MIB = 60;

const shared = freshFolder();
let whole = "";

beforeAll(() => {
  mkdirSync(join(shared, "docs"));
  const hash = createHash("sha256");
  const file = openSync(join(shared, "docs", "film.mp4"), "w");
  for (let n = 0; n < SIZE_MIB; n++) {
    const part = crypto.getRandomValues(new Uint8Array(65_536));
    for (let at = 0; at < MIB; at += part.length) {
      writeSync(file, part);
      hash.update(part);
    }
  }
  closeSync(file);
  writeFileSync(join(shared, "docs", "note.txt"), "hello");
  whole = hash.digest("hex");
});

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of createReadStream(path)) hash.update(part as Uint8Array);
  return hash.digest("hex");
}

async function start(home: World): Promise<void> {
  await home.startGateway();
  await home.startNode("laptop", {
    allow: "files.read=allow",
    args: ["--root", `docs=${join(shared, "docs")}`],
  });
  await home.offers("laptop", (caps) =>
    caps.some(({ cap, state }) => cap === "files.read" && state === "ready"),
  );
}

const read = (path: string) => ({
  device: "laptop",
  cap: "files.read",
  args: { path },
  allow: "once",
});

/** Bytes that have arrived of what is on its way. */
function arrived(home: World): number {
  const folder = join(home.home, "media", "partial");
  try {
    return Math.max(0, ...readdirSync(folder).map((name) => statSync(join(folder, name)).size));
  } catch {
    return 0; // Renamed at this very moment.
  }
}

/** MiB that gateway and node grow by while this file passes. */
async function growth(home: World, path: string): Promise<number[]> {
  await home.call("invoke", read("note.txt")); // What is loaded once is no growth.
  const pids = [home.gateway?.pid ?? 0, home.nodes.get("laptop")?.pid ?? 0];
  const before = pids.map(residentMiB);
  const peak = [...before];
  const sampler = setInterval(
    () => pids.forEach((pid, at) => (peak[at] = Math.max(peak[at] ?? 0, residentMiB(pid)))),
    10,
  );
  try {
    await home.call("invoke", read(path));
  } finally {
    clearInterval(sampler);
  }
  return peak.map((most, at) => Math.round(most - (before[at] ?? 0)));
}

describe("a file of 60 MiB", () => {
  test("arrives whole", async () => {
    await using home = await pairedWorld();
    await start(home);
    const { out } = await home.call("invoke", read("film.mp4"));
    expect(out).toMatchObject({
      out: { name: "film.mp4", size: SIZE_MIB * MIB },
      streams: [{ bytes: SIZE_MIB * MIB, sha256: whole }],
    });
    expect(await hashOf(out.streams[0].path)).toBe(whole);
  });

  test("goes on where it was when the gateway dies in the middle", async () => {
    await using home = await pairedWorld();
    await start(home);
    const owner = await home.owner();
    await owner.say("/files get laptop film.mp4");
    await owner.hear("the question", ({ question }) => question);
    await owner.say("/allow once");
    await until("the middle of the transfer", () => arrived(home) > 8 * MIB);
    await home.gateway?.end("SIGKILL");
    const had = arrived(home);
    expect(had).toBeLessThan(SIZE_MIB * MIB);
    await home.startGateway();
    const { result } = await owner.hear(
      "the file",
      ({ final, result: told, error }) => final && (told ?? error),
    );
    expect(result).toMatchObject({
      state: "done",
      streams: [{ bytes: SIZE_MIB * MIB, sha256: whole }],
    });
    expect(await hashOf(result.streams[0].path)).toBe(whole);
    expect(await home.ledger("laptop", "files.read")).toMatchObject([{ state: "done", starts: 1 }]);
    expect(await home.auditIsWhole()).toBe(true);
  });

  test("ends with a reason when the node dies in the middle, and comes when asked again", async () => {
    await using home = await pairedWorld();
    await start(home);
    const owner = await home.owner();
    await owner.say("/files get laptop film.mp4");
    await owner.hear("the question", ({ question }) => question);
    await owner.say("/allow once");
    await until("the middle of the transfer", () => arrived(home) > 8 * MIB);
    await home.nodes.get("laptop")?.end("SIGKILL");
    await home.startNode("laptop");
    const { result, error } = await owner.hear(
      "how it ended",
      (message) => message.final && (message.result ?? message.error),
    );
    if (error) {
      expect(error.code).toBe("interrupted");
      expect((await home.call("invoke", read("film.mp4"))).out).toMatchObject({
        streams: [{ sha256: whole }],
      });
    } else expect(result.streams).toMatchObject([{ sha256: whole }]);
    expect(readdirSync(join(home.home, "media")).filter((name) => name !== "partial")).toHaveLength(
      1,
    );
  });
});

test("a file of 240 MiB lets neither end grow by half of that", async () => {
  await using home = await pairedWorld();
  await start(home);
  const file = openSync(join(shared, "docs", "long.mp4"), "w");
  const part = crypto.getRandomValues(new Uint8Array(65_536));
  for (let n = 0; n < (240 * MIB) / part.length; n++) writeSync(file, part);
  closeSync(file);
  expect(Math.max(...(await growth(home, "long.mp4")))).toBeLessThan(120);
});
