import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { verbs } from "../gateway/bin/verbs.mjs";

const root = join(import.meta.dirname, "..");
const documents = [
  "README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];
const text = (name: string): string => readFileSync(join(root, name), "utf8");

test.each(documents)("every file that %s names exists", (name) => {
  const named = [
    ...text(name).matchAll(
      /`((?:shared|gateway|node-agent|test|docs|mobile-bridge|skills)\/[\w./-]+)`?/g,
    ),
  ]
    .map(([, path]) => path ?? "")
    // A folder is meant where the path ends in a slash or in three dots.
    .map((path) => path.replace(/\/?(?:\.\.\.|…)?$/, ""));
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test.each(documents)("every link of %s leads somewhere", (name) => {
  const links = [...text(name).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(
    ([, path]) => path ?? "",
  );
  expect(links.filter((path) => !existsSync(join(root, name, "..", path)))).toEqual([]);
});

test.each(documents)("every verb of the command that %s uses exists", (name) => {
  const used = [...text(name).matchAll(/(?:npx |`)kith ([a-z]+)\b/g)].map(([, verb]) => verb ?? "");
  expect(used.filter((verb) => !Object.hasOwn(verbs, verb))).toEqual([]);
});

test("the photo's walk is about ten files", () => {
  const walk =
    text("ARCHITECTURE.md").split("## The photo, file by file")[1]?.split("\n## ")[0] ?? "";
  const files = new Set(
    [...walk.matchAll(/`((?:gateway|node-agent)\/src\/[\w./…-]+)`/g)].map(([, path]) => path),
  );
  expect(files.size).toBeGreaterThanOrEqual(8);
  expect(files.size).toBeLessThanOrEqual(13);
});

test("no document names a machine's paths or a registry", () => {
  const wrong = documents.filter((name) => /\/(?:root|work)\/\w|registry\.npm/.test(text(name)));
  expect(wrong).toEqual([]);
});
