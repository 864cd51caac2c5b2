/** Our handshakes and transport frames against a stranger's implementation: noise-c.wasm 0.4.0. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { open, seal } from "@kith/shared/noise/cipher";
import { type Handshake, startHandshake } from "@kith/shared/noise/handshake";
import { importStaticKey } from "@kith/shared/noise/keys";
import { expect, test } from "vitest";

/** The part of noise-c.wasm that we use; it brings no types. */
interface NoiseC {
  constants: Record<
    "NOISE_ROLE_INITIATOR" | "NOISE_ROLE_RESPONDER" | "NOISE_ACTION_SPLIT" | "NOISE_DH_CURVE25519",
    number
  >;
  CreateKeyPair: (curve: number) => [privateKey: Uint8Array, publicKey: Uint8Array];
  HandshakeState: new (
    protocol: string,
    role: number,
  ) => {
    Initialize(prologue: Uint8Array, s: Uint8Array, rs?: Uint8Array): void;
    WriteMessage(payload?: Uint8Array): Uint8Array;
    ReadMessage(message: Uint8Array, payloadNeeded: true): Uint8Array;
    GetAction(): number;
    GetHandshakeHash(): Uint8Array;
    GetRemotePublicKey(): Uint8Array;
    /** Frees the handshake. */
    Split(): [send: CipherState, receive: CipherState];
  };
}
interface CipherState {
  EncryptWithAd(ad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  DecryptWithAd(ad: Uint8Array, sealed: Uint8Array): Uint8Array;
}

/** Loads it without the fetch that fails in Node, and takes back its process-wide listeners. */
async function load(): Promise<NoiseC> {
  const require = createRequire(import.meta.url);
  const names = ["uncaughtException", "unhandledRejection"] as const;
  const before = names.map((name) => process.listeners(name as "uncaughtException"));
  const create = require("noise-c.wasm") as (
    options: object,
    ready: (noise: NoiseC) => void,
  ) => void;
  const wasmBinary = readFileSync(require.resolve("noise-c.wasm/src/noise-c.wasm"));
  const noise = await new Promise<NoiseC>((ready) => create({ wasmBinary }, ready));
  // Its listener for unhandled rejections ends the process without a word.
  for (const [at, name] of names.entries())
    for (const listener of process.listeners(name as "uncaughtException"))
      if (!before[at]?.includes(listener)) process.removeListener(name, listener);
  return noise;
}

const noise = await load();
const [CONTROL, CHUNK] = [Uint8Array.of(0x10), Uint8Array.of(0x11)];

test.for([
  { pattern: "XX", role: "initiator" },
  { pattern: "XX", role: "responder" },
  { pattern: "IK", role: "initiator" },
  { pattern: "IK", role: "responder" },
] as const)(
  "as the $role of $pattern we understand noise-c.wasm and it us",
  async ({ pattern, role }) => {
    const initiator = role === "initiator";
    const { constants, CreateKeyPair, HandshakeState } = noise;
    const prologue = new TextEncoder().encode("kith-mesh-v1, any bytes");
    const [ourPrivate, ourPublic] = CreateKeyPair(constants.NOISE_DH_CURVE25519);
    const [theirPrivate, theirPublic] = CreateKeyPair(constants.NOISE_DH_CURVE25519);
    const s = await importStaticKey(ourPrivate);
    expect(s.publicKey).toEqual(ourPublic);

    const knowsResponder = pattern === "IK";
    const ours: Handshake = startHandshake({
      pattern,
      initiator,
      prologue,
      s,
      ...(knowsResponder && initiator && { rs: theirPublic }),
    });
    const theirs = new HandshakeState(
      `Noise_${pattern}_25519_AESGCM_SHA256`,
      initiator ? constants.NOISE_ROLE_RESPONDER : constants.NOISE_ROLE_INITIATOR,
    );
    theirs.Initialize(prologue, theirPrivate, ...(knowsResponder && !initiator ? [ourPublic] : []));

    for (let turn = 0; !ours.done; turn++) {
      if ((turn % 2 === 0) === initiator) theirs.ReadMessage(await ours.write(), true);
      else expect(await ours.read(theirs.WriteMessage())).toHaveLength(0);
    }
    expect(theirs.GetAction()).toBe(constants.NOISE_ACTION_SPLIT);
    expect(ours.remoteStatic).toEqual(theirPublic);
    expect(theirs.GetRemotePublicKey()).toEqual(ourPublic);
    const { send, receive, hash } = await ours.split();
    expect(theirs.GetHandshakeHash()).toEqual(hash);

    const [theirSend, theirReceive] = theirs.Split();
    // 65,519 bytes are the most that noise-c seals; longer frames are ours alone.
    for (const [counter, length] of [1, 0, 15, 300, 65_519].entries()) {
      const plaintext = new Uint8Array(length).fill(counter);
      const type = counter % 2 === 0 ? CONTROL : CHUNK;
      expect(theirReceive.DecryptWithAd(type, await seal(send, counter, type, plaintext))).toEqual(
        plaintext,
      );
      expect(await open(receive, counter, type, theirSend.EncryptWithAd(type, plaintext))).toEqual(
        plaintext,
      );
    }
  },
);

test("a payload from noise-c.wasm is refused although it is authentic", async () => {
  const { constants, CreateKeyPair, HandshakeState } = noise;
  const prologue = new Uint8Array(0);
  const [ourPrivate] = CreateKeyPair(constants.NOISE_DH_CURVE25519);
  const ours = startHandshake({
    pattern: "XX",
    initiator: false,
    prologue,
    s: await importStaticKey(ourPrivate),
  });
  const theirs = new HandshakeState("Noise_XX_25519_AESGCM_SHA256", constants.NOISE_ROLE_INITIATOR);
  theirs.Initialize(prologue, CreateKeyPair(constants.NOISE_DH_CURVE25519)[0]);
  await ours.read(theirs.WriteMessage());
  theirs.ReadMessage(await ours.write(), true);
  await expect(ours.read(theirs.WriteMessage(Uint8Array.of(1)))).rejects.toThrow("wrong length");
});
