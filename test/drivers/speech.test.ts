/** Speech: a real voice that writes a file, stand-ins where there is no sound. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { speaker, voiceFor } from "@kith/node-agent/drivers/speech/say";
import { desktop } from "@kith/node-agent/platform";
import { speechSay } from "@kith/shared/capabilities/speech";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { alive, codeOf, folder, lend } from "./support.ts";
import { installed } from "./xvfb.ts";

const linux = process.platform === "linux";
const real = linux && installed(["espeak-ng"], "the tests with a real voice");

type Folder = Awaited<ReturnType<typeof folder>>;

/** A session whose PATH begins here, and which has a sound server by its own word. */
const session = (home: Folder, system: NodeJS.Platform = "linux") =>
  desktop({ PATH: `${home.path}:${process.env["PATH"] ?? ""}`, PULSE_SERVER: "x" }, system);

const speech = (args: Record<string, unknown>) => v.parse(speechSay.args, args);

describe.runIf(real)("a real voice", () => {
  /** Speaks into a file instead of a sound device; returns the bytes of its samples. */
  async function spoken(args: Record<string, unknown>): Promise<number> {
    await using home = await folder();
    const wav = join(home.path, "out.wav");
    const path = process.env["PATH"] ?? "";
    const body = `PATH='${path}' exec espeak-ng -w ${wav} "$@"`;
    await home.file("espeak-ng", `#!/bin/sh\n${body}\n`, 0o755);
    expect(await speaker(session(home)).run(speech(args), lend())).toEqual({});
    const file = await readFile(wav);
    expect(file.toString("latin1", 0, 4)).toBe("RIFF");
    return file.length - 44;
  }

  test("says more of a longer text, and is quicker when it is told so", async () => {
    const text = "The kettle boils. Somebody should look after it.";
    const [short, whole, quick] = [
      await spoken({ text: "The kettle boils." }),
      await spoken({ text }),
      await spoken({ text, rate_percent: 200 }),
    ];
    expect(short).toBeGreaterThan(10_000);
    expect(whole).toBeGreaterThan(short * 1.5);
    expect(quick).toBeLessThan(whole * 0.8);
  });

  test("takes a text that looks like options for a text", async () => {
    expect(await spoken({ text: "--version\n-w /tmp/x" })).toBeGreaterThan(10_000);
  });

  test("speaks a language without a voice of the region by one without a region", async () => {
    expect(await spoken({ text: "Grüß Gott", language: "de-AT" })).toBeGreaterThan(5_000);
  });

  test("that is not there is told before anything is said", async () => {
    expect(await codeOf(spoken({ text: "x", language: "xx-YY" }))).toBe("bad-args");
  });
});

describe.runIf(linux)("on Linux", () => {
  test("it is ready with a sound server or an output, and not without", async () => {
    await using home = await folder();
    await home.file("espeak-ng", "#!/bin/sh\n", 0o755);
    const silent = desktop({ PATH: home.path }, "linux");
    const probe = (here = silent, devices = home.path) => speaker(here, devices).probe();
    expect(await probe()).toEqual({
      state: "unavailable",
      reason: expect.stringMatching(/^no sound device found; /) as string,
    });
    await home.file("pcmC0D0c", "");
    expect(await probe()).toMatchObject({ state: "unavailable" });
    expect(await codeOf(speaker(silent, home.path).run(speech({ text: "x" }), lend()))).toBe(
      "not-ready",
    );
    expect(await probe(session(home))).toEqual({ state: "ready" });
    await home.file("pcmC0D0p", "");
    expect(await probe()).toEqual({ state: "ready" });
    expect(await probe(desktop({ PATH: "/none" }, "linux"))).toMatchObject({
      reason: expect.stringMatching(/^espeak-ng was not found; .*espeak-ng/) as string,
    });
  });

  test("a voice whose sound went nowhere has not spoken", async () => {
    await using home = await folder();
    const body =
      "echo 'ALSA lib pcm.c:2666: Unknown PCM default' >&2; echo 'error: No such file' >&2";
    await home.file("espeak-ng", `#!/bin/sh\n${body}\n`, 0o755);
    const running = speaker(session(home)).run(speech({ text: "x" }), lend());
    await expect(running).rejects.toThrow("nothing could be heard: No such file");
  });

  test("a voice ends in the middle of a word when it is told to", async () => {
    await using home = await folder();
    const pid = join(home.path, "pid");
    const body = `echo $$ > ${pid}.new; mv ${pid}.new ${pid}; sleep 1000`;
    await home.file("espeak-ng", `#!/bin/sh\n${body}\n`, 0o755);
    const stop = new AbortController();
    const running = codeOf(speaker(session(home)).run(speech({ text: "x" }), lend(stop.signal)));
    await expect.poll(() => readFile(pid, "utf8").catch(() => ""), { timeout: 9_000 }).not.toBe("");
    stop.abort();
    expect(await running).toBe("cancelled");
    const gone = Number(await readFile(pid, "utf8"));
    await expect.poll(() => alive(gone)).toBe(false);
  });
});

describe.runIf(process.platform !== "win32")("by stand-ins", () => {
  test("macOS speaks with a voice of the language, and gets the text by stdin", async () => {
    await using home = await folder();
    const log = join(home.path, "log");
    const body = `case "$*" in "-v ?") echo 'Anna (Enhanced)     de_DE    # Hallo!'; exit;; esac
      echo "$*" > ${log}.args; cat > ${log}`;
    await home.file("say", `#!/bin/sh\n${body}\n`, 0o755);
    const driver = speaker(session(home, "darwin"));
    await driver.run(speech({ text: "-f Hallo", language: "de", rate_percent: 120 }), lend());
    expect(await readFile(log, "utf8")).toBe("-f Hallo");
    expect(await readFile(`${log}.args`, "utf8")).toBe("-v Anna (Enhanced) -r 210 -f -\n");
    expect(await codeOf(driver.run(speech({ text: "x", language: "fr" }), lend()))).toBe(
      "bad-args",
    );
  });

  test("Windows speaks by a fixed script", async () => {
    await using home = await folder();
    const log = join(home.path, "log");
    await home.file("powershell.exe", `#!/bin/sh\ncat > ${log}\n`, 0o755);
    const driver = speaker(session(home, "win32"));
    await driver.run(speech({ text: "Olá", language: "pt-BR", rate_percent: 200 }), lend());
    expect(JSON.parse(await readFile(log, "utf8"))).toEqual({
      ...{ text: "Olá", language: "pt-BR", primary: "pt", rate: 6 },
    });
    await home.file("powershell.exe", "#!/bin/sh\nexit 3\n", 0o755);
    expect(await codeOf(driver.run(speech({ text: "x" }), lend()))).toBe("bad-args");
  });
});

test("a voice of the region is taken rather than another of the language", () => {
  const told = `Daniel              en_GB    # Hello!
Samantha            en_US    # Hello!
Xander              nl_NL    # Hallo!
`;
  expect(voiceFor(told, "en-US")).toBe("Samantha");
  expect(voiceFor(told, "en")).toBe("Daniel");
  expect(voiceFor(told, "en-AU")).toBe("Daniel");
  expect(voiceFor(told, "de")).toBeUndefined();
});

test("what is too long, or no language, is refused", () => {
  const takes = (args: object) => v.is(speechSay.args, args);
  expect(takes({ text: "é".repeat(1_000) })).toBe(true);
  expect(takes({ text: "é".repeat(1_001) })).toBe(false);
  expect(takes({ text: "" })).toBe(false);
  for (const language of ["-w", "e", "en_US", "../en", "en --help", "english-speaking-x-y"])
    expect(takes({ text: "x", language })).toBe(false);
});
