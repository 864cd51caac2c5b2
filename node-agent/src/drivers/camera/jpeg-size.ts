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
