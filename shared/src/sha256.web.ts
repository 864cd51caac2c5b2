/** SHA-256 in one call, for browsers: the same exports as sha256.node.ts. */
import { sha256 } from "@noble/hashes/sha2.js";
import { hex } from "./ids.ts";

export const sha256Hex = (bytes: Uint8Array): string => hex(sha256(bytes));
