/** The program on a real terminal, which `script` makes: what a person sees, in this order. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { fakeGateway } from "./gateway.ts";
import { folder, until } from "./world.ts";

const program = fileURLToPath(import.meta.resolve("@kith/node-agent/main"));
// The `script` of util-linux; those of other systems take other arguments.
const none = process.platform !== "linux" || !existsSync("/usr/bin/script");

/** The program on a terminal of 80 columns. */
function terminal(kithHome: string, args: string) {
  const command = `stty cols 80; '${process.execPath}' '${program}' ${args}`;
  const child = spawn("/usr/bin/script", ["-qec", command, "/dev/null"], {
    env: { ...process.env, KITH_HOME: kithHome, SHELL: "/bin/sh" },
  });
  let [text, read] = ["", 0];
  child.stdout.on("data", (data: Buffer) => (text += data.toString()));
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  return {
    ended,
    types: (keys: string) => void child.stdin.write(keys),
    /** Waits for these words after those that were waited for before. */
    async shows(words: string) {
      await until(() => text.includes(words, read));
      read = text.indexOf(words, read) + words.length;
    },
    text: () => text,
    async [Symbol.asyncDispose]() {
      child.stdin.write("\u0003");
      await ended;
    },
  };
}

test.skipIf(none)("pairing on a terminal: the list, what was chosen, the code", async () => {
  await using gateway = await fakeGateway();
  await using place = await folder();
  await using node = terminal(place.path, `--gateway ${gateway.address}`);
  const link = await gateway.accepted();
  const { returnCode } = await link.pairQuietly();
  link.send({ t: "pair.approved" });
  await node.shows("approved. First, what this device may do for you:");
  await node.shows("cannot work now: no folder shared yet (--root NAME=PATH)");
  await node.shows("s skips");
  node.types("1234\r");
  await node.shows("Enter once more accepts this list.");
  node.types("j \r");
  await node.shows("\ndevice.status ask\r\nReturn code (4 digits, shown at the gateway): ");
  node.types("12\n");
  await node.shows("That is not 4 digits.\r\nReturn code (4 digits, shown at the gateway): ");
  node.types(`${String((Number(returnCode) + 1) % 10_000).padStart(4, "0")}\n`);
  await node.shows("That is not the return code (2 left).");
  node.types(`${returnCode.slice(0, 2)} ${returnCode.slice(2)}\n`);
  await link.next("pair.confirm");
  await node.shows("Paired: ");
});

test.skipIf(none)("skipping setup changes nothing, and says no more than that", async () => {
  await using place = await folder();
  await using node = terminal(place.path, "setup");
  await node.shows("s skips");
  node.types("s");
  await node.ended;
  expect(node.text()).toMatch(/s skips\r\nSkipped: nothing was changed\.\r\n$/);
});
