/**
 * AES-256-GCM as Noise uses it, for Node: one message, one counter, never again.
 *
 * `node:crypto` answers at once, and a `KeyObject` spares it the key set-up that
 * raw bytes cost on every message (measured four times faster). The browsers'
 * twin is cipher.web.ts; both have the same exports under `@kith/shared/noise/cipher`,
 * and the types there allow a promise, so `await` what you get.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from "node:crypto";
import { release } from "../release.ts";
import { CipherError } from "./cipher-error.ts";

/** Opaque: made by `importKey`, used by `seal` and `open`. Never shown, never stored. */
export type CipherKey = KeyObject;

type Bytes = Uint8Array<ArrayBuffer>;

const ALGORITHM = "aes-256-gcm";
const TAG_BYTES = 16;
const TAG = { authTagLength: TAG_BYTES };

// One for all: Node copies it before the next call can change it.
const nonceBytes = new Uint8Array(12);
const nonceView = new DataView(nonceBytes.buffer);

/** 4 zero bytes and the counter, 64 bits, big-endian. */
function nonce(counter: number): Uint8Array {
  if (!Number.isSafeInteger(counter) || counter < 0) throw new RangeError("not a counter");
  nonceView.setUint32(4, Math.floor(counter / 2 ** 32));
  nonceView.setUint32(8, counter >>> 0);
  return nonceBytes;
}

/** Copies `raw` (32 bytes), which the caller may wipe afterwards. */
export function importKey(raw: Uint8Array): CipherKey | Promise<CipherKey> {
  if (raw.length !== 32) throw new RangeError("an AES-256 key has 32 bytes");
  return createSecretKey(raw);
}

/** Returns ciphertext and tag (16 bytes longer than `plaintext`) in memory of their own. */
export function seal(
  key: CipherKey,
  counter: number,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Bytes | Promise<Bytes> {
  const cipher = createCipheriv(ALGORITHM, key, nonce(counter), TAG);
  cipher.setAAD(aad);
  const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
  sealed.set(cipher.update(plaintext));
  cipher.final(); // always empty: GCM holds nothing back
  sealed.set(cipher.getAuthTag(), plaintext.length);
  return sealed;
}

/**
 * A whole message in memory of its own: `head`, which is authenticated and stays readable, then the
 * ciphertext of the parts as one, then the tag. The parts are not kept.
 */
export function sealMessage(
  key: CipherKey,
  counter: number,
  head: Uint8Array,
  ...parts: readonly Uint8Array[]
): Bytes | Promise<Bytes> {
  const cipher = createCipheriv(ALGORITHM, key, nonce(counter), TAG);
  cipher.setAAD(head);
  const length = parts.reduce((sum, part) => sum + part.length, head.length + TAG_BYTES);
  const message = new Uint8Array(length);
  message.set(head);
  let at = head.length;
  for (const part of parts) {
    const sealed = cipher.update(part);
    message.set(sealed, at);
    at += sealed.length;
    release(sealed);
  }
  cipher.final();
  message.set(cipher.getAuthTag(), at);
  return message;
}

/** Returns the plaintext in memory of its own. @throws CipherError */
export function open(
  key: CipherKey,
  counter: number,
  aad: Uint8Array,
  sealed: Uint8Array,
): Bytes | Promise<Bytes> {
  const length = sealed.length - TAG_BYTES;
  if (length < 0) throw new CipherError();
  const decipher = createDecipheriv(ALGORITHM, key, nonce(counter), TAG);
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(length));
  const plaintext = decipher.update(sealed.subarray(0, length));
  try {
    decipher.final();
  } catch (cause) {
    plaintext.fill(0); // what did not fit its tag must not be found in memory later
    throw new CipherError({ cause });
  }
  // No copy: `update` allocates outside Buffer's pool. A view only sheds Buffer's methods.
  return new Uint8Array(plaintext.buffer, plaintext.byteOffset, length);
}
