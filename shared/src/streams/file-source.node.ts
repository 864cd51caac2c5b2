/** Content that is read as it is sent, one part ahead: while one is hashed and sealed, the next comes from the disk. For Node. */
import type { FileHandle } from "node:fs/promises";
import type { Source } from "./sender.ts";

/** Several chunks at once: each read wakes a thread of the pool, and that costs more than the copy. */
const READ_BYTES = 524_288;

interface Fetched {
  readonly offset: number;
  readonly data: Promise<Uint8Array>;
}

/** Two buffers in turn: what `read` returns is good until the next one. Closes the file at the end. */
export class FileSource implements Source {
  readonly size: number;
  readonly #file: FileHandle;
  #buffers: readonly [Uint8Array, Uint8Array] | undefined;
  #turn = 0;
  #next: Fetched | undefined;

  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.size = size;
  }

  async read(offset: number, most: number): Promise<Uint8Array> {
    if (this.#next?.offset !== offset) {
      // Another link goes on elsewhere. What was fetched still writes to its buffer until it is there.
      await this.#next?.data.catch(() => {});
      this.#next = this.#fetch(offset);
    }
    const data = await this.#next.data;
    if (data.length > most) {
      const rest = Promise.resolve(data.subarray(most));
      this.#next = { offset: offset + most, data: rest };
      return data.subarray(0, most);
    }
    this.#next = data.length > 0 ? this.#fetch(offset + data.length) : undefined;
    return data;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #fetch(offset: number): Fetched {
    this.#buffers ??= [new Uint8Array(READ_BYTES), new Uint8Array(READ_BYTES)];
    const into = this.#buffers[(this.#turn ^= 1)] as Uint8Array;
    const length = Math.max(0, Math.min(into.length, this.size - offset));
    const data = this.#file
      .read(into, 0, length, offset)
      .then(({ bytesRead }) => into.subarray(0, bytesRead));
    data.catch(() => {}); // told to whoever reads there
    return { offset, data };
  }
}
