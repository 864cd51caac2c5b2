/** Which device is connected now. A map and nothing more: worthless a second later. */
import type { KeyId } from "@kith/shared/ids";
import type { DeviceLink } from "./link.ts";

export class Presence {
  readonly #links = new Map<KeyId, DeviceLink>();

  get(device: KeyId): DeviceLink | undefined {
    return this.#links.get(device);
  }

  all(): DeviceLink[] {
    return [...this.#links.values()];
  }

  /** The newest link wins; the one it replaced is returned. */
  up(link: DeviceLink): DeviceLink | undefined {
    const older = this.#links.get(link.device);
    this.#links.set(link.device, link);
    return older === link ? undefined : older;
  }

  /** False when a newer link has already taken its place. */
  down(link: DeviceLink): boolean {
    if (this.#links.get(link.device) !== link) return false;
    this.#links.delete(link.device);
    return true;
  }
}
