import { KithError } from "@kith/shared/errors";
import type { Runtime } from "../runtime/runtime.ts";
import type { DeviceRow } from "./device.ts";

const STORED_MS = 10_000;

/** Resolves when the row of a device that was just let in is on disk. @throws KithError timeout */
export function paired(runtime: Runtime, device: string): Promise<DeviceRow> {
  const { promise, resolve, reject } = Promise.withResolvers<DeviceRow>();
  const key = `paired:${device}`;
  const done = runtime.on<{ row: DeviceRow }>("device.paired", ({ row }) => {
    if (row.id === device) finish(() => resolve(row));
  });
  const finish = (then: () => void) => {
    runtime.due.clear(key);
    done();
    then();
  };
  runtime.due.set(key, STORED_MS, () =>
    finish(() => reject(new KithError("timeout", "the device could not be stored in time"))),
  );
  // The turn may have been committed before we began to listen.
  const row = runtime.documents.get<DeviceRow>("device", device);
  if (row?.state === "paired" && row.epoch === 0) finish(() => resolve(row));
  return promise;
}
