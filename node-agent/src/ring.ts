/** The latest output of a terminal. Offsets count from its beginning; what is too old is overwritten. */
export class Ring {
  readonly #bytes: Uint8Array;
  #end = 0;

  /** `size`: bytes that it keeps. */
  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
  }

  /** Where the oldest byte that is kept stands. */
  get start(): number {
    return Math.max(0, this.#end - this.#bytes.length);
  }

  /** Written in all. */
  get end(): number {
    return this.#end;
  }

  write(bytes: Uint8Array): void {
    const size = this.#bytes.length;
    const kept = bytes.subarray(Math.max(0, bytes.length - size));
    const at = (this.#end + bytes.length - kept.length) % size;
    const first = kept.subarray(0, size - at);
    this.#bytes.set(first, at);
    this.#bytes.set(kept.subarray(first.length), 0);
    this.#end += bytes.length;
  }

  /** At most `most` bytes from `offset`, which must be kept; good until the next write. May be fewer: ask again. */
  read(offset: number, most: number): Uint8Array {
    const at = offset % this.#bytes.length;
    const length = Math.min(most, this.#end - offset, this.#bytes.length - at);
    return this.#bytes.subarray(at, at + length);
  }
}
