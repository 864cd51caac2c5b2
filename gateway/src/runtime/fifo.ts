/** A queue whose front costs the same however long it is: `Array.shift` copies a long array. */

/** Below so many taken places, it is not worth moving the rest. */
const MIN_TAKEN = 64;

export class Fifo<T extends object> {
  #items: (T | undefined)[] = [];
  #head = 0;

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head++] = undefined; // what was taken must not be kept alive
    if (this.#head > MIN_TAKEN && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
