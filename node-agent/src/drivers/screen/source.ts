/** What a system's way of taking screens must do for `screens.ts`. */
import type { OutOf } from "@kith/shared/capabilities/capability";
import type { ArgsOf } from "@kith/shared/capabilities/capability";
import type { screenList, screenSnap } from "@kith/shared/capabilities/screen";

import type { Film, Filmed } from "../film.ts";

export type Listed = OutOf<typeof screenList>["screens"][number];

export interface Screen extends Listed {
  /** How its source finds it: a place in px, a number. Never leaves the device. */
  readonly at: string;
}

export type Wanted = Pick<ArgsOf<typeof screenSnap>, "format" | "max_edge_px">;

export interface ScreenSource {
  /** Everything that can be known without looking at a screen. @throws KithError why none can be taken */
  list(signal: AbortSignal): Promise<readonly Screen[]>;
  /** One picture, longest edge at most `max_edge_px`, never enlarged. */
  snap(screen: Screen, wanted: Wanted, signal: AbortSignal): Promise<Uint8Array>;
  /** A film of it; absent where it can make none. */
  record?(screen: Screen, wanted: Film, signal: AbortSignal): Promise<Filmed>;
}

/** As many screens as a list may name; so in the capability. */
export const MOST_SCREENS = 16;
/** The id of all screens together, as they are laid out. */
export const ALL = "all";

/** What may leave the device. */
export const listed = ({ at: _, ...screen }: Screen): Listed => screen;
