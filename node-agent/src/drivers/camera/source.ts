/** What a family of cameras must do for `cameras.ts`, and the words all families share. */
import type { cameraList } from "@kith/shared/capabilities/camera";
import type { OutOf } from "@kith/shared/capabilities/capability";
import { KithError } from "@kith/shared/errors";
import { tame } from "@kith/shared/protocol/words";
import type { Film, Filmed } from "../film.ts";
import type { Probe } from "../driver.ts";

type Listed = OutOf<typeof cameraList>["cameras"][number];

export interface Camera extends Listed {
  /** How its source finds it: a path, an index, a system's name. Never leaves the device. */
  readonly at: string;
}

export interface Picture {
  /** What should be a JPEG; `cameras.ts` looks. */
  readonly bytes: Uint8Array;
  /** On this machine's clock, Unix milliseconds. */
  readonly takenAtMs: number;
}

/** One family of cameras on this machine. */
export interface CameraSource {
  /** Looks without turning a camera on. @throws KithError when it cannot look */
  list(signal?: AbortSignal): Promise<readonly Camera[]>;
  /** As a driver's `probe`: never throws. */
  probe(): Promise<Probe>;
  /** One picture of a camera just listed, longest edge at most `maxEdge` px, never enlarged. */
  snap(camera: Camera, maxEdge: number, signal: AbortSignal): Promise<Picture>;
  /** A film of it; absent where it can make none. */
  clip?(camera: Camera, wanted: Film, signal: AbortSignal): Promise<Filmed>;
}

/** As many cameras as a list may name; so in the capability. */
export const MOST_CAMERAS = 16;

/** What may leave the device. */
export const listed = ({ id, label, facing }: Camera): Listed => ({ id, label, facing });

/** Why looking failed, for a probe: only our own words pass. */
export const why = (thrown: unknown) =>
  tame(thrown instanceof KithError ? thrown.message : "the cameras cannot be listed", 160);

/** Where a camera looks, as far as its name tells. */
export function facingOf(label: string): Listed["facing"] {
  if (/front|facetime|integrated|built-?in|user/i.test(label)) return "front";
  return /back|rear|world/i.test(label) ? "back" : "unknown";
}

/** Cameras known by their names only: ids from labels, twins numbered, screens left out. */
export function named(found: readonly { readonly label: string; readonly at: string }[]): Camera[] {
  const seen = new Map<string, number>();
  return (
    found
      // A screen is offered as a camera by some systems. It needs another permission than a camera.
      .filter(({ label }) => !/capture screen|screen.?capture/i.test(label))
      .slice(0, MOST_CAMERAS)
      .map(({ label: full, at }) => {
        const label = tame(full, 56) || "camera";
        const nth = (seen.get(label) ?? 0) + 1;
        seen.set(label, nth);
        return { id: nth === 1 ? label : `${label} #${nth}`, label, facing: facingOf(label), at };
      })
  );
}
