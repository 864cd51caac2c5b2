/** The agent and Node in one file, as it ships: paired by a line, asked for what an agent is asked for. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { beforeAll, expect, test } from "vitest";
import { executableOf } from "../../gateway/bin/executables.mjs";
import { freshFolder, freshWorld, root } from "../support/home.ts";

// Beside nothing: no repository, no node_modules.
const agent = join(freshFolder(), "kith-node");

beforeAll(() => {
  const build = [join(root, "gateway/bin/build.mjs"), "--executables"];
  execFileSync(process.execPath, build, { stdio: ["ignore", "ignore", "inherit"] });
  cpSync(executableOf(), agent);
}, 60_000);

test("it is there, and says who it is", () => {
  expect(existsSync(agent)).toBe(true);
  expect(execFileSync(agent, ["--version"], { encoding: "utf8" })).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test("it is paired by a line, and takes photos, files and own capabilities as the script does", async () => {
  await using home = await freshWorld();
  home.agent = agent;
  await home.startGateway();
  const shared = join(home.folder, "shared");
  mkdirSync(shared);
  writeFileSync(join(shared, "note.txt"), "hello");
  const { link } = (await home.call("pair.invite", { caps: ["camera", "files", "device"] })).out;
  const lamp = join(home.folder, "lamp");
  const node = home.spawnNode("laptop", {
    args: [
      ...["--camera", "test-pattern", "--root", `docs=${shared}`],
      ...["--driver", join(root, "test/own/lamp.mjs"), "--allow", "x.lamp.set=allow", link],
    ],
    env: { LAMP: lamp },
  });
  await node.event("ready");
  await home.offers("laptop", (caps) =>
    caps.some(({ cap, state }) => cap === "camera.snap" && state === "ready"),
  );
  const ask = async (cap: string, args: object = {}, more: object = {}) =>
    (await home.call("invoke", { device: "laptop", cap, args, allow: "once", ...more })).out;
  expect((await ask("camera.snap")).out).toMatchObject({ camera: "test-pattern" });
  const { streams } = await ask("files.read", { path: "note.txt" });
  expect(readFileSync(streams[0].path, "utf8")).toBe("hello");
  const { out: content } = await home.call("content.put", { path: join(shared, "note.txt") });
  await ask("files.write", { path: "copy.txt" }, { content });
  expect(readFileSync(join(shared, "copy.txt"), "utf8")).toBe("hello");
  await home.call("devices.widen", { device: "laptop", cap: "x.lamp.set" });
  await ask("x.lamp.set", { on: true });
  expect(readFileSync(lamp, "utf8")).toBe("100 %");
  await node.end("SIGKILL");
  const again = home.spawnNode("laptop", { env: { LAMP: lamp } });
  await again.event("ready");
  expect((await home.ledger("laptop")).map(({ state }) => state)).toEqual(["done"]);
});
