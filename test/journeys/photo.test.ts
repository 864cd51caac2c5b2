/** The whole story, as `npm run demo` tells it on its own. */
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { dirname, isAbsolute } from "node:path";
import { describe, expect, test } from "vitest";
import { demo } from "../support/demo.ts";

describe("the demo", () => {
  test.for([[], ["--crash"]])("pairs a device and gets one photo %s", async (args) => {
    const said = await demo(...args);
    try {
      expect(said).toMatchObject({
        ok: true,
        device: "laptop",
        camera: "test-pattern",
        shots: 1,
        auditVerified: true,
      });
      expect(isAbsolute(said.photo)).toBe(true);
      const file = readFileSync(said.photo);
      expect(createHash("sha256").update(file).digest("hex")).toBe(said.sha256);
      expect(file.length).toBe(said.bytes);
      expect(said.width * said.height).toBeGreaterThanOrEqual(1_280 * 720);
      expect(said.pairingActions).toBeLessThanOrEqual(4);
      const { gatewayReady, nodeConnected, paired, photo } = said.ms;
      const steps = [0, gatewayReady, nodeConnected, paired, photo];
      expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    } finally {
      rmSync(dirname(dirname(said.photo)), { recursive: true, force: true });
    }
  });
});
