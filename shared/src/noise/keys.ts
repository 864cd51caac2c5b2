/**
 * X25519 keys by WebCrypto, the same in Node (24 and later) and browsers (Chrome 133, Safari 17).
 *
 * A static key is who somebody is: it lives as 32 raw bytes in a 0600 file, or in a
 * browser as a non-extractable `CryptoKey`. An ephemeral key lives for one handshake.
 */
import { systemRng } from "../clock.ts";
import { fromHex } from "../ids.ts";

export interface KeyPair {
  /** 32 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  /** Never extractable; good for `dh` alone. */
  readonly privateKey: CryptoKey;
}

const ALGORITHM = "X25519";

/** What PKCS #8 puts before a raw X25519 private key (RFC 8410, section 7). */
const PKCS8_HEAD = fromHex("302e020100300506032b656e04220420");

/** u = 9, the base point: private key × base point = public key (RFC 7748, section 6.1). */
const BASE_POINT = Uint8Array.of(9, ...new Uint8Array(31));

/** A new pair that ends with this process: for one handshake, or for IndexedDB. */
export async function generateKeyPair(): Promise<KeyPair> {
  const pair = await crypto.subtle.generateKey(ALGORITHM, false, ["deriveBits"]);
  if (!("privateKey" in pair)) throw new TypeError("WebCrypto made no pair");
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  return { publicKey, privateKey: pair.privateKey };
}

/** 32 raw private bytes, for a file only its owner can read. Any 32 bytes are a key: X25519 clamps them. */
export async function generateStaticKey(): Promise<Uint8Array<ArrayBuffer>> {
  return systemRng.bytes(32);
}

/** The pair of a stored private key; wipe `raw` afterwards. @throws RangeError when it is not 32 bytes. */
export async function importStaticKey(raw: Uint8Array): Promise<KeyPair> {
  if (raw.length !== 32) throw new RangeError("an X25519 private key has 32 bytes");
  const pkcs8 = new Uint8Array(PKCS8_HEAD.length + 32);
  pkcs8.set(PKCS8_HEAD);
  pkcs8.set(raw, PKCS8_HEAD.length);
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, ALGORITHM, false, [
    "deriveBits",
  ]);
  pkcs8.fill(0);
  return { publicKey: await dh({ privateKey }, BASE_POINT), privateKey };
}

/**
 * The secret (32 bytes) shared by the two ends of `own` and `theirPublic`.
 * @throws an error of WebCrypto, or RangeError, when `theirPublic` is not 32 bytes or forces an all-zero secret.
 */
export async function dh(
  own: Pick<KeyPair, "privateKey">,
  theirPublic: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  if (theirPublic.length !== 32) throw new RangeError("an X25519 public key has 32 bytes");
  const raw = new Uint8Array(theirPublic); // a copy, so never shared memory
  const their = await crypto.subtle.importKey("raw", raw, ALGORITHM, false, []);
  const how = { name: ALGORITHM, public: their };
  const secret = new Uint8Array(await crypto.subtle.deriveBits(how, own.privateKey, 256));
  // WebCrypto must refuse this itself; a link without a secret is too bad to rely on one "must".
  if (secret.every((byte) => byte === 0)) throw new RangeError("the shared secret is all zero");
  return secret;
}
