/**
 * The sealed store: what config.yaml names as `${secret:NAME}`. One file, `secrets` in the home, sealed with
 * AES-256-GCM by a key under `keys/`: it protects copies that lack that folder, and nothing from who has both.
 *
 *     1 byte version · 12 nonce · 16 tag · sealed JSON of [NAME, value] each
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KithError } from "@kith/shared/errors";
import * as v from "valibot";
import { keep } from "./keys.ts";
import { privateFolder, windows } from "./platform.ts";
import { Secret } from "./secret.ts";

const VERSION = 1;
const HEAD_BYTES = 1 + 12 + 16;
const MOST = 256;
/** Of one value, in UTF-8: a private key fits. */
export const VALUE_BYTES = 65_536;
/** More than all of them can be, with each letter escaped. */
const MOST_BYTES = 64 * 1_048_576;

/** Letters, digits, `_`, `-` and `.`, at most 64, as in a reference. */
export const SECRET_NAME = /^[\w.-]{1,64}$/;
const contents = v.array(v.tuple([v.pipe(v.string(), v.regex(SECRET_NAME)), v.string()]));

/** Reads and writes the file at each use, so that what is set counts from the next use on. */
export class Secrets {
  readonly #home: string;

  constructor(home: string) {
    this.#home = home;
  }

  /** In order. @throws KithError home-unsafe */
  names(): string[] {
    return [...this.#open().keys()].toSorted();
  }

  /** Its value is looked up when it is used. @throws KithError config-invalid, home-unsafe: also at each use */
  get(name: string): Secret {
    const read = () => {
      const value = this.#open().get(name);
      if (value === undefined)
        throw new KithError(
          "config-invalid",
          `there is no secret ${name}; kith secrets set ${name}`,
        );
      return value;
    };
    read();
    return new Secret(read);
  }

  /** @throws KithError bad-args: there are 256 already; home-unsafe */
  set(name: string, value: Secret): void {
    const all = this.#open();
    if (!all.has(name) && all.size >= MOST)
      throw new KithError("bad-args", `there are ${MOST} secrets already`);
    this.#seal(
      all.set(
        name,
        value.use((text) => text),
      ),
    );
  }

  /** Whether there was one. @throws KithError home-unsafe */
  remove(name: string): boolean {
    const all = this.#open();
    const had = all.delete(name);
    if (had) this.#seal(all);
    return had;
  }

  get #file(): string {
    return join(this.#home, "secrets");
  }

  #key(): Uint8Array {
    const folder = join(this.#home, "keys");
    privateFolder(folder);
    // Another key in its place would make what is sealed useless.
    const fresh = existsSync(this.#file) ? undefined : randomBytes(32);
    return keep(join(folder, "secrets.key"), fresh);
  }

  #open(): Map<string, string> {
    const file = this.#file;
    if (!existsSync(file)) return new Map();
    const { mode, size } = statSync(file);
    if (!windows && (mode & 0o077) !== 0)
      throw new KithError("home-unsafe", `others may read ${file}`);
    const damaged = () =>
      new KithError(
        "home-unsafe",
        `${file} cannot be opened with keys/secrets.key: one of them is another's, or damaged`,
      );
    if (size < HEAD_BYTES || size > MOST_BYTES) throw damaged();
    const sealed = readFileSync(file);
    if (sealed[0] !== VERSION) throw damaged();
    const key = this.#key();
    try {
      const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(1, 13));
      decipher.setAAD(sealed.subarray(0, 1)).setAuthTag(sealed.subarray(13, HEAD_BYTES));
      const text = Buffer.concat([decipher.update(sealed.subarray(HEAD_BYTES)), decipher.final()]);
      return new Map(v.parse(contents, JSON.parse(text.toString())));
    } catch {
      throw damaged(); // What was thrown may quote what was sealed.
    }
  }

  #seal(all: ReadonlyMap<string, string>): void {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", this.#key(), nonce);
    cipher.setAAD(Buffer.of(VERSION));
    const sealed = Buffer.concat([cipher.update(JSON.stringify([...all])), cipher.final()]);
    const file = this.#file;
    const bytes = Buffer.concat([Buffer.of(VERSION), nonce, cipher.getAuthTag(), sealed]);
    writeFileSync(`${file}.new`, bytes, { mode: 0o600, flush: true });
    renameSync(`${file}.new`, file);
  }
}
