/** Methods that name a device: what is meant must be certain, whoever is connected now. */
import { methods } from "@kith/gateway/operators/methods";
import { expect, test } from "vitest";
import { Desk } from "../invocations/desk.ts";

/** Two phones, of which the new one is here and can do more; the old one was lost. */
function start() {
  const desk = new Desk();
  desk.documents.put("device", "laptop", false, {});
  for (const id of ["old phone", "new phone"]) desk.device(id, { kind: "phone" });
  desk.put("device", "caps/new phone", desk.documents.get("device", "caps/laptop"));
  desk.links.set("new phone", 1);
  const told: string[] = [];
  const runtime = {
    documents: desk.documents,
    ask: (to: string, { type }: { type: string }) => (
      told.push(`${type} ${to}`),
      Promise.resolve({ id: to, name: to })
    ),
  };
  const table = methods({
    runtime,
    calls: desk.calls,
    presence: { get: () => undefined },
    clock: { now: () => 0 },
  } as never);
  const call = (op: string, args: object) =>
    table.get(op)?.call(args, { by: "console:owner" }) ??
    Promise.reject(new Error("no such method"));
  return { call, told };
}

test.for(["devices.revoke", "devices.rename", "grants.explain"])(
  "%s of one of two phones asks which, though only one is here",
  async (op) => {
    const { call, told } = start();
    const more =
      op === "devices.rename"
        ? { name: "x" }
        : op === "grants.explain"
          ? { cap: "camera.snap" }
          : {};
    await expect(call(op, { device: "phone", ...more })).rejects.toMatchObject({
      code: "device-ambiguous",
    });
    expect(told).toEqual([]);
  },
);

test("named in full, it is the one that is away", async () => {
  const { call, told } = start();
  await call("devices.revoke", { device: "my old phone" });
  expect(told).toEqual(["owner.revoked device/old phone"]);
});

test("a model that says nothing for a minute is told as one that is away, not as a defect", async () => {
  const model = {
    ...{ name: "m", kind: "ollama" },
    provider: {
      // oxlint-disable-next-line require-yield -- it says nothing
      async *stream(_: unknown, signal: AbortSignal) {
        await Promise.reject(signal.reason as Error);
      },
    },
  };
  const clock = {
    now: () => 0,
    mono: () => 0,
    after: (_: number, fire: () => void) => (fire(), () => {}),
  };
  const table = methods({ runtime: {}, clock, model } as never);
  await expect(table.get("models.test")?.call({}, { by: "console:owner" })).rejects.toMatchObject({
    code: "model-away",
    message: expect.stringContaining("within a minute"),
  });
});
