/** Kith's own skills, which come with it. */
import { fileURLToPath } from "node:url";

const bundled = !import.meta.url.endsWith(".ts");

export const ownSkills = fileURLToPath(
  new URL(bundled ? "../skills" : "../../../skills", import.meta.url),
);
