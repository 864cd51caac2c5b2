/** `--import` this, and the process takes plain-cipher.ts for the cipher of its links. */
import { registerHooks } from "node:module";

registerHooks({
  resolve: (specifier, context, next) =>
    next(
      specifier === "@kith/shared/noise/cipher"
        ? new URL("plain-cipher.ts", import.meta.url).href
        : specifier,
      context,
    ),
});
