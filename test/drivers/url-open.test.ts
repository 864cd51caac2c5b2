/** Web pages: which addresses are opened, and by what. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { urlOpener } from "@kith/node-agent/drivers/url/open";
import { desktop } from "@kith/node-agent/platform";
import { urlOpen } from "@kith/shared/capabilities/url";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { alive, codeOf, folder, lend } from "./support.ts";

const long = (chars: number) => `https://example.org/${"a".repeat(chars - 20)}`;

test.each([
  ["https://example.org", "https://example.org/"],
  ["HTTP://EXAMPLE.org:80/a b?q='\"`|#<x>", "http://example.org/a%20b?q=%27%22`|#%3Cx%3E"],
  ["https://müller.example/ü", "https://xn--mller-kva.example/%C3%BC"],
  ["http://[::1]:8080/", "http://[::1]:8080/"],
  ["https:example.org", "https://example.org/"],
  [long(2_048), long(2_048)],
])("%s is opened in its normal form", async (given, url) => {
  await using home = await folder();
  await home.file("xdg-open", "#!/bin/sh\n", 0o755);
  const driver = urlOpener(session(home));
  expect(await driver.run(v.parse(urlOpen.args, { url: given }), lend())).toEqual({ url });
});

test.each([
  ...["javascript:alert(1)", "file:///etc/passwd", "ftp://example.org/", "mailto:a@example.org"],
  ...["data:text/html,x", "ms-settings:", "x-apple.systempreferences:", "vscode://file/x"],
  ...["https://anna@example.org/", "https://anna:secret@example.org/", "https://:x@example.org/"],
  ...["example.org", "//example.org", "https://", "--help", "", " ", "https://exa mple.org"],
  ...["https://example.org/\n--help", "https://example.org/\u202e", long(2_049)],
  // Longer in its normal form.
  `https://example.org/${"é".repeat(500)}`,
])("%j is refused before anything is started", async (url) => {
  expect(v.is(urlOpen.args, { url })).toBe(false);
});

test("the driver looks at the address itself", async () => {
  await using home = await folder();
  const trace = join(home.path, "trace");
  await home.file("xdg-open", `#!/bin/sh\ntouch ${trace}\n`, 0o755);
  const driver = urlOpener(session(home));
  expect(await codeOf(driver.run({ url: "file:///etc/passwd" }, lend()))).toBe("bad-args");
  await expect(readFile(trace)).rejects.toThrow("ENOENT");
});

type Folder = Awaited<ReturnType<typeof folder>>;

const session = (home: Folder, system: NodeJS.Platform = "linux") =>
  desktop({ PATH: `${home.path}:${process.env["PATH"] ?? ""}`, DISPLAY: ":0" }, system);

describe.runIf(process.platform === "linux")("the opener", () => {
  test.each([
    ["linux", "xdg-open", ""],
    ["darwin", "open", ""],
    ["win32", "rundll32.exe", "url.dll,FileProtocolHandler|"],
  ] as const)("of %s is %s, without a shell", async (system, program, before) => {
    await using home = await folder();
    const log = join(home.path, "log");
    await home.file(program, `#!/bin/sh\nprintf '%s|' "$@" > ${log}\n`, 0o755);
    const driver = urlOpener(session(home, system));
    expect(await driver.probe()).toEqual({ state: "ready" });
    await driver.run({ url: "https://example.org/?a=1&b=$(id);%PATH%" }, lend());
    expect(await readFile(log, "utf8")).toBe(`${before}https://example.org/?a=1&b=$(id);%PATH%|`);
  });

  test("that becomes the browser is left running", async () => {
    await using home = await folder();
    const pid = join(home.path, "pid");
    const body = `echo $$ > ${pid}.new; mv ${pid}.new ${pid}; exec sleep 1000`;
    await home.file("xdg-open", `#!/bin/sh\n${body}\n`, 0o755);
    const running = urlOpener(session(home), 200).run({ url: "https://example.org/" }, lend());
    await expect.poll(() => readFile(pid, "utf8").catch(() => ""), { timeout: 9_000 }).not.toBe("");
    expect(await running).toEqual({ url: "https://example.org/" });
    const browser = Number(await readFile(pid, "utf8"));
    expect(await alive(browser)).toBe(true);
    process.kill(browser, "SIGKILL");
  });

  test("that finds no browser is a failure", async () => {
    await using home = await folder();
    await home.file("xdg-open", "#!/bin/sh\nexit 3\n", 0o755);
    const driver = urlOpener(session(home));
    expect(await codeOf(driver.run({ url: "https://example.org/" }, lend()))).toBe("driver");
  });
});

test.each([
  [{}, "linux", /^no display: /],
  [{ PATH: "/none", DISPLAY: ":0" }, "linux", /^xdg-open was not found; .*xdg-utils/],
  [{ PATH: "/none" }, "darwin", /^open was not found$/],
  [{ PATH: "/none" }, "win32", /^rundll32.exe was not found$/],
] as const)("in %j on %s it says why none can be opened", async (env, system, reason) => {
  const driver = urlOpener(desktop(env, system));
  expect(await driver.probe()).toEqual({
    state: "unavailable",
    reason: expect.stringMatching(reason) as string,
  });
});
