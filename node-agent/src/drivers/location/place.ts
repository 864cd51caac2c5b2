/** Where this machine is, by the word of its owner. Nothing is measured and nobody is asked. */
import { locationGet } from "@kith/shared/capabilities/location";
import { KithError } from "@kith/shared/errors";
import type { Place } from "../../config.ts";
import type { Driver } from "../driver.ts";
import { probeOf } from "../program.ts";

/**
 * Steps in millionths of a degree, and how far off rounding to them may be. A degree of latitude
 * has 111 km, one of longitude at most that: half the diagonal of a square of that side.
 */
const steps = {
  exact: { step: 10, roundedM: 1 },
  street: { step: 1_000, roundedM: 80 },
  city: { step: 100_000, roundedM: 8_000 },
} as const;

export function location(place: Place | undefined): Driver<typeof locationGet> {
  /** @throws KithError not-ready, with what to do */
  const look = (): Promise<Place> =>
    place
      ? Promise.resolve(place)
      : Promise.reject(
          new KithError("not-ready", "no place is set here; say `kith node --place LAT,LON`"),
        );
  return {
    capability: locationGet,
    parallel: 2,
    maxMs: 5_000,
    probe: () => probeOf(look),
    async run({ precision }, tools) {
      const { latitude, longitude, name } = await look();
      await tools.notice(`location: ${precision}`);
      const { step, roundedM } = steps[precision];
      const rounded = (degrees: number) => Math.round((degrees * 1_000_000) / step) * step || 0;
      return {
        latitude_microdeg: rounded(latitude),
        longitude_microdeg: rounded(longitude),
        rounded_m: roundedM,
        precision,
        source: "set-by-owner",
        // A name may be an address: it goes with the exact place only.
        ...(precision === "exact" && name !== undefined && { name }),
      };
    },
  };
}
