import { type DeviceEvent, deviceMachine } from "@kith/gateway/devices/device.machine";
import type { Hello } from "@kith/shared/protocol/session";
import { describe, expect, test } from "vitest";
import { BIRTH_AT, type Driven, drive } from "../support/drive.ts";

type Device = Driven<typeof deviceMachine>;

const about = { name: "laptop", kind: "laptop", os: "linux", arch: "x64", agent: "0.1.0" } as const;
const pairing = {
  type: "device.paired",
  device: "key16",
  key: "00",
  about,
  ceiling: ["camera.snap"],
  how: "code",
} as const;

const hello = (change: Partial<Hello> = {}): Hello => ({
  ...{ t: "hello", minor: 0, features: [], ...about, boot: "A", ledger: "L", last_epoch: 0 },
  ...change,
});

/** A device that was just paired. */
function start(): Device {
  const device = drive(deviceMachine, pairing);
  device.owed();
  return device;
}

const ask = (device: Device, change: Partial<Hello> = {}) => {
  device.send({ type: "link.asked", hello: hello(change) });
  return device.owed();
};
const whats = (effects: ReturnType<Device["owed"]>) =>
  effects.flatMap((effect) => (effect.kind === "audit" ? [effect.what] : []));
const said = (effects: ReturnType<Device["owed"]>) =>
  effects.flatMap((effect) => (effect.kind === "reply" ? [effect.value] : []));
const topics = (effects: ReturnType<Device["owed"]>) =>
  effects.flatMap((effect) => (effect.kind === "signal" ? [effect.topic] : []));

test("pairing keeps the row, tells who is there now, and raises no right", () => {
  const device = drive(deviceMachine, pairing);
  expect(device.owed()).toMatchObject([
    {
      kind: "put",
      table: "device",
      id: "key16",
      open: true,
      body: { state: "paired", epoch: 0, revocation: 0, pairedAt: BIRTH_AT },
    },
    // Usable at once: what it named is presumed until it says what it offers.
    {
      kind: "put",
      table: "device",
      id: "caps/key16",
      body: { caps: [{ cap: "camera.snap", state: "ready", effect: "idempotent" }] },
    },
    {
      kind: "audit",
      what: "device.paired",
      data: { device: "key16", how: "code", caps: ["camera.snap"] },
    },
    { kind: "tell", to: "invocation/*", event: { type: "device.revoked", device: "key16" } },
    { kind: "reply", value: { id: "key16" } },
    { kind: "signal", topic: "device.paired", data: { how: "code" } },
  ]);
});

describe("links are numbered", () => {
  test("upwards, one by one, and the row is kept before the answer", () => {
    const device = start();
    for (const epoch of [1, 2, 3]) {
      const effects = ask(device, { last_epoch: epoch - 1 });
      expect(effects.map(({ kind }) => kind)).toEqual(["put", "reply"]);
      expect(effects[0]).toMatchObject({ body: { epoch, ledger: "L" } });
      expect(said(effects)).toEqual([{ epoch }]);
    }
  });

  test("above what the device remembers; then our data is old, and owner and audit hear it", () => {
    const device = start();
    const effects = ask(device, { last_epoch: 41 });
    expect(said(effects)).toEqual([{ epoch: 42 }]);
    expect(effects).toContainEqual({
      kind: "audit",
      what: "device.restored",
      data: { device: "key16", name: "laptop", stored: 0, seen: 41 },
    });
    expect(topics(effects)).toEqual(["notice"]);
    expect(whats(ask(device, { last_epoch: 42 }))).toEqual([]);
    expect(said(ask(device, { last_epoch: 7 }))).toEqual([{ epoch: 44 }]);
  });

  test("and the device's own name for itself does not undo a rename", () => {
    const device = start();
    device.send({ type: "owner.renamed", name: "Anna's", by: "console:owner" });
    ask(device, { name: "root" });
    expect(device.context().row.name).toBe("Anna's");
  });
});

describe("a copied key", () => {
  const boots = (device: Device, ...names: string[]) =>
    names.map((boot) => said(ask(device, { boot }))[0]);

  test("shows as two boots that alternate three times in a minute: both are kept out and the owner hears it", () => {
    const device = start();
    expect(boots(device, "A", "B", "A")).toEqual([{ epoch: 1 }, { epoch: 2 }, { epoch: 3 }]);
    const effects = ask(device, { boot: "B" });
    expect(said(effects)).toEqual([{ refuse: "duplicate" }]);
    expect([whats(effects), topics(effects), device.state()]).toEqual([
      ["device.held"],
      ["device.held", "notice"],
      "held",
    ]);
    expect(boots(device, "A", "B", "C")).toEqual([
      { refuse: "duplicate" },
      { refuse: "duplicate" },
      { refuse: "duplicate" },
    ]);
    expect(device.context().row).toMatchObject({ state: "held", epoch: 3 });
  });

  test("does not show in many starts of one agent, nor in the same boot coming back", () => {
    expect(boots(start(), "A", "B", "C", "D", "E", "F").at(-1)).toEqual({ epoch: 6 });
    expect(boots(start(), "A", "A", "A", "A", "A").at(-1)).toEqual({ epoch: 5 });
    expect(boots(start(), "A", "B", "C", "D", "D").at(-1)).toEqual({ epoch: 5 });
    // A hello of the last start that was late on its way.
    expect(boots(start(), "A", "B", "C", "D", "C", "D").slice(-2)).toEqual([
      { epoch: 5 },
      { refuse: "duplicate" },
    ]);
  });

  test.for([
    [60_000, "paired"],
    [59_999, "held"],
  ] as const)("counts within a minute: %i ms", ([ms, state]) => {
    const device = start();
    boots(device, "A");
    device.pass(ms);
    boots(device, "B", "A", "B");
    expect(device.state()).toBe(state);
  });

  test("is let in again by the owner, by release or by pairing anew, with no memory of the boots", () => {
    for (const let_in of [{ type: "owner.released", by: "console:owner" }, pairing] as const) {
      const device = start();
      boots(device, "A", "B", "A", "B");
      device.send(let_in);
      device.owed();
      expect([device.state(), device.context().row.state, device.context().boots]).toEqual([
        "paired",
        "paired",
        [],
      ]);
      expect(boots(device, "A")).toEqual([{ epoch: 4 }]);
    }
  });
});

describe("revoking", () => {
  test("raises the number of its rights, ends links and calls, and refuses what comes later", () => {
    const device = start();
    ask(device);
    device.send({ type: "owner.revoked", by: "console:owner" });
    expect(device.owed()).toMatchObject([
      { kind: "put", body: { state: "revoked", revocation: 1 } },
      { kind: "audit", what: "device.revoked", data: { by: "console:owner" } },
      { kind: "signal", topic: "device.revoked", data: { device: "key16" } },
      { kind: "tell", to: "invocation/*", event: { type: "device.revoked", device: "key16" } },
      { kind: "reply", value: { state: "revoked" } },
    ]);
    expect(said(ask(device))).toEqual([{ refuse: "revoked" }]);
    for (const late of [
      { type: "link.up", epoch: 1 },
      { type: "link.down", epoch: 1, why: "" },
      { type: "caps.advertised", hash: new Uint8Array(32), caps: [], epoch: 1 },
    ] as const) {
      device.send(late);
    }
    expect(device.owed()).toEqual([]);
  });

  test("works while it is held", () => {
    const device = start();
    for (const boot of ["A", "B", "A", "B"]) ask(device, { boot });
    device.send({ type: "owner.revoked", by: "console:owner" });
    expect(device.context().row).toMatchObject({ state: "revoked", revocation: 1 });
  });

  test("ends with pairing anew: the numbers go on, so that no old right comes back", () => {
    const device = start();
    ask(device);
    device.send({ type: "owner.revoked", by: "console:owner" });
    device.send({ ...pairing, ceiling: ["files.read"] });
    const { row } = device.context();
    expect(row).toMatchObject({ state: "paired", epoch: 1, ceiling: ["files.read"] });
    expect(row.revocation).toBeGreaterThanOrEqual(1);
    expect(said(ask(device)).at(-1)).toEqual({ epoch: 2 });
  });

  test("pairing anew without it ends the earlier rights too, even with a clock that was set back", () => {
    const device = start();
    device.send({ ...pairing, at: BIRTH_AT - 3_600_000 });
    expect(device.context().row.revocation).toBe(1);
    expect(device.owed()).toContainEqual({
      kind: "tell",
      to: "invocation/*",
      event: { type: "device.revoked", device: "key16" },
    });
    device.send({ ...pairing, at: BIRTH_AT - 3_600_000 });
    expect(device.context().row.revocation).toBe(2);
  });
});

test("one that keeps saying what is not its to say is shown to the owner, once an hour at most", () => {
  const device = start();
  const offend = (at: number) => {
    device.send({ type: "device.offended", how: "claim", at });
    return device.owed();
  };
  expect(offend(BIRTH_AT + 1)).toMatchObject([
    { kind: "audit", what: "device.offended", data: { device: "key16", how: "claim" } },
    { kind: "signal", topic: "notice" },
  ]);
  expect(offend(BIRTH_AT + 2)).toEqual([]);
  expect(whats(offend(BIRTH_AT + 1 + 3_600_000))).toEqual(["device.offended"]);
});

test("what it offers is kept beside its row, and whoever waits for it hears", () => {
  const device = start();
  device.send({ type: "caps.advertised", hash: new Uint8Array(32), caps: [], epoch: 4 });
  expect(device.owed()).toMatchObject([
    { kind: "put", table: "device", id: "caps/key16", body: { caps: [] } },
    { kind: "signal", topic: "caps.stored", data: { device: "key16", epoch: 4 } },
  ]);
});

test("its owner may let it be asked for more than it was paired for, once", () => {
  const device = start();
  const widen = () => {
    device.owed();
    device.send({ type: "owner.widened", cap: "x.lamp.set", by: "console:owner" });
    return device.owed();
  };
  const { ceiling } = device.context().row;
  expect(widen()).toContainEqual(
    expect.objectContaining({ kind: "audit", what: "device.widened" }),
  );
  expect(device.context().row.ceiling).toEqual([...ceiling, "x.lamp.set"]);
  widen();
  expect(device.context().row.ceiling).toEqual([...ceiling, "x.lamp.set"]);
});

describe("a link by the tailnet", () => {
  const tailnet = {
    node: "nLAP",
    ip: "100.64.0.2",
    name: "laptop.ts.net",
    login: "a@b",
    tags: [],
    may: ["camera"],
  };
  const comes = (device: Device) => device.send({ type: "link.asked", hello: hello(), tailnet });
  const connected = (device: Device) => {
    device.owed();
    device.send({ type: "link.up", epoch: device.context().row.epoch });
    return device.owed();
  };

  test("is recorded with whose machine it is; one by another way is not, and changes nothing", () => {
    const device = start();
    comes(device);
    expect(connected(device)).toMatchObject([{ what: "device.connected", data: { tailnet } }]);
    ask(device);
    const [noted] = connected(device);
    expect(noted).toMatchObject({ what: "device.connected" });
    expect(noted).not.toHaveProperty("data.tailnet");
    expect(device.context().row.tailnet).toMatchObject({ may: ["camera"], epoch: 1 });
  });

  test("by another machine permits nothing, and is not taken for the one that was seen", () => {
    const device = start();
    comes(device);
    const other = { ...tailnet, node: "nEVIL", ip: "100.64.0.9", may: ["*"] };
    device.send({ type: "link.asked", hello: hello({ last_epoch: 1 }), tailnet: other });
    expect(device.context().row.tailnet).toMatchObject({ node: "nLAP", ip: "100.64.0.2", may: [] });
    device.owed();
    // Again and again it is no news.
    device.send({ type: "tailnet.changed", tailnet: other });
    expect(device.owed()).toEqual([]);
    device.send({ type: "tailnet.changed", tailnet });
    expect(device.context().row.tailnet?.may).toEqual(["camera"]);
    // Pairing anew, by both codes, begins anew.
    device.send({ ...pairing, device: "key16" });
    expect(device.context().row).not.toHaveProperty("tailnet");
  });

  test("whose machine changes its name again and again fills no audit", () => {
    const device = start();
    comes(device);
    device.owed();
    device.send({ type: "tailnet.changed", tailnet: { ...tailnet, name: "other.ts.net" } });
    const owed = device.owed();
    expect(owed.map(({ kind }) => kind)).toEqual(["put"]);
    expect(device.context().row.tailnet?.name).toBe("other.ts.net");
  });

  test("is told anew only when something changed; then what is open is looked at", () => {
    const device = start();
    comes(device);
    device.owed();
    device.send({ type: "tailnet.changed", tailnet });
    expect(device.owed()).toEqual([]);
    device.send({ type: "tailnet.changed", tailnet: { ...tailnet, may: [] } });
    const owed = device.owed();
    expect(whats(owed)).toEqual(["device.tailnet"]);
    expect(owed).toContainEqual(
      expect.objectContaining({ kind: "tell", event: { type: "ceiling.changed" } }),
    );
    expect(device.context().row.tailnet?.may).toEqual([]);
  });
});

test("it handles exactly the events of its type", () => {
  const all: Record<DeviceEvent["type"], true> = {
    ...{
      "device.paired": true,
      "link.asked": true,
      "tailnet.changed": true,
      "link.up": true,
      "link.down": true,
      "caps.advertised": true,
      "device.offended": true,
    },
    ...{ "owner.renamed": true, "owner.widened": true },
    ...{ "owner.released": true, "owner.revoked": true },
  };
  expect([...deviceMachine.events].toSorted()).toEqual(Object.keys(all).toSorted());
});
