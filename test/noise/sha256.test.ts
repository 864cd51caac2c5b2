import * as node from "@kith/shared/sha256.node";
import * as web from "@kith/shared/sha256.web";
import { expect, test } from "vitest";

test("both twins give the hash that FIPS 180-4 names", () => {
  const abc = new TextEncoder().encode("abc");
  const hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  expect([node.sha256Hex(abc), web.sha256Hex(abc)]).toEqual([hash, hash]);
});
