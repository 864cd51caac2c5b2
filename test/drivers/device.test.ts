/** What a machine says of itself, and what the agent knows of systems. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { device } from "@kith/node-agent/drivers/device/device";
import {
  battery,
  childEnvironment,
  installLine,
  kindGuess,
  lid,
  networkKinds,
  osName,
} from "@kith/node-agent/platform";
import { deviceInfo, deviceStatus } from "@kith/shared/capabilities/device";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { folder, lend } from "./support.ts";

describe("a device", () => {
  test("tells what it is within the schema", async () => {
    const { info } = device({ agent: `kith-node 0.1.0 ${"x".repeat(100)}` });
    const out = v.parse(deviceInfo.out, await info.run({}, lend()));
    expect(out.os).toBe(osName());
    expect(out.memory_bytes).toBeGreaterThan(0);
    expect((await info.probe()).state).toBe("ready");
  });

  test("tells how it is doing within the schema", async () => {
    const power = () => Promise.resolve({ percent: 83, charging: false });
    const { status } = device({ agent: "kith-node 0.1.0", power });
    const out = v.parse(deviceStatus.out, await status.run({}, lend()));
    expect(out).toMatchObject({ battery_percent: 83, charging: false });
    expect(out.disk_free_bytes).toBeGreaterThan(0);
  });

  test("leaves out what it cannot know", async () => {
    const { status } = device({
      agent: "a",
      home: "/no/such/home",
      power: () => Promise.resolve(undefined),
    });
    const out = v.parse(deviceStatus.out, await status.run({}, lend()));
    expect(Object.keys(out)).not.toContain("disk_free_bytes");
    expect(Object.keys(out)).not.toContain("battery_percent");
    expect(Object.keys(out)).not.toContain("charging");
  });
});

/** A Linux machine with these supplies and screens. */
async function linux(home: Awaited<ReturnType<typeof folder>>, files: Record<string, string>) {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(home.path, name, ".."), { recursive: true });
    await home.file(name, text);
  }
  return home.path;
}

const own = {
  "class/power_supply/BAT0/type": "Battery\n",
  "class/power_supply/BAT0/capacity": "57\n",
  "class/power_supply/BAT0/status": "Charging\n",
};
const mouse = {
  "class/power_supply/hid-0/type": "Battery\n",
  "class/power_supply/hid-0/scope": "Device\n",
  "class/power_supply/hid-0/capacity": "90\n",
};

describe("power", () => {
  test("on Linux is the machine's own battery, not the mouse's", async () => {
    await using home = await folder();
    const sys = await linux(home, { ...mouse, ...own, "class/power_supply/AC/type": "Mains\n" });
    expect(await battery("linux", sys)).toEqual({ percent: 57, charging: true });
    expect(await kindGuess("linux", {}, sys)).toBe("laptop");
  });

  test("is unknown without a battery", async () => {
    await using home = await folder();
    expect(await battery("linux", await linux(home, mouse))).toBeUndefined();
    expect(await battery("linux", "/no/such/folder")).toBeUndefined();
    expect(await battery("darwin", "/sys", "/no/such/pmset")).toBeUndefined();
  });

  test.runIf(process.platform !== "win32").each([
    ["83%; discharging; 5:12 remaining", { percent: 83, charging: false }],
    ["100%; charged; 0:00 remaining", { percent: 100, charging: false }],
    ["41%; charging; 1:02 remaining", { percent: 41, charging: true }],
    ["99%; finishing charge; 0:10 remaining", { percent: 99, charging: true }],
  ])("on macOS is read from `%s`", async (words, expected) => {
    await using home = await folder();
    const lines = `Now drawing from 'AC Power'\n -InternalBattery-0 (id=4653155)\t${words} present: true`;
    const pmset = await home.file("pmset", `#!/bin/sh\ncat <<'X'\n${lines}\nX\n`, 0o755);
    expect(await battery("darwin", "/sys", pmset)).toEqual(expected);
  });
});

test("a Linux machine without battery is a desktop when it has a screen, else a server", async () => {
  await using home = await folder();
  const sys = await linux(home, { "class/drm/card0-HDMI-A-1/status": "disconnected\n" });
  expect(await kindGuess("linux", {}, sys)).toBe("server");
  expect(await kindGuess("linux", { WAYLAND_DISPLAY: "wayland-0" }, sys)).toBe("desktop");
  await linux(home, { "class/drm/card0-DP-1/status": "connected\n" });
  expect(await kindGuess("linux", {}, sys)).toBe("desktop");
});

test.each([
  ["ID=debian", "sudo apt install ffmpeg"],
  ['ID=linuxmint\nID_LIKE="ubuntu debian"', "sudo apt install ffmpeg"],
  ['NAME="Fedora Linux"\nID=fedora', "sudo dnf install ffmpeg-free"],
  ["ID=manjaro\nID_LIKE=arch", "sudo pacman -S ffmpeg"],
  ['ID=alpine\nPRETTY_NAME="not debian"', "sudo apk add ffmpeg"],
  ["ID=somethingelse", "install ffmpeg with the system's package manager"],
])("on a system with %j ffmpeg is installed by %j", async (release, line) => {
  await using home = await folder();
  expect(await installLine("ffmpeg", "linux", await home.file("os-release", `${release}\n`))).toBe(
    line,
  );
});

test("a package that is called otherwise somewhere is called so there", async () => {
  await using home = await folder();
  const [debian, fedora] = await Promise.all(
    ["debian", "fedora"].map((id) => home.file(id, `ID=${id}\n`)),
  );
  expect(await installLine("libnotify", "linux", debian)).toBe("sudo apt install libnotify-bin");
  expect(await installLine("libnotify", "linux", fedora)).toBe("sudo dnf install libnotify");
  expect(await installLine("xclip", "linux", debian)).toBe("sudo apt install xclip");
});

test("macOS, Windows and Termux have install lines of their own", async () => {
  expect(await installLine("ffmpeg", "darwin")).toBe("brew install ffmpeg");
  expect(await installLine("ffmpeg", "win32")).toBe("winget install Gyan.FFmpeg");
  expect(await installLine("ffmpeg", "android")).toBe("pkg install ffmpeg");
});

test("a child's environment is a fixed list of names", () => {
  const planted = {
    PATH: "/bin",
    HOME: "/h",
    LD_PRELOAD: "x",
    NODE_OPTIONS: "x",
    FFREPORT: "x",
    ANTHROPIC_API_KEY: "x",
    SystemRoot: "C:\\W",
  };
  expect(childEnvironment(planted, "linux")).toEqual({ PATH: "/bin", HOME: "/h" });
  expect(childEnvironment(planted, "win32")).toEqual({ PATH: "/bin", SystemRoot: "C:\\W" });
});

describe("a lid", () => {
  test("is read where the system tells", async () => {
    await using home = await folder();
    expect(await lid("linux", home.path)).toBeUndefined();
    await linux(home, { "LID0/state": "state:      closed\n" });
    expect(await lid("linux", home.path)).toBe("closed");
    await linux(home, { "LID0/state": "state:      open\n" });
    expect(await lid("linux", home.path)).toBe("open");
    expect(await lid("win32", "/no/such/folder")).toBeUndefined();
  });
});

test("the kinds of network are told, each once, and nothing of their names", async () => {
  await using home = await folder();
  const sys = await linux(home, { "wlan0/wireless/link": "", "eth0/device/id": "", "br0/x": "" });
  const at = (address: string, internal = false) => [
    { address, internal, family: "IPv4", netmask: "", mac: "", cidr: null } as const,
  ];
  const interfaces = {
    ...{ lo: at("127.0.0.1", true), wlan0: at("192.168.1.2"), eth0: at("10.0.0.2") },
    ...{ br0: at("172.17.0.1"), br1: at("172.18.0.1"), tailscale0: at("100.64.0.9") },
    wwan0: at("10.9.9.9"),
  };
  expect(await networkKinds(interfaces, sys)).toEqual([
    ...["ethernet", "mobile", "other", "tailnet", "wifi"],
  ]);
  expect(await networkKinds({ lo: at("127.0.0.1", true) }, sys)).toEqual([]);
});
