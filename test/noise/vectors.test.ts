/**
 * Our handshakes against the published cacophony vectors (public domain, repository
 * haskell-cryptography/cacophony), read from the file that KITH_NOISE_VECTORS names.
 */
import { readFileSync } from "node:fs";
import { open, seal } from "@kith/shared/noise/cipher";
import { fromHex, hex } from "@kith/shared/ids";
import { type Pattern, startHandshake } from "@kith/shared/noise/handshake";
import { importStaticKey } from "@kith/shared/noise/keys";
import { expect, test } from "vitest";

/** As in the file; everything is hex. */
interface Vector {
  protocol_name: string;
  init_prologue: string;
  init_static: string;
  init_ephemeral: string;
  init_remote_static?: string;
  init_psks?: string[];
  resp_prologue: string;
  resp_static: string;
  resp_ephemeral: string;
  resp_psks?: string[];
  handshake_hash: string;
  messages: { payload: string; ciphertext: string }[];
}

const file = process.env["KITH_NOISE_VECTORS"];

async function start(vector: Vector, pattern: Pattern, initiator: boolean) {
  const [prologue, s, e, rs, psks] = initiator
    ? [
        vector.init_prologue,
        vector.init_static,
        vector.init_ephemeral,
        vector.init_remote_static,
        vector.init_psks,
      ]
    : [
        vector.resp_prologue,
        vector.resp_static,
        vector.resp_ephemeral,
        undefined,
        vector.resp_psks,
      ];
  return startHandshake({
    pattern,
    initiator,
    prologue: fromHex(prologue),
    s: await importStaticKey(fromHex(s)),
    e: await importStaticKey(fromHex(e)),
    ...(rs && { rs: fromHex(rs) }),
    ...(psks?.[0] && { psks: [fromHex(psks[0])] }),
    freePayloads: true,
  });
}

test.for<Pattern>(["IK", "XX", "XXpsk3"])(
  "both ends of %s agree with the published vectors byte for byte",
  async (pattern, { skip }) => {
    if (!file) {
      const why = "skipped: KITH_NOISE_VECTORS names no file with the cacophony vectors";
      console.warn(why);
      return skip(why);
    }
    const { vectors } = JSON.parse(readFileSync(file, "utf8")) as { vectors: Vector[] };
    const vector = vectors.find(
      (one) => one.protocol_name === `Noise_${pattern}_25519_AESGCM_SHA256`,
    );
    if (!vector) throw new Error(`no vector for ${pattern} in ${file}`);

    const ends = [await start(vector, pattern, true), await start(vector, pattern, false)] as const;
    const [initiator, responder] = ends;
    const messages = vector.messages.entries();
    for (const [turn, message] of messages) {
      const [writer, reader] = turn % 2 === 0 ? [initiator, responder] : [responder, initiator];
      expect(hex(await writer.write(fromHex(message.payload)))).toBe(message.ciphertext);
      expect(hex(await reader.read(fromHex(message.ciphertext)))).toBe(message.payload);
      if (writer.done) break;
    }
    expect(ends.map((end) => end.done)).toEqual([true, true]);

    const [n, g] = [await initiator.split(), await responder.split()];
    expect([hex(n.hash), hex(g.hash)]).toEqual([vector.handshake_hash, vector.handshake_hash]);

    // The messages left are transport messages; the two ends go on taking turns.
    const counters = { n: 0, g: 0 };
    const nothing = new Uint8Array(0);
    for (const [turn, { payload, ciphertext }] of messages) {
      const [from, to, counter] =
        turn % 2 === 0 ? [n.send, g.receive, counters.n++] : [g.send, n.receive, counters.g++];
      expect(hex(await seal(from, counter, nothing, fromHex(payload)))).toBe(ciphertext);
      expect(hex(await open(to, counter, nothing, fromHex(ciphertext)))).toBe(payload);
    }
    expect(counters.n + counters.g).toBeGreaterThan(2);
  },
);
