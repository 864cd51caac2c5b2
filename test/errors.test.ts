import { readFileSync } from "node:fs";
import { remedies } from "@kith/shared/errors";
import { expect, test } from "vitest";

const page = readFileSync(new URL("../docs/errors.md", import.meta.url), "utf8");
const [, ...sections] = page.split(/^## /m);
const described = sections.map((section) => {
  const [code = "", ...lines] = section.split("\n");
  const [meaning = "", remedy = ""] = lines.join("\n").split("**What to do.**");
  return { code, meaning: meaning.trim(), remedy: remedy.trim() };
});

test("docs/errors.md has one heading for each code, in the order of the code", () => {
  expect(described.map(({ code }) => code)).toEqual(Object.keys(remedies));
});

test.for(described)("$code says what it means and what to do", ({ meaning, remedy }) => {
  expect(meaning).toMatch(/\w.*\.$/s);
  expect(remedy).toMatch(/\w/);
});

test.for(Object.entries(remedies))("%s has a remedy of its own words", ([code, remedy]) => {
  expect(remedy.trim()).toMatch(/\w.*\.$/s);
  expect(remedy).not.toBe(code);
});
