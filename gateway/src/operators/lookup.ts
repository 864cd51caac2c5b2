/** What several methods look up: devices by name, rows by id, open questions. */
import { type ErrorCode, KithError } from "@kith/shared/errors";
import { name } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { type DeviceRow, type OfferedSet, deviceRows } from "../devices/device.ts";
import { resolve } from "../devices/resolve.ts";
import type { Call } from "../invocations/call.ts";
import type { Event } from "../runtime/effect.ts";
import { short } from "../sessions/words.ts";
import type { MethodsOptions } from "./method.ts";

/** How long an actor may take to answer a method. */
export const ASK = { deadlineMs: 10_000 } as const;
export const NOTHING = v.strictObject({});
/** A device as a person says it. */
export const words = name(256);

export const event = (body: { type: string }): Event => body as Event;

/** One of several by id, or by the end of an id as people copy it. */
export const one = <T extends { id: string }>(
  among: readonly T[],
  id: string | undefined,
  code: ErrorCode,
  what: string,
): T => {
  const fitting =
    id === undefined
      ? among
      : among.filter(
          (entry) => entry.id === id || (id.length >= 4 && entry.id.endsWith(id.toUpperCase())),
        );
  const [first, second] = fitting;
  if (!first)
    throw new KithError(
      code,
      id === undefined ? `there is no ${what}` : `there is no ${what} ${id}`,
    );
  if (second)
    throw new KithError(
      "approval-ambiguous",
      `several fit: ${fitting.map((entry) => short(entry.id)).join(", ")}`,
    );
  return first;
};

export function lookup({
  runtime: { documents },
  calls,
}: Pick<MethodsOptions, "runtime" | "calls">) {
  const rows = (): readonly DeviceRow[] => deviceRows(documents);
  return {
    rows,
    /** What a device offers now. */
    offers: (id: string) => documents.get<OfferedSet>("device", `caps/${id}`)?.caps ?? [],
    /** Questions that wait for the owner. */
    asked: (): readonly Call[] => calls.list().filter(({ state }) => state === "asked"),
    /** @throws KithError device-unknown, device-ambiguous */
    device: (said: string): DeviceRow => {
      // What ends or renames a device never guesses by who is there.
      const found = resolve(said, rows(), () => ({ online: false, able: false }));
      if (found.is === "one") return found.row;
      if (found.is === "none")
        throw new KithError("device-unknown", `no device is called “${said}”`);
      throw new KithError(
        "device-ambiguous",
        `several devices fit: ${found.rows.map((row) => row.name).join(", ")}`,
      );
    },
  };
}
