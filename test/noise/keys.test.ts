import { fromHex, hex, keyId } from "@kith/shared/ids";
import { dh, generateKeyPair, generateStaticKey, importStaticKey } from "@kith/shared/noise/keys";
import { afterEach, expect, test, vi } from "vitest";

afterEach(() => void vi.restoreAllMocks());

// RFC 7748, section 6.1.
const alicePublic = fromHex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
const bobPrivate = fromHex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
const bobPublic = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
const shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";

test("a stored private key gives the public key and the secret that RFC 7748 names", async () => {
  const bob = await importStaticKey(bobPrivate);
  expect(hex(bob.publicKey)).toBe(bobPublic);
  expect(hex(await dh(bob, alicePublic))).toBe(shared);
});

test("a new static key is the same key holder each time it is read from its file", async () => {
  const raw = await generateStaticKey();
  const [before, after] = [await importStaticKey(raw), await importStaticKey(raw)];
  expect(before.publicKey).toEqual(after.publicKey);
  expect(await generateStaticKey()).not.toEqual(raw);
});

test("both ends of two pairs share one secret", async () => {
  const [a, b] = [await generateKeyPair(), await generateKeyPair()];
  expect(await dh(a, b.publicKey)).toEqual(await dh(b, a.publicKey));
});

test("private keys cannot be taken out again", async () => {
  const { privateKey } = await importStaticKey(bobPrivate);
  expect([privateKey.extractable, (await generateKeyPair()).privateKey.extractable]).toEqual([
    false,
    false,
  ]);
});

test("keys of a wrong length are refused", async () => {
  const pair = await generateKeyPair();
  for (const length of [0, 31, 33]) {
    await expect(importStaticKey(new Uint8Array(length))).rejects.toThrow(RangeError);
    await expect(dh(pair, new Uint8Array(length))).rejects.toThrow(RangeError);
  }
});

// The points of small order: 0, 1, two of order 8, p-1, p, p+1.
test.each([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
])("the public key %s, which forces an all-zero secret, is refused", async (publicKey) => {
  await expect(dh(await generateKeyPair(), fromHex(publicKey))).rejects.toThrow();
});

test("an all-zero secret is refused even where the platform lets it through", async () => {
  vi.spyOn(crypto.subtle, "deriveBits").mockResolvedValue(new ArrayBuffer(32));
  await expect(dh(await generateKeyPair(), alicePublic)).rejects.toThrow("all zero");
});

test("the id of a key is that of the protocol's worked values", () => {
  expect(keyId(Uint8Array.from({ length: 32 }, (_, at) => at))).toBe("cc6wtab6rgspd48j");
});
