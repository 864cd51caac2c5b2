/** The relay's cipher: AES-256-GCM with a key object and a counter, as the product's. */
import { createSecretKey } from "node:crypto";

/** Both ends know it: no handshake is measured. */
export const KEY = createSecretKey(new Uint8Array(32));
export const TAG_BYTES = 16;

export function nonce(count: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(count, 8);
  return bytes;
}
