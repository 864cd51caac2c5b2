/**
 * AES-256-GCM as Noise uses it, for browsers (and whatever else has WebCrypto).
 * The same exports as cipher.node.ts, where they are explained; here always promises.
 */
import { CipherError } from "./cipher-error.ts";

export type CipherKey = CryptoKey;

type Bytes = Uint8Array<ArrayBuffer>;

function algorithm(counter: number, aad: Uint8Array) {
  if (!Number.isSafeInteger(counter) || counter < 0) throw new RangeError("not a counter");
  const iv = new Uint8Array(12);
  const view = new DataView(iv.buffer);
  view.setUint32(4, Math.floor(counter / 2 ** 32));
  view.setUint32(8, counter >>> 0);
  return { name: "AES-GCM", iv, additionalData: own(aad), tagLength: 128 };
}

/** A claim to the type checker: WebCrypto itself refuses shared memory, and we have none. */
const own = (bytes: Uint8Array) => bytes as Bytes;

export async function importKey(raw: Uint8Array): Promise<CipherKey> {
  if (raw.length !== 32) throw new RangeError("an AES-256 key has 32 bytes");
  return crypto.subtle.importKey("raw", own(raw), "AES-GCM", false, ["encrypt", "decrypt"]);
}

export async function seal(
  key: CipherKey,
  counter: number,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.encrypt(algorithm(counter, aad), key, own(plaintext)));
}

export async function sealMessage(
  key: CipherKey,
  counter: number,
  head: Uint8Array,
  ...parts: readonly Uint8Array[]
): Promise<Bytes> {
  const plaintext = joined(parts);
  return joined([head, await seal(key, counter, head, plaintext)]);
}

function joined(parts: readonly Uint8Array[]): Bytes {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** @throws CipherError */
export async function open(
  key: CipherKey,
  counter: number,
  aad: Uint8Array,
  sealed: Uint8Array,
): Promise<Bytes> {
  const how = algorithm(counter, aad);
  try {
    return new Uint8Array(await crypto.subtle.decrypt(how, key, own(sealed)));
  } catch (cause) {
    // WebCrypto has one error for a wrong tag and for too few bytes; whatever else lands here is no plaintext either.
    throw new CipherError({ cause });
  }
}
