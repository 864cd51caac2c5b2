/** A real picture has about ten segments before its scan; metadata of some cameras has dozens. */
const MOST_SEGMENTS = 128;

/**
 * Width and height in px from a JPEG's frame header (ITU T.81, B.2.2), or undefined when the
 * bytes are not one whole JPEG. Reads markers only and never outside `bytes`.
 */
export function jpegSize(bytes: Uint8Array): { width: number; height: number } | undefined {
  const byte = (at: number) => bytes[at] ?? 0;
  const word = (at: number) => (byte(at) << 8) | byte(at + 1);
  if (word(0) !== 0xffd8 || word(bytes.length - 2) !== 0xffd9) return undefined;
  let at = 2;
  for (let segment = 0; segment < MOST_SEGMENTS && at + 9 < bytes.length; segment++) {
    if (byte(at) !== 0xff) return undefined;
    const marker = byte(at + 1);
    // C0 to CF are frame headers, except DHT (C4), JPG (C8) and DAC (CC).
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      const [height, width] = [word(at + 5), word(at + 7)];
      return width > 0 && height > 0 ? { width, height } : undefined;
    }
    // A scan or an end before any frame header; or a length that would not move on.
    if (marker === 0xda || marker === 0xd9 || word(at + 2) < 2) return undefined;
    at += 2 + word(at + 2);
  }
  return undefined;
}

const PNG_HEAD = Buffer.from("89504e470d0a1a0a0000000d49484452", "hex");
const PNG_TAIL = Buffer.from("0000000049454e44ae426082", "hex");

/** Width and height in px from a PNG's first chunk, or undefined when the bytes are not one whole PNG. */
export function pngSize(bytes: Uint8Array): { width: number; height: number } | undefined {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (whole.length < PNG_HEAD.length + 8 + PNG_TAIL.length) return undefined;
  if (!whole.subarray(0, PNG_HEAD.length).equals(PNG_HEAD)) return undefined;
  if (!whole.subarray(-PNG_TAIL.length).equals(PNG_TAIL)) return undefined;
  const [width, height] = [whole.readUInt32BE(16), whole.readUInt32BE(20)];
  return width > 0 && height > 0 ? { width, height } : undefined;
}
