/** On-device questions as notifications, by a program that stands in for the desktop's. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { askOnDesktop } from "@kith/node-agent/ask-on-desktop";
import { Consent } from "@kith/node-agent/consent";
import { desktop } from "@kith/node-agent/platform";
import { expect, test } from "vitest";
import { alive, folder } from "../drivers/support.ts";
import { FakeClock, id } from "./world.ts";

/** A desktop whose notify-send does that, and a question on it. */
async function asking(body: string, from: NodeJS.Platform = "linux") {
  const home = await folder();
  await home.file("notify-send", `#!/bin/sh\n${body}\n`, 0o755);
  const env = { PATH: `${home.path}:${process.env["PATH"] ?? ""}`, DBUS_SESSION_BUS_ADDRESS: "x" };
  const consent = new Consent(new FakeClock());
  const stop = askOnDesktop(consent, desktop(env, from));
  const question = { call: id("A"), cap: "camera.snap", text: "Allow it this once?" };
  const end = new AbortController();
  return {
    ...{ home, consent },
    answer: consent.ask(question, 60_000, end.signal),
    async [Symbol.asyncDispose]() {
      end.abort();
      stop();
      await home[Symbol.asyncDispose]();
    },
  };
}

test("a press of its button is a no", async () => {
  await using world = await asking('echo "$*" > "$(dirname "$0")/args"; echo pressed');
  expect(await world.answer).toBe(false);
  const args = await readFile(join(world.home.path, "args"), "utf8");
  expect(args).toContain("--urgency=critical --action=pressed=No -- Assistant asks");
  expect(args).toContain(`Allow it this once? (kith node yes ${id("A").slice(-4)})`);
});

test("a notification that goes by itself says nothing, and none can say yes", async () => {
  await using world = await asking('echo yes; touch "$(dirname "$0")/shown"');
  await expect.poll(() => existsSync(join(world.home.path, "shown"))).toBe(true);
  expect(world.consent.questions).toHaveLength(1);
  world.consent.answer(id("A"), true);
  expect(await world.answer).toBe(true);
});

test("it goes with the question", async () => {
  await using world = await asking('echo $$ > "$(dirname "$0")/pid"; exec sleep 1000');
  const pid = () => readFile(join(world.home.path, "pid"), "utf8").catch(() => "");
  await expect.poll(pid).not.toBe("");
  const shown = Number(await pid());
  world.consent.answer(id("A"), true);
  await expect.poll(() => alive(shown)).toBe(false);
});

test("an old notify-send shows it without a button; without a desktop it is asked elsewhere", async () => {
  const old =
    'case "$*" in *--action*) echo "Unknown option --action" >&2; exit 1;; esac; touch "$(dirname "$0")/shown"';
  await using world = await asking(old);
  await expect.poll(() => existsSync(join(world.home.path, "shown"))).toBe(true);
  await using none = await asking("exit 1", "win32");
  none.consent.answer(id("A"), true);
  expect(await none.answer).toBe(true);
});
