/**
 * The Noise handshake (revision 34, suite 25519_AESGCM_SHA256): two ends prove
 * their static keys to each other and leave with two fresh keys that nobody else has.
 *
 *   IK       N ── e, es, s, ss ──► G      N knows G's key: a paired device comes back
 *            N ◄── e, ee, se ───── G
 *
 *   XX       N ── e ─────────────► G      neither knows the other: pairing, which then
 *            N ◄── e, ee, s, es ── G      proves the keys by a code (XX) or by a ticket
 *            N ── s, se (, psk) ─► G      (XXpsk3: as XX, with `psk` as the last token)
 *
 * N, who dials, is the initiator. A message is one `write` here and one `read` there,
 * in turns. Whatever goes wrong throws `HandshakeError` and ends the object for good.
 * Who is trusted when is not decided here: docs/protocol.md, "Keys, ids and the handshake".
 */
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { type CipherKey, importKey, open, seal } from "@kith/shared/noise/cipher";
import { dh, generateKeyPair, type KeyPair } from "./keys.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** `e` and `s` send a key. In a pair of letters the first names the initiator's key, the second the responder's. */
type Token = "e" | "s" | "ee" | "es" | "se" | "ss" | "psk";

export type Pattern = "IK" | "XX" | "XXpsk3";

const patterns: Readonly<Record<Pattern, readonly (readonly Token[])[]>> = {
  IK: [
    ["e", "es", "s", "ss"],
    ["e", "ee", "se"],
  ],
  XX: [["e"], ["e", "ee", "s", "es"], ["s", "se"]],
  XXpsk3: [["e"], ["e", "ee", "s", "es"], ["s", "se", "psk"]],
};

/**
 * Bytes of each message. Kith's payloads are empty, so every message has exactly one
 * legal length, and no other reaches the cryptography.
 */
export const handshakeLengths: Readonly<Record<Pattern, readonly number[]>> = {
  IK: [96, 48],
  XX: [32, 96, 64],
  XXpsk3: [48, 96, 64],
};

export interface HandshakeOptions {
  readonly pattern: Pattern;
  readonly initiator: boolean;
  /** What both ends must agree on beforehand; see prologue.ts. */
  readonly prologue: Uint8Array;
  readonly s: KeyPair;
  /** The responder's static public key: for the initiator of IK, and for nobody else. */
  readonly rs?: Uint8Array;
  /**
   * For XXpsk3 and nothing else: keys of 32 bytes of which the two ends share one. The initiator
   * has one; the responder may have several, and `psk` tells which one it was.
   */
  readonly psks?: readonly Uint8Array[];
  /** For published vectors only: a fixed ephemeral key is no handshake. */
  readonly e?: KeyPair;
  /** For published vectors only: lets payloads, and so any length, pass. */
  readonly freePayloads?: boolean;
}

/** Says nothing to the peer; `cause` is for our own log. */
export class HandshakeError extends Error {
  override readonly name = "HandshakeError";
}

/** @throws RangeError when the keys given are not those that the pattern needs (a defect of the caller). */
export function startHandshake(options: HandshakeOptions): Handshake {
  return new Handshake(options);
}

/** Noise's SymmetricState: the running hash and the key of the next field. */
class Symmetric {
  hash: Bytes = new Uint8Array(32);
  #chain: Bytes;
  #key: CipherKey | undefined;
  #counter = 0;

  constructor(protocol: string) {
    this.hash.set(utf8ToBytes(protocol)); // all our names fit into 32 bytes; longer ones would be hashed
    this.#chain = this.hash;
  }

  /** As it stands, to try something on. */
  copy(): Symmetric {
    const copy = new Symmetric("");
    copy.hash = this.hash;
    copy.#chain = this.#chain;
    copy.#key = this.#key;
    copy.#counter = this.#counter;
    return copy;
  }

  mixHash(data: Uint8Array) {
    this.hash = sha256(concatBytes(this.hash, data));
  }

  async mixKey(secret: Uint8Array) {
    const keys = this.#derive(secret, 64);
    await this.#rekey(keys.slice(0, 32), keys.slice(32));
  }

  async mixKeyAndHash(psk: Uint8Array) {
    const keys = this.#derive(psk, 96);
    this.mixHash(keys.slice(32, 64));
    await this.#rekey(keys.slice(0, 32), keys.slice(64));
  }

  async seal(plaintext: Uint8Array): Promise<Bytes> {
    const sealed = this.#key
      ? await seal(this.#key, this.#counter++, this.hash, plaintext)
      : new Uint8Array(plaintext);
    this.mixHash(sealed);
    return sealed;
  }

  async open(sealed: Uint8Array): Promise<Bytes> {
    const plaintext = this.#key
      ? await open(this.#key, this.#counter++, this.hash, sealed)
      : new Uint8Array(sealed);
    this.mixHash(sealed);
    return plaintext;
  }

  /** The initiator's sending key, then the responder's. */
  async split(): Promise<[CipherKey, CipherKey]> {
    const keys = this.#derive(new Uint8Array(0), 64);
    return [await importKey(keys.slice(0, 32)), await importKey(keys.slice(32))];
  }

  /** Noise's HKDF is RFC 5869's with the chaining key as salt and no info. */
  #derive(secret: Uint8Array, bytes: number): Bytes {
    return hkdf(sha256, secret, this.#chain, undefined, bytes);
  }

  async #rekey(chain: Bytes, key: Bytes) {
    this.#chain = chain;
    this.#key = await importKey(key);
    this.#counter = 0;
  }
}

/** One end of one handshake. Made by `startHandshake`. */
class Handshake {
  readonly #options: HandshakeOptions;
  #symmetric: Symmetric;
  #psk: number | undefined;
  /** Messages written and read so far. */
  #turn = 0;
  #busy = false;
  #ended = false;
  #failed = false;
  #e: KeyPair | undefined;
  #re: Bytes | undefined;
  #rs: Bytes | undefined;

  constructor(options: HandshakeOptions) {
    const { pattern, initiator, prologue, rs, s, psks } = options;
    const knowsResponder = pattern === "IK";
    const fits = (key: Uint8Array | undefined, needed: boolean) =>
      needed ? key?.length === 32 : key === undefined;
    if (!fits(rs, knowsResponder && initiator)) throw new RangeError("rs: wrong or missing");
    const shared = pattern === "XXpsk3" ? (psks?.length ?? 0) : 1;
    if (
      (pattern === "XXpsk3") !== (psks !== undefined) ||
      shared === 0 ||
      (initiator && shared > 1)
    )
      throw new RangeError("psks: wrong or missing");
    if (psks?.some(({ length }) => length !== 32)) throw new RangeError("psks: of 32 bytes");
    this.#options = options;
    this.#symmetric = new Symmetric(`Noise_${pattern}_25519_AESGCM_SHA256`);
    this.#symmetric.mixHash(prologue);
    if (rs) this.#rs = new Uint8Array(rs);
    if (knowsResponder) this.#symmetric.mixHash(this.#rs ?? s.publicKey);
  }

  /** Whether every message of the pattern has been written or read: time to `split`. */
  get done(): boolean {
    return !this.#failed && this.#turn === patterns[this.#options.pattern].length;
  }

  /** The peer's static public key as soon as a message brought it. Claimed, not yet trusted. */
  get remoteStatic(): Bytes | undefined {
    return this.#failed ? undefined : this.#rs;
  }

  /** Which of `psks` the peer has, once its last message proved it. */
  get psk(): number | undefined {
    return this.#failed ? undefined : this.#psk;
  }

  /** The next message, when it is our turn. @throws HandshakeError */
  write(payload: Uint8Array = new Uint8Array(0)): Promise<Bytes> {
    return this.#step(async () => {
      const tokens = this.#tokens(true);
      if (payload.length > 0 && !this.#options.freePayloads)
        throw new HandshakeError("payloads are empty");
      const parts: Bytes[] = [];
      for (const token of tokens) {
        if (token === "e") {
          this.#e = this.#options.e ?? (await generateKeyPair());
          parts.push(this.#e.publicKey);
          await this.#mixEphemeral(this.#e.publicKey);
        } else if (token === "s") {
          parts.push(await this.#symmetric.seal(this.#options.s.publicKey));
        } else if (token === "psk") await this.#symmetric.mixKeyAndHash(this.#only());
        else await this.#mix(token);
      }
      parts.push(await this.#symmetric.seal(payload));
      this.#turn++;
      return concatBytes(...parts);
    });
  }

  /** Takes the peer's next message (its bytes are copied) and returns its payload. @throws HandshakeError */
  read(message: Uint8Array): Promise<Bytes> {
    return this.#step(async () => {
      const tokens = this.#tokens(false);
      const legal = handshakeLengths[this.#options.pattern][this.#turn];
      if (message.length !== legal && !this.#options.freePayloads)
        throw new HandshakeError("wrong length");
      let rest: Bytes = new Uint8Array(message);
      const take = (bytes: number) => {
        const taken = rest.slice(0, bytes);
        rest = rest.subarray(bytes);
        return taken;
      };
      for (const token of tokens) {
        if (token === "e") {
          this.#re = take(32);
          await this.#mixEphemeral(this.#re);
        } else if (token === "s") {
          this.#rs = await this.#symmetric.open(take(48)); // never in clear in our patterns
        } else if (token !== "psk") await this.#mix(token);
      }
      const payload = tokens.includes("psk")
        ? await this.#openWithPsk(rest)
        : await this.#symmetric.open(rest);
      this.#turn++;
      return payload;
    });
  }

  /** Once, after the last message: the two keys of the link and the handshake's hash `h`. @throws HandshakeError */
  split(): Promise<{ send: CipherKey; receive: CipherKey; hash: Bytes }> {
    return this.#step(async () => {
      if (!this.done) throw new HandshakeError("not done yet");
      this.#ended = true;
      const [first, second] = await this.#symmetric.split();
      const [send, receive] = this.#options.initiator ? [first, second] : [second, first];
      return { send, receive, hash: this.#symmetric.hash };
    });
  }

  /** One step at a time: a second one meanwhile would mix its bytes into the first's hash. */
  async #step<T>(work: () => Promise<T>): Promise<T> {
    try {
      if (this.#busy || this.#ended || this.#failed) throw new HandshakeError("out of order");
      this.#busy = true;
      const result = await work();
      if (this.#failed) throw new HandshakeError("out of order");
      this.#busy = false;
      return result;
    } catch (cause) {
      this.#failed = true;
      if (cause instanceof HandshakeError) throw cause;
      throw new HandshakeError("the handshake failed", { cause });
    }
  }

  #tokens(writing: boolean): readonly Token[] {
    const tokens = patterns[this.#options.pattern][this.#turn];
    const ourTurn = (this.#turn % 2 === 0) === this.#options.initiator;
    if (!tokens || writing !== ourTurn) throw new HandshakeError("out of turn");
    return tokens;
  }

  async #mixEphemeral(publicKey: Bytes) {
    this.#symmetric.mixHash(publicKey);
    if (this.#options.psks) await this.#symmetric.mixKey(publicKey); // revision 34, section 9.2
  }

  /** An initiator has one. */
  #only(): Uint8Array {
    const [psk] = this.#options.psks ?? [];
    if (!psk) throw new HandshakeError("a key is missing");
    this.#psk = 0;
    return psk;
  }

  /** `psk` is the last token of its message, so all before it is the same whichever it is. */
  async #openWithPsk(sealed: Bytes): Promise<Bytes> {
    for (const [at, psk] of (this.#options.psks ?? []).entries()) {
      const tried = this.#symmetric.copy();
      await tried.mixKeyAndHash(psk);
      const payload = await tried.open(sealed).catch(() => undefined);
      if (!payload) continue;
      this.#symmetric = tried;
      this.#psk = at;
      return payload;
    }
    throw new HandshakeError("no ticket fits");
  }

  async #mix(token: Exclude<Token, "e" | "s" | "psk">) {
    const { initiator, s } = this.#options;
    const own = token[initiator ? 0 : 1] === "e" ? this.#e : s;
    const their = token[initiator ? 1 : 0] === "e" ? this.#re : this.#rs;
    if (!own || !their) throw new HandshakeError("a key is missing");
    await this.#symmetric.mixKey(await dh(own, their));
  }
}

export type { Handshake };
