/** What was sealed was changed, cut, repeated, reordered, or is not for this key. */
export class CipherError extends Error {
  override readonly name = "CipherError";

  constructor(options?: ErrorOptions) {
    super("the message does not fit its tag", options);
  }
}
