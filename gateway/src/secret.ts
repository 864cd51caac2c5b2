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

/** The text without the secret, in whatever of the usual forms it stands there: plain, in an address, hex, base64. */
export const without = (secret: Secret, text: string): string =>
  secret.use((value) =>
    value === "" ? text : formsOf(value).reduce((left, form) => left.replaceAll(form, "…"), text),
  );

function formsOf(value: string): readonly string[] {
  const bytes = Buffer.from(value);
  const hex = bytes.toString("hex");
  // Within a longer text it begins at one of three places, and its ends depend on what is beside it.
  const based = [0, 1, 2].flatMap((shift) => {
    const shifted = Buffer.concat([Buffer.alloc(shift), bytes]);
    const from = shift === 0 ? 0 : 4;
    return (["base64", "base64url"] as const).map((form) => shifted.toString(form).slice(from, -4));
  });
  return [value, encodeURIComponent(value), hex, hex.toUpperCase(), ...based]
    .filter((form) => form !== "")
    .toSorted((a, b) => b.length - a.length);
}
