/**
 * The device's last word: what its owner turned on, and the lock that turns everything off.
 *
 * Both are files, looked at before every call, so `kith node lock` works with no gateway and
 * no running agent, and a change by another process counts from the next call on.
 */
import { statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import type { Home } from "./config.ts";
import { isMissing, privateFolder, syncFolder, writeDurably } from "./disk.ts";
import type { Tailnet } from "./tailnet.ts";

/** What the owner decided for one capability; what nobody named is off. */
export type Rule = "off" | "ask" | "allow";

const LOOK_MS = 500;

/** Creates or removes the lock of a home, whoever runs there. */
export async function setLock(dir: string, locked: boolean): Promise<void> {
  await privateFolder(dir);
  const path = join(dir, "locked");
  if (locked) return await writeDurably(path, "");
  await rm(path, { force: true });
  await syncFolder(dir);
}

export class Policy {
  readonly #home: Home;
  readonly #clock: Clock;
  readonly #tailnet: Pick<Tailnet, "beyond"> | undefined;
  #looked: boolean | undefined;

  constructor(home: Home, clock: Clock, tailnet?: Pick<Tailnet, "beyond">) {
    this.#home = home;
    this.#clock = clock;
    this.#tailnet = tailnet;
  }

  /** Looks at the disk now. What cannot be looked at counts as locked. */
  get locked(): boolean {
    return stamp(this.#home.path("locked")) !== "";
  }

  rule(cap: string): Rule {
    const { policy } = this.#home.settings;
    return Object.hasOwn(policy, cap) ? (policy[cap] ?? "off") : "off";
  }

  /** Whether the tailnet's policy keeps the gateway from asking that, whatever is on here. */
  beyond(cap: string): boolean {
    return this.#tailnet?.beyond(cap) ?? false;
  }

  /** @throws KithError locked, capability-off, outside-tailnet */
  check(cap: string): "ask" | "allow" {
    if (this.#lockedNow()) throw new KithError("locked", "this device is locked");
    const rule = this.rule(cap);
    if (rule === "off") throw new KithError("capability-off", `${cap} is off on this device`);
    if (this.beyond(cap))
      throw new KithError(
        "outside-tailnet",
        `the tailnet's policy does not let this gateway ask for ${cap}`,
      );
    return rule;
  }

  /** Calls of one message share a look: they came at the same moment. */
  #lockedNow(): boolean {
    if (this.#looked === undefined) {
      this.#looked = this.locked;
      queueMicrotask(() => (this.#looked = undefined));
    }
    return this.#looked;
  }

  /** Calls `changed` after the lock or node.json changed, at most half a second later. Returns stop. */
  watch(changed: (what: { readonly locked: boolean }) => void): () => void {
    const settings = this.#home.path("node.json");
    let [locked, seen] = [this.locked, stamp(settings)];
    let cancel = () => {};
    const look = async (): Promise<void> => {
      const [nowLocked, now] = [this.locked, stamp(settings)];
      // A file that somebody is just mending keeps the old settings; they are stricter than none.
      if (now !== seen) await this.#home.reload().catch(() => {});
      const differs = nowLocked !== locked || now !== seen;
      [locked, seen] = [nowLocked, now];
      if (stopped) return;
      if (differs) changed({ locked });
      cancel = this.#clock.after(LOOK_MS, () => void look());
    };
    let stopped = false;
    cancel = this.#clock.after(LOOK_MS, () => void look());
    return () => {
      stopped = true;
      cancel();
    };
  }
}

/** Differs when the file does; empty where there is none. */
function stamp(path: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch (error) {
    return isMissing(error) ? "" : "unreadable";
  }
}
