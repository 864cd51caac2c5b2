/** One unit test run with one line of the sources planted wrong; `guards.ts` names it. Used only here. */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const { file, line, planted } = JSON.parse(process.env["KITH_PLANT"] ?? "{}") as Record<
  "file" | "line" | "planted",
  string | undefined
>;

export default defineConfig({
  root,
  plugins: [
    {
      name: "planted",
      enforce: "pre",
      transform(code, id) {
        if (file === undefined || line === undefined || !id.endsWith(`/${file}`)) return undefined;
        return code.replace(line, () => planted ?? "");
      },
    },
  ],
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/journeys/**", "test/node_modules/**"],
    testTimeout: 10_000,
    bail: 1,
    // What another fault made of a file must not be found there: its key is the file alone.
    fsModuleCache: false,
    maxWorkers: 1,
  },
});
