/**
 * One run of one driver: its tools on the way in, its result checked on the way out.
 * Everything a driver hands over is a claim until it passed its capability's own schema.
 */
import type { Capability } from "@kith/shared/capabilities/capability";
import type { Clock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import type { StreamRef } from "@kith/shared/protocol/call";
import { isLarger } from "@kith/shared/protocol/codec";
import { limits } from "@kith/shared/protocol/limits";
import * as v from "valibot";
import type { Active } from "./active.ts";
import type { AnyDriver, Content, Tools } from "./drivers/driver.ts";
import type { Incoming } from "./incoming.ts";
import type { LiveStreams } from "./live.ts";
import type { Notices } from "./notice.ts";
import type { Outgoing } from "./outgoing.ts";

/** How long a stopped driver may take to clean up before its call is answered without it. */
const STOP_MS = 1_000;

interface Handed {
  readonly role: string;
  readonly type: string;
  readonly content: Content;
  readonly most: number;
}

interface DriveParts {
  readonly clock: Clock;
  readonly notices: Notices;
  readonly outgoing: Outgoing;
  readonly incoming: Incoming;
  readonly live: LiveStreams;
  readonly log: (error: unknown) => void;
}

/**
 * Resolves with a checked result; its streams are stored, or on their way.
 * `settled` is called once, when the driver really ended: perhaps later than this promise.
 * @throws KithError; `driver` for whatever a driver throws that is none
 */
export async function drive(
  active: Active,
  parts: DriveParts,
  settled: (active: Active) => void,
): Promise<{ out: Record<string, unknown>; streams: StreamRef[] }> {
  const { driver, args, invoke } = active;
  const { capability } = driver;
  const handed: Handed[] = [];
  const shown: string[] = [];
  let over = false;

  const tools: Tools = {
    get signal() {
      return active.signal;
    },
    stream(role, type, content) {
      const allowed = Object.hasOwn(capability.streams, role)
        ? capability.streams[role]
        : undefined;
      if (
        over ||
        !allowed ||
        (allowed.types !== "any" && !allowed.types.includes(type)) ||
        handed.some((one) => one.role === role)
      )
        throw new KithError("bad-result", `${capability.name} has no such content`);
      const size = "bytes" in content ? content.bytes.length : content.size;
      const most = Math.min(allowed.maxBytes, invoke.max_bytes);
      if (size > most)
        throw new KithError("too-big", `the content has ${size} bytes, allowed are ${most}`);
      handed.push({ role, type, content, most });
    },
    call: invoke.call,
    receive(role, open) {
      const takes = capability.takes ?? {};
      const allowed = Object.hasOwn(takes, role) ? takes[role] : undefined;
      if (!allowed) throw new KithError("bad-result", `${capability.name} takes no ${role}`);
      return parts.incoming.receive(invoke.call, allowed.maxBytes, open, active.signal);
    },
    terminal(terminal) {
      if (!(capability as Capability).terminal)
        throw new KithError("bad-result", `${capability.name} is no terminal`);
      return parts.live.begin(invoke.call, terminal);
    },
    async notice(what) {
      active.throwIfStopped();
      await parts.notices.on(what);
      shown.push(what);
    },
  };

  const end = (): void => {
    settled(active);
    for (const what of shown) parts.notices.off(what);
    if (over) closeFiles(handed);
  };

  let out: unknown;
  try {
    out = await unlessStopped(started(driver, args, tools), active, parts.clock, STOP_MS, end);
    over = true;
  } catch (error) {
    over = true;
    closeFiles(handed);
    if (error instanceof KithError) throw error;
    parts.log(error);
    throw new KithError("driver", `${capability.name} failed on this device`, { cause: error });
  }
  const parsed = v.safeParse(capability.out, out);
  if (!parsed.success || isLarger(parsed.output, limits.outBytes)) {
    closeFiles(handed);
    throw new KithError("bad-result", `${capability.name} gave a result that it must not give`);
  }
  if (handed.length === 0) return { out: parsed.output, streams: [] };
  const handing = handed.map((one) => hand(invoke.call, one, parts.outgoing));
  try {
    return {
      out: parsed.output,
      streams: await unlessStopped(Promise.all(handing), active, parts.clock, 0),
    };
  } catch (error) {
    // What is still being stored now has nobody who waits for it.
    const dropped = new KithError("cancelled", "the call ended");
    void Promise.allSettled(handing).then(() => parts.outgoing.drop(invoke.call, dropped));
    throw error;
  }
}

/** A driver that throws at once must look like one that rejects. */
function started(driver: AnyDriver, args: unknown, tools: Tools): Promise<unknown> {
  try {
    return Promise.resolve(driver.run(args, tools));
  } catch (error) {
    return Promise.reject(error as Error);
  }
}

function hand(
  call: string,
  { role, type, content, most }: Handed,
  outgoing: Outgoing,
): Promise<StreamRef> {
  if ("bytes" in content) return outgoing.spool(call, role, type, content.bytes);
  return outgoing.file(call, role, type, content.file, content.size, most);
}

function closeFiles(handed: Handed[]): void {
  for (const { content } of handed.splice(0))
    // A file that cannot be closed was never written to; the system closes it with us.
    if ("file" in content) content.file.close().catch(() => {});
}

/** Rejects with the reason of the stop, after `graceMs` for the work to end by itself. `ended`: it did, now or later. */
function unlessStopped<T>(
  work: Promise<T>,
  active: Active,
  clock: Clock,
  graceMs: number,
  ended?: () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let cancel = () => {};
    active.onStop((why) => {
      if (graceMs === 0) reject(why);
      else cancel = clock.after(graceMs, () => reject(why));
    });
    work.then(
      (value) => {
        cancel();
        ended?.();
        if (active.why) reject(active.why);
        else resolve(value);
      },
      (error: unknown) => {
        cancel();
        ended?.();
        reject(error as Error);
      },
    );
  });
}
