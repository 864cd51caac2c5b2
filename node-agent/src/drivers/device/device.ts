/** What this machine is and how it is doing. Plain facts, no names of people or files. */
import { statfs } from "node:fs/promises";
import os from "node:os";
import { deviceInfo, deviceStatus } from "@kith/shared/capabilities/device";
import { tame } from "@kith/shared/protocol/words";
import { battery, lid, networkKinds, osName } from "../../platform.ts";
import type { Driver, Probe } from "../driver.ts";

const ready = (): Promise<Probe> => Promise.resolve({ state: "ready" });
const count = (value: number) => Math.max(0, Math.round(value));

export function device({
  agent,
  home = os.homedir(),
  power = battery,
  cover = lid,
  networks = networkKinds,
}: {
  /** Name and version of this program. */
  readonly agent: string;
  /** Its disk is the one a person asks about. */
  readonly home?: string;
  readonly power?: typeof battery;
  readonly cover?: typeof lid;
  readonly networks?: typeof networkKinds;
}): { info: Driver<typeof deviceInfo>; status: Driver<typeof deviceStatus> } {
  return {
    info: {
      capability: deviceInfo,
      parallel: 4,
      maxMs: 5_000,
      probe: ready,
      run: () =>
        Promise.resolve({
          os: tame(osName(), 32),
          release: tame(os.release(), 64),
          arch: tame(os.arch(), 16),
          // Empty on Android, where the system does not tell.
          cpus: os.cpus().length,
          memory_bytes: count(os.totalmem()),
          agent: tame(agent, 32),
        }),
    },
    status: {
      capability: deviceStatus,
      parallel: 4,
      maxMs: 5_000,
      probe: ready,
      async run() {
        // A home that is gone, or a system that cannot tell: the field is absent.
        const disk = await statfs(home).catch(() => undefined);
        const [charge, lidNow, network] = await Promise.all([power(), cover(), networks()]);
        const host = tame(os.hostname(), 64);
        return {
          uptime_s: count(os.uptime()),
          load_percent: count((os.loadavg()[0] ?? 0) * 100),
          memory_free_bytes: count(os.freemem()),
          ...(disk && { disk_free_bytes: count(disk.bavail * disk.bsize) }),
          ...(charge && { battery_percent: charge.percent, charging: charge.charging }),
          ...(lidNow && { lid: lidNow }),
          network,
          ...(host && { host }),
        };
      },
    },
  };
}
