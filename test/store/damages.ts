/** What happens to files on a disk that nobody watches. */
import { copyFileSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";

export const damages = {
  flip(file: string, random: (below: number) => number) {
    const bytes = readFileSync(file);
    const at = random(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
    writeFileSync(file, bytes);
  },
  cut: (file: string, random: (below: number) => number) =>
    truncateSync(file, random(statSync(file).size)),
  lose: (file: string) => rmSync(file),
  old: (file: string, _: unknown, old: string) => copyFileSync(old, file),
};
