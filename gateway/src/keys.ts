/** The gateway's own keys: files of mode 0600 under `keys/`, made at the first start. */
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import { KithError } from "@kith/shared/errors";
import { type KeyPair, generateStaticKey, importStaticKey } from "@kith/shared/noise/keys";
import { privateFolder, windows } from "./platform.ts";

export interface Keys {
  /** Identity on the wire. */
  readonly noise: KeyPair;
  /** Keys the hashes in the audit, so that small values cannot be guessed from them. */
  readonly audit: Uint8Array;
  /** Keys the marks of memory's lines; see memory/mark.ts. */
  readonly memory: Uint8Array;
}

/** @throws KithError home-unsafe when somebody else may read a key */
export async function loadKeys(home: string): Promise<Keys> {
  const folder = join(home, "keys");
  privateFolder(folder);
  const noise = keep(join(folder, "gateway.key"), await generateStaticKey());
  const audit = keep(join(folder, "audit.key"), randomBytes(32));
  const memory = keep(join(folder, "memory.key"), randomBytes(32));
  return { noise: await importStaticKey(noise), audit, memory };
}

/**
 * A key's file, which is made if need be. Without `fresh` it must be there.
 * @throws KithError home-unsafe when somebody else may read it, or it is none
 */
export function keep(file: string, fresh: Uint8Array | undefined): Uint8Array {
  if (!existsSync(file)) {
    if (!fresh) throw new KithError("home-unsafe", `${file} is missing`);
    // Whole or not at all: half a key would lock every device out.
    writeFileSync(`${file}.new`, fresh, { mode: 0o600, flush: true });
    renameSync(`${file}.new`, file);
  }
  if (!windows && (statSync(file).mode & 0o077) !== 0)
    throw new KithError("home-unsafe", `others may read ${file}`);
  const key = readFileSync(file);
  if (key.length !== 32) throw new KithError("home-unsafe", `${file} is not a key of 32 bytes`);
  return new Uint8Array(key);
}
