/**
 * A key or password. Its value is seen only inside `use`; printing, spreading, cloning or storing
 * the object shows nothing, so that a secret cannot flow into a log, an event or a message by accident.
 */
export class Secret {
  // Private to the engine, not by convention: no inspector, spread or JSON reaches it.
  readonly #value: string | (() => string);

  /** As a function it is looked up at each use: what is set anew counts at once. */
  constructor(value: string | (() => string)) {
    this.#value = value;
  }

  /** Hands the value to `fn`, which must not keep it longer than its own work needs. */
  use<T>(fn: (value: string) => T): T {
    return fn(typeof this.#value === "string" ? this.#value : this.#value());
  }
}
