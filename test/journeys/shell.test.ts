/** A command goes to a device, runs in its sandbox, and what it wrote comes back. */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isRoot, lacking, SECRET } from "../drivers/shell-world.ts";
import { freshFolder, pairedWorld, until, type World } from "../support/home.ts";

if (lacking) console.log(`skipped: commands on a device, because ${lacking}`);

/** A shared folder beside a secret. */
function place(): string {
  const base = freshFolder();
  mkdirSync(join(base, "work"));
  writeFileSync(join(base, "secret"), SECRET);
  writeFileSync(join(base, "work", "note.txt"), "one\ntwo\nthree\n");
  // A command never runs as root: where these tests do, the folder is nobody's.
  chmodSync(base, 0o755);
  if (isRoot)
    for (const path of ["work", "work/note.txt"]) chownSync(join(base, path), 65_534, 65_534);
  return base;
}

async function start(home: World, base: string): Promise<void> {
  await home.startGateway();
  await home.startNode("laptop", {
    allow: "shell.run=allow",
    args: ["--root", `work=${join(base, "work")}`],
  });
  await home.offers("laptop", (caps) =>
    caps.some(({ cap, state }) => cap === "shell.run" && state === "ready"),
  );
}

const run = (argv: string[], more = {}) => ({
  ...{ device: "laptop", cap: "shell.run", allow: "once", args: { argv, ...more } },
});

describe.skipIf(lacking)("a command", () => {
  test("gives its output and its code, and reaches nothing beside its folder", async () => {
    const base = place();
    await using home = await pairedWorld();
    await start(home, base);
    const counted = await home.call("invoke", run(["wc", "-l", "note.txt"]));
    expect(counted.out).toMatchObject({
      out: { sandbox: "workspace", end: "exit", exit_code: 0, stdout: "3 note.txt\n" },
      streams: [{ role: "stdout", bytes: 11 }],
    });
    expect(readFileSync(counted.out.streams[0].path, "utf8")).toBe("3 note.txt\n");

    const stolen = await home.call("invoke", run(["cat", join(base, "secret")]));
    expect(stolen.out).toMatchObject({ out: { end: "exit", exit_code: 1, stdout: "" } });
    expect(JSON.stringify(stolen)).not.toContain(SECRET);
    expect(await home.auditIsWhole()).toBe(true);
  });

  test("is ended by a lock, and nobody claims to know how far it came", async () => {
    const base = place();
    await using home = await pairedWorld();
    await start(home, base);
    const program = "trap 'touch asked; exit' TERM; touch begun; sleep 600 & wait";
    const ended = home.refused("invoke", run(["sh", "-c", program], { timeout_s: 300 }));
    await until("the command to run", () => existsSync(join(base, "work", "begun")));
    await home.call("lock");
    expect(await ended).toMatchObject({ code: "unknown", message: "everything was locked" });
    await until("the command to be asked to end", () => existsSync(join(base, "work", "asked")));
  });
});
