import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { guards } from "./guards.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

test("each guard that can be taken away stands where its entry says, once", () => {
  const lost = guards.filter(
    ({ file, line }) => readFileSync(join(root, file), "utf8").split(line).length !== 2,
  );
  expect(lost.map(({ file, line }) => `${file}: ${line}`)).toEqual([]);
});
