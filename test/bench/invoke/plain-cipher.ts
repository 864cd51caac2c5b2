/** "Encryption off", for comparison only: the same bytes on the wire, neither sealed nor checked. */
const TAG_BYTES = 16;

export const importKey = (raw: Uint8Array): Uint8Array => raw.slice();

export function seal(_key: unknown, _counter: number, _aad: Uint8Array, plaintext: Uint8Array) {
  const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
  sealed.set(plaintext);
  return sealed;
}

export function sealMessage(
  _key: unknown,
  _counter: number,
  head: Uint8Array,
  ...parts: readonly Uint8Array[]
) {
  return new Uint8Array(Buffer.concat([head, ...parts, new Uint8Array(TAG_BYTES)]));
}

export function open(_key: unknown, _counter: number, _aad: Uint8Array, sealed: Uint8Array) {
  return new Uint8Array(sealed.subarray(0, sealed.length - TAG_BYTES));
}
