/** Notifications, by programs that stand in for those of a desktop. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { notify } from "@kith/node-agent/drivers/notify/notify";
import { desktop } from "@kith/node-agent/platform";
import { notifyShow } from "@kith/shared/capabilities/notify";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { codeOf, folder, lend } from "./support.ts";

type Folder = Awaited<ReturnType<typeof folder>>;

/** A session whose PATH begins here. */
const session = (home: Folder, system: NodeJS.Platform, bus = "unix:path=/no/such/bus") =>
  desktop(
    { PATH: `${home.path}:${process.env["PATH"] ?? ""}`, DBUS_SESSION_BUS_ADDRESS: bus },
    system,
  );

/** A program that keeps its arguments, each ended by a line of its own. */
async function keeper(home: Folder, name: string): Promise<() => Promise<string[]>> {
  const log = join(home.path, "log");
  await home.file(name, `#!/bin/sh\nprintf '%s\\n--end--\\n' "$@" > ${log}\n`, 0o755);
  return async () => (await readFile(log, "utf8")).split("\n--end--\n").slice(0, -1);
}

const nasty = v.parse(notifyShow.args, {
  title: '-e "quoted" $(id) é',
  body: 'two\nlines <a href="x">here</a> & \\n `x`',
  urgency: "low",
});

describe.runIf(process.platform !== "win32")("a notification", () => {
  test("of Linux is words only, and says from whom it is", async () => {
    await using home = await folder();
    const args = await keeper(home, "notify-send");
    const driver = notify(session(home, "linux"));
    expect(await driver.probe()).toEqual({ state: "ready" });
    expect(await driver.run(nasty, lend())).toEqual({});
    expect(await args()).toEqual([
      ...["--app-name=Kith", "--urgency=low", "--", 'Assistant: -e "quoted" $(id) é'],
      'two\nlines &lt;a href="x"&gt;here&lt;/a&gt; &amp; \\\\n `x`',
    ]);
  });

  test("of macOS comes to a fixed script as its arguments", async () => {
    await using home = await folder();
    const args = await keeper(home, "osascript");
    await notify(session(home, "darwin")).run(nasty, lend());
    const given = await args();
    expect(given.slice(-2)).toEqual(['Assistant: -e "quoted" $(id) é', nasty.body]);
    expect(given.slice(0, -2).join(" ")).toBe(
      "-e on run argv -e display notification (item 2 of argv) with title (item 1 of argv) -e end run",
    );
  });

  test("of Windows comes to a fixed script by stdin", async () => {
    await using home = await folder();
    const log = join(home.path, "log");
    const body = `echo "$*" > ${log}.args; cat > ${log}`;
    await home.file("powershell.exe", `#!/bin/sh\n${body}\n`, 0o755);
    await notify(session(home, "win32")).run(nasty, lend());
    expect(JSON.parse(await readFile(log, "utf8"))).toEqual({
      title: `Assistant: ${nasty.title}`,
      body: nasty.body,
    });
    const script = Buffer.from(
      (await readFile(`${log}.args`, "utf8")).split(" ").at(-1)!,
      "base64",
    );
    expect(script.toString("utf16le")).toContain("CreateTextNode($in.title)");
    expect(script.toString("utf16le")).not.toContain("quoted");
  });

  test.each([
    [
      "GDBus.Error:org.freedesktop.DBus.Error.ServiceUnknown: The name is not provided",
      "not-ready",
    ],
    ["Cannot autolaunch D-Bus without X11 $DISPLAY", "not-ready"],
    ["something else", "driver"],
  ])("that fails with %j is %s", async (words, code) => {
    await using home = await folder();
    await home.file("notify-send", `#!/bin/sh\necho '${words}' >&2; exit 1\n`, 0o755);
    expect(await codeOf(notify(session(home, "linux")).run(nasty, lend()))).toBe(code);
  });
});

test.each([
  [{}, "linux", /^no message bus: .*desktop$/],
  [{ XDG_RUNTIME_DIR: "/no/such/folder" }, "linux", /^no message bus: /],
  [
    { PATH: "/none", DBUS_SESSION_BUS_ADDRESS: "unix:path=/x" },
    ...(["linux", /^notify-send was not found; .*libnotify/] as const),
  ],
  [{ PATH: "/none" }, "darwin", /^osascript was not found$/],
  [{ PATH: "/none" }, "win32", /^powershell.exe was not found$/],
] as const)("in %j on %s it says why none can be shown", async (env, system, reason) => {
  const driver = notify(desktop(env, system));
  expect(await driver.probe()).toEqual({
    state: "unavailable",
    reason: expect.stringMatching(reason) as string,
  });
  expect(await codeOf(driver.run(nasty, lend()))).toBe("not-ready");
});
