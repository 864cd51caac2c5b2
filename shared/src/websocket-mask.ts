/**
 * The masking of RFC 6455 section 5.3, sixteen bytes a step: `ws` takes it for its optional package
 * `bufferutil` (gateway/bin/build.mjs puts it there). Its own loop goes byte by byte and was the
 * largest single cost of a transfer at both ends: 75 ms for 60 MiB, here 9 (Node 26, x64).
 */

let copy: Uint8Array | undefined;

/** The whole message into which `mask` wrote last, header and all; handed out once. */
export function takeMasked(): Uint8Array | undefined {
  const taken = copy;
  copy = undefined;
  return taken;
}

/** Writes `length` bytes of `source`, masked, to `output` from `offset` on; both may be one buffer. */
export function mask(
  source: Uint8Array,
  key: Uint8Array,
  output: Uint8Array,
  offset: number,
  length: number,
): void {
  if (output !== source) copy = output;
  const word = new DataView(Uint8Array.from(key).buffer).getInt32(0);
  const from = new DataView(source.buffer, source.byteOffset, length);
  const to = new DataView(output.buffer, output.byteOffset + offset, length);
  let at = 0;
  for (const whole = length - 15; at < whole; at += 16) {
    to.setInt32(at, from.getInt32(at) ^ word);
    to.setInt32(at + 4, from.getInt32(at + 4) ^ word);
    to.setInt32(at + 8, from.getInt32(at + 8) ^ word);
    to.setInt32(at + 12, from.getInt32(at + 12) ^ word);
  }
  for (; at < length; at++) to.setUint8(at, from.getUint8(at) ^ (key[at & 3] ?? 0));
}

export function unmask(buffer: Uint8Array, key: Uint8Array): void {
  mask(buffer, key, buffer, 0, buffer.length);
}
