/** Where this machine is: by the word of its owner, else by what the system measures, where it does. */
import { locationGet } from "@kith/shared/capabilities/location";
import type { Place } from "../../config.ts";
import type { Driver } from "../driver.ts";
import type { Desktop } from "../../platform.ts";
import { probeOf } from "../program.ts";
import { measuring } from "./measured.ts";

/**
 * Steps in millionths of a degree, and how far off rounding to them may be. A degree of latitude
 * has 111 km, one of longitude at most that: half the diagonal of a square of that side.
 */
const steps = {
  exact: { step: 10, roundedM: 1 },
  street: { step: 1_000, roundedM: 80 },
  city: { step: 100_000, roundedM: 8_000 },
} as const;

/** The owner's word comes first; without one the system is asked. `examples`: see measured.ts. */
export function location(
  place: () => Place | undefined,
  desktop: Desktop,
  examples?: readonly string[],
): Driver<typeof locationGet> {
  /** @throws KithError not-ready, with what to do */
  const look = async () => place() ?? (await measuring(desktop, examples && [...examples]));
  return {
    capability: locationGet,
    parallel: 2,
    maxMs: 15_000,
    probe: () => probeOf(look),
    async run({ precision }, tools) {
      const found = await look();
      await tools.notice(`location: ${precision}`);
      const measured = "measure" in found ? await found.measure(tools.signal) : undefined;
      const { latitude, longitude } = measured ?? (found as Place);
      const called = "measure" in found ? undefined : found.name;
      const { step, roundedM } = steps[precision];
      const rounded = (degrees: number) => Math.round((degrees * 1_000_000) / step) * step || 0;
      return {
        latitude_microdeg: rounded(latitude),
        longitude_microdeg: rounded(longitude),
        rounded_m: roundedM,
        precision,
        source: "measure" in found ? found.name : "set-by-owner",
        ...(measured?.accuracy !== undefined && { accuracy_m: Math.ceil(measured.accuracy) }),
        // A name may be an address: it goes with the exact place only.
        ...(precision === "exact" && called !== undefined && { name: called }),
      };
    },
  };
}
