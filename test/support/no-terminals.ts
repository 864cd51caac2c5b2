/** For a control socket whose gateway has no devices. */
import { Presence } from "@kith/gateway/devices/presence";
import { Terminals } from "@kith/gateway/operators/terminals";

export const noTerminals = (): Terminals =>
  new Terminals({
    runtime: { on: () => () => {} },
    calls: { get: () => undefined, list: () => [] },
    presence: new Presence(),
  });
