/** What the owner is asked about a command, and what is said of how it ended. */
import { ended, question } from "@kith/gateway/sessions/words";
import { expect, test } from "vitest";

const asked = { call: "0123456789ABCDEFGHJKMNPQRS", device: "k", name: "laptop", cap: "shell.run" };
const rest = { env: [], stdin: "", timeout_s: 60 };

test("a command is asked for with all that it would get, each argument by itself", () => {
  const plain = question({ ...asked, args: { argv: ["ls", "-l a"], cwd: {}, ...rest } });
  expect(plain.text).toContain('May I run ["ls","-l a"] in a sandbox of laptop?');
  const cwd = { root: "docs", path: "a" };
  const env = [{ name: "TZ", value: "UTC" }];
  expect(question({ ...asked, args: { argv: ["cat"], cwd, env, stdin: "x\n" } }).text).toContain(
    'run ["cat"], cwd {"root":"docs","path":"a"}, env [{"name":"TZ","value":"UTC"}], stdin "x\\n" in a sandbox of laptop?',
  );
});

test.each([
  [
    { end: "exit", exit_code: 2, stdout: "a\nb", stderr: "oops" },
    "laptop: ended with code 2.\na\nb\noops",
  ],
  [
    { end: "signal", exit_code: 137, signal: "SIGKILL", stdout: "", stderr: "" },
    "laptop: ended with SIGKILL.",
  ],
  [{ end: "timeout", stdout: "", stderr: "" }, "laptop: ended with timeout."],
])("what a command came to is told: %j", (out, text) => {
  expect(ended({ ...asked, state: "done", out }, true).text).toBe(text);
});
