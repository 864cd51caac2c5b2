import { isYes, questionOf } from "@kith/node-agent/question";
import { expect, test } from "vitest";

const ask = (cap: string, args: unknown) => {
  const [, what] =
    /^Your assistant wants to use (.*), asked in a chat\. Allow it this once\?$/.exec(
      questionOf(cap, args, "asked in a chat"),
    ) ?? [];
  return what;
};

test.each([
  ["camera.snap", { facing: "any", max_edge_px: 1_600 }, "camera.snap here"],
  ["camera.snap", { facing: "front" }, "camera.snap here (facing: front)"],
  [
    "camera.snap",
    { camera: "video0", facing: "back" },
    "camera.snap here (camera: video0, facing: back)",
  ],
  ["files.read", { path: "notes.txt", max_bytes: 9 }, "files.read here (path: notes.txt)"],
  ["files.read", { root: "docs", path: "a/b.txt" }, "files.read here (path: a/b.txt, root: docs)"],
  [
    "shell.run",
    { argv: ["sh", "-c", "rm *"], cwd: { root: "docs" }, env: [], stdin: "", timeout_s: 60 },
    'shell.run here (argv: ["sh","-c","rm *"], cwd: {"root":"docs"})',
  ],
  ["screen.snap", { screen: "HDMI-1", format: "png" }, "screen.snap here (screen: HDMI-1)"],
  ["clipboard.write", { text: "a\nb" }, "clipboard.write here (text: ab)"],
  ["location.get", { precision: "city" }, "location.get here (precision: city)"],
  ["notify.show", { title: "Tea", body: "x" }, "notify.show here (title: Tea)"],
  ["speech.say", { text: "Tea", language: "en" }, "speech.say here (text: Tea)"],
  ["url.open", { url: "https://a.example/" }, "url.open here (url: https://a.example/)"],
  ["device.info", {}, "device.info here"],
  ["device.info", { path: "x" }, "device.info here"],
])("%s with %j is asked for in words", (cap, args, what) => {
  expect(ask(cap, args)).toBe(what);
});

test("a path that is long keeps its end, and none brings a terminal's keys along", () => {
  const what = ask("files.read", { path: `\u001b[2J${"a/".repeat(400)}secret.txt` });
  expect(what).toMatch(/^files\.read here \(path: \[2Ja\/.*….*\/secret\.txt\)$/);
  expect(what!.length).toBeLessThan(200);
});

test("nothing is said of a reason that nobody gave", () => {
  expect(questionOf("device.info", {}, "")).toBe(
    "Your assistant wants to use device.info here. Allow it this once?",
  );
});

test.each(["y", "Y", "yes", "YES", "/yes", "/Yes", " y "])("%j is yes", (typed) => {
  expect(isYes(typed)).toBe(true);
});

test.each(["", "n", "/y", "yes please", "ye", "//yes", "1"])("%j is no", (typed) => {
  expect(isYes(typed)).toBe(false);
});
