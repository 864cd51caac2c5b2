import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    // Two cores; journeys start processes of their own, and mostly wait for them.
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/journeys/**", "test/tailnet/real/**", "test/node_modules/**"],
          testTimeout: 20_000,
          // Patience for a busy machine, no measure: what comes true at once ends at once.
          expect: { poll: { timeout: 15_000 } },
        },
      },
      {
        test: {
          name: "journeys",
          include: ["test/journeys/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: { name: "tailnet", include: ["test/tailnet/real/**/*.test.ts"] },
      },
    ],
  },
});
