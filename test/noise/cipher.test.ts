import { CipherError } from "@kith/shared/noise/cipher-error";
import * as chosen from "@kith/shared/noise/cipher";
import * as node from "@kith/shared/noise/cipher.node";
import * as web from "@kith/shared/noise/cipher.web";
import { fromHex, hex } from "@kith/shared/ids";
import { describe, expect, test } from "vitest";

/** 00 01 02 … */
const raw = Uint8Array.from({ length: 32 }, (_, at) => at);
const control = Uint8Array.of(0x10);
const counters = [0, 1, 255, 2 ** 21, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER];

test("Node gets the cipher of node:crypto under the common name", () => {
  expect(chosen.seal).toBe(node.seal);
});

test("the web cipher and the node cipher agree for every length and counter", async () => {
  const [nodeKey, webKey] = [await node.importKey(raw), await web.importKey(raw)];
  for (const length of [0, 1, 15, 16, 17, 300, 65_536, 262_156])
    for (const counter of counters) {
      const plaintext = new Uint8Array(length).fill(length);
      const sealed = await node.seal(nodeKey, counter, control, plaintext);
      expect(Buffer.compare(sealed, await web.seal(webKey, counter, control, plaintext))).toBe(0);
      expect(Buffer.compare(await node.open(nodeKey, counter, control, sealed), plaintext)).toBe(0);
      expect(Buffer.compare(await web.open(webKey, counter, control, sealed), plaintext)).toBe(0);
    }
});

// importKey's key is opaque, so each cipher brings its own operations bound to one.
const ciphers = [["node", node] as const, ["web", web as unknown as typeof node] as const];

describe.each(ciphers)("the %s cipher", (_, cipher) => {
  test("seals the ping frame of the protocol's worked values", async () => {
    const plaintext = fromHex(
      "0000000b" /* length */ + "82a174a470696e67a16e01" /* {t:"ping", n:1} */,
    );
    const sealed = await cipher.seal(await cipher.importKey(raw), 0, control, plaintext);
    expect(hex(control) + hex(sealed)).toBe(
      "100ebcb5d5378df71978c1c752b9429047fa77faccd723790ff5734b0acb66a6",
    );
  });

  test("refuses a frame with any one bit changed, cut, under another counter, type or key", async () => {
    const key = await cipher.importKey(raw);
    const sealed = await cipher.seal(key, 3, control, Uint8Array.of(1, 2, 3));
    const open = async (...[k, counter, aad, bytes]: Parameters<typeof cipher.open>) =>
      cipher.open(k, counter, aad, bytes);
    const refused = (attempt: Promise<unknown>) =>
      expect(attempt).rejects.toBeInstanceOf(CipherError);

    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = new Uint8Array(sealed);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await refused(open(key, 3, control, changed));
    }
    for (let length = 0; length < sealed.length; length++)
      await refused(open(key, 3, control, sealed.subarray(0, length)));
    for (const counter of [0, 2, 4, 3 + 2 ** 32])
      await refused(open(key, counter, control, sealed));
    await refused(open(key, 3, Uint8Array.of(0x11), sealed));
    await refused(open(await cipher.importKey(raw.toReversed()), 3, control, sealed));
    expect(await open(key, 3, control, sealed)).toEqual(Uint8Array.of(1, 2, 3));
  });

  test("returns plain bytes in memory of their own", async () => {
    const key = await cipher.importKey(raw);
    const sealed = await cipher.seal(key, 0, control, raw);
    const opened = await cipher.open(key, 0, control, sealed);
    for (const bytes of [sealed, opened]) {
      expect(Object.getPrototypeOf(bytes)).toBe(Uint8Array.prototype);
      expect(bytes.buffer.byteLength).toBe(bytes.length);
    }
  });

  test("takes no key of another length and no counter that is not one", async () => {
    const make = async (length: number) => cipher.importKey(new Uint8Array(length));
    for (const length of [0, 16, 31, 33]) await expect(make(length)).rejects.toThrow(RangeError);
    const key = await make(32);
    const seal = async (counter: number) => cipher.seal(key, counter, control, raw);
    for (const counter of [-1, 0.5, Number.NaN, 2 ** 53])
      await expect(seal(counter)).rejects.toThrow(RangeError);
  });
});
