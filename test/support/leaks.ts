/** Whether a secret stands where it must not: in a file beside its own, or in what a process said. */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** Every form in which one could be written down, as bytes of files are read here (latin1). */
export function formsOf(secret: Uint8Array | string): readonly string[] {
  const bytes = Buffer.from(secret as string);
  const hex = bytes.toString("hex");
  return [
    bytes.toString("latin1"),
    ...(typeof secret === "string" ? [encodeURIComponent(secret)] : []),
    Buffer.from(bytes.toReversed()).toString("latin1"),
    hex,
    hex.toUpperCase(),
    // Base64 within a longer text begins at one of three places, and its ends depend on what is beside it.
    ...[0, 1, 2].flatMap((shift) =>
      (["base64", "base64url"] as const).map((form) =>
        Buffer.concat([Buffer.alloc(shift), bytes])
          .toString(form)
          .slice(shift === 0 ? 0 : 4, -4),
      ),
    ),
  ];
}

/** So much of a file is looked at: films and archives of tests are larger. */
const MOST_BYTES = 16 * 1_048_576;

/** All files below, read. `content`: latin1. */
export function filesOf(folder: string): { path: string; content: string }[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((file) => {
    const path = join(file.parentPath, file.name);
    if (!file.isFile() || statSync(path).size > MOST_BYTES) return [];
    return [{ path, content: readFileSync(path).toString("latin1") }];
  });
}

/** The private keys of all homes below, and `canaries`: where any of them stands but in its own file. */
export function leaksOf(folder: string, words: string, canaries: readonly string[]): string[] {
  const files = filesOf(folder);
  const keys = files.filter(({ path, content }) => path.endsWith(".key") && content.length === 32);
  const secrets = [
    ...keys.map(({ path, content }) => ({
      name: path,
      forms: formsOf(Buffer.from(content, "latin1")),
    })),
    ...canaries.map((canary) => ({ name: canary, forms: formsOf(canary) })),
  ];
  return secrets.flatMap(({ name, forms }) =>
    [...files, { path: "what was said", content: words }].flatMap(({ path, content }) =>
      path !== name && !sameKey(keys, path, content) && forms.some((form) => content.includes(form))
        ? [`${name} stands in ${path}`]
        : [],
    ),
  );
}

/** A copied home has the same keys. */
const sameKey = (keys: readonly { path: string }[], path: string, content: string): boolean =>
  content.length === 32 && keys.some((key) => key.path === path);
