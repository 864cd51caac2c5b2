/** An incremental SHA-256. Browsers have none of their own; Node passes its native one. */
import { sha256 } from "@noble/hashes/sha2.js";

export interface Hash {
  update(bytes: Uint8Array): unknown;
  /** 32 bytes; nothing may be added afterwards. */
  digest(): Uint8Array;
}

export type NewHash = () => Hash;

export const portableHash: NewHash = () => sha256.create();
