import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

interface Locked {
  readonly license?: string;
  readonly hasInstallScript?: boolean;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly dev?: boolean;
}

const lock = JSON.parse(readFileSync(new URL("../package-lock.json", import.meta.url), "utf8")) as {
  packages: Record<string, Locked>;
};
const packages = Object.entries(lock.packages).filter(
  ([path, { link }]) => path.startsWith("node_modules/") && !link,
);

/** Each works without its script: npm is always run with `--ignore-scripts`. */
const INSTALL_SCRIPTS = [
  "node_modules/esbuild",
  "node_modules/fsevents",
  "node_modules/msgpackr-extract",
];

/** libvips behind sharp: a library of its own, replaceable, in the gateway's decode child only. */
const COPYLEFT = /^node_modules\/@img\/sharp-(?:libvips-)?/;
const PERMISSIVE =
  /^(?:MIT|ISC|0BSD|BSD-[23]-Clause|Apache-2\.0|BlueOak-1\.0\.0|CC0-1\.0|Python-2\.0|Unlicense|\(?MIT OR [\w.-]+\)?|MPL-2\.0)$/;

test("no package runs a script at installation that is not on the list", () => {
  const scripts = packages
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([path]) => path);
  expect(scripts.filter((path) => !INSTALL_SCRIPTS.includes(path))).toEqual([]);
});

test("every package has a permissive licence, but the ones that are named", () => {
  const others = packages.filter(
    ([path, { license }]) => !COPYLEFT.test(path) && !PERMISSIVE.test(license ?? ""),
  );
  expect(others.map(([path, { license }]) => `${path}: ${license}`)).toEqual([]);
});

test("only tools of developers are under the Mozilla licence", () => {
  const mozilla = packages.filter(([, { license, dev }]) => license === "MPL-2.0" && !dev);
  expect(mozilla).toEqual([]);
});

test("the lock file names no registry", () => {
  expect(packages.filter(([, { resolved }]) => resolved?.startsWith("http"))).toEqual([]);
});
