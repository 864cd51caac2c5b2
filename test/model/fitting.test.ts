import { readdirSync } from "node:fs";
import { dirname } from "node:path";
import { deflateSync } from "node:zlib";
import { fitting } from "@kith/gateway/model/fitting";
import { decodePicture } from "@kith/gateway/pictures/decode";
import { afterEach, expect, test, vi } from "vitest";
import { folder, node, png } from "../pictures/samples.ts";

const options = { node };
const picture = (data: Uint8Array) => ({ type: "image/png", data, name: "a.png" });
const plain = (width: number, height: number) => png(width, height, () => [9, 9, 9]);
/** Compresses to nothing less. */
function noise(width: number, height: number): Buffer {
  let at = 1;
  const next = () => ((at = (at * 48_271) % 2_147_483_647) >> 8) & 255;
  return png(width, height, () => [next(), next(), next()]);
}

afterEach(() => void vi.unstubAllEnvs());

test("up to 1600 px a picture goes byte for byte", async () => {
  const given = picture(plain(1_600, 8));
  expect(await fitting(given, options)).toBe(given);
});

test("a larger one is made smaller, always to the same bytes", async () => {
  await using files = await folder();
  const given = picture(plain(1_601, 8));
  const made = await fitting(given, options);
  expect(made).toMatchObject({ type: "image/jpeg", name: "a.png" });
  expect(await fitting(given, options)).toEqual(made);
  const file = await files.put("made.jpg", made.data);
  const { original } = await decodePicture(file, { as: "rgb", width: 1, height: 1 }, options);
  expect(original).toEqual({ width: 1_600, height: 8 });
});

test("one of more than 5 MiB is made smaller, whatever its sides are", async () => {
  const given = picture(noise(1_400, 1_400));
  expect(given.data.length).toBeGreaterThan(5 * 1_048_576);
  const { type, data } = await fitting(given, options);
  expect(type).toBe("image/jpeg");
  expect((data.length * 4) / 3).toBeLessThan(5 * 1_048_576);
});

test("what is no picture is not touched, and what only says so is refused", async () => {
  await using files = await folder();
  const here = dirname(await files.put("alone", ""));
  vi.stubEnv("TMPDIR", here);
  const pdf = { type: "application/pdf", data: new Uint8Array(9) };
  expect(await fitting(pdf, options)).toBe(pdf);
  const fake = picture(deflateSync("no picture"));
  await expect(fitting(fake, options)).rejects.toMatchObject({ code: "bad-result" });
  expect(readdirSync(here)).toEqual(["alone"]);
});
