/**
 * Somebody in between who already shows a code at the device and opens session after session
 * at the gateway, hoping for the same one. Against codes of three characters, so that it can be
 * seen: without slots it works, with the slots of the real desk it works as often as they allow.
 */
import { type Attempt, pairingLimits, pairingMachine } from "@kith/gateway/devices/pairing.machine";
import { approvalCode } from "@kith/shared/noise/approval-code";
import type { Report } from "../report/report.ts";
import { drive } from "../support/drive.ts";
import { type Random, random } from "./random.ts";

const CHARS = 3;
const CODES = 32 ** CHARS;
const DAY_MS = 86_400_000;

const shortCode = (chance: Random): string =>
  approvalCode(chance.bytes(32), chance.bytes(16), chance.bytes(16)).code.slice(0, CHARS);

/** Sessions until the first fitting one, with nobody counting. */
function unbounded(chance: Random, most: number): number | undefined {
  const wanted = shortCode(chance);
  for (let tries = 1; tries <= most; tries++) if (shortCode(chance) === wanted) return tries;
  return undefined;
}

/** Sessions that the real desk lets reach a code within so many days of constant attack. */
function admitted(days: number): number {
  const desk = drive(pairingMachine, { type: "gateway.started" }, "pairing/desk");
  let slots = 0;
  let n = 0;
  for (let day = 0; day < days; day++) {
    for (let window = 0; window < pairingLimits.windowsPerDay; window++) {
      desk.send({ type: "owner.listened", by: "owner" });
      // Twice as many as there are slots, each dropped as soon as its code is seen.
      for (let tries = 0; tries < 2 * pairingLimits.slotsPerWindow; tries++) {
        const id = `attempt-${++n}`;
        const attempt = { id, device: "d", key: "k", caps: [], source: "s", about } as Omit<
          Attempt,
          "since"
        >;
        desk.owed();
        desk.send({ type: "attempt.begun", attempt });
        if (!refused(desk.owed())) slots++;
        desk.send({ type: "attempt.abandoned", attempt: id });
      }
      desk.pass(pairingLimits.windowMs + 1);
    }
    desk.pass(DAY_MS - pairingLimits.windowsPerDay * (pairingLimits.windowMs + 1));
  }
  return slots;
}

const about: Attempt["about"] = { name: "x", kind: "laptop", os: "linux", arch: "x64", agent: "x" };
const refused = (owed: readonly object[]): boolean =>
  owed.some((one) => {
    const { value } = one as { value?: { refuse?: string } };
    return value?.refuse !== undefined;
  });

export function grinding(report: Report, { seed, days }: { seed: number; days: number }) {
  const chance = random(seed);
  const tries = unbounded(chance, CODES * 20);
  report.planted({
    name: "codes of three characters and no slots",
    by: tries === undefined ? null : `${tries} sessions`,
    hits: 1,
    found: tries === undefined ? 0 : 1,
  });
  const slots = admitted(days);
  report.figure("fuzz.grinding.slots_a_day", slots / days, {
    unit: "sessions/day",
    goal: { op: "<=", value: pairingLimits.slotsPerDay },
  });
  let hits = 0;
  const wanted = shortCode(chance);
  const many = slots * 400;
  for (let n = 0; n < many; n++) if (shortCode(chance) === wanted) hits++;
  // Four standard deviations above the mean of so many tries.
  const mean = many / CODES;
  report.figure("fuzz.grinding.hits", hits, {
    unit: `hits of ${many} sessions`,
    goal: { op: "<=", value: Math.ceil(mean + 4 * Math.sqrt(mean)) },
  });
}
