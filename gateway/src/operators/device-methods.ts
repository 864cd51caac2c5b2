/** Methods about devices: list, rename, release, revoke; and the one of this machine. */
import { catalogue } from "@kith/shared/capabilities/index";
import { isOwn, within } from "@kith/shared/capabilities/own";
import { KithError } from "@kith/shared/errors";
import { fromHex, keyId } from "@kith/shared/ids";
import { about } from "@kith/shared/protocol/session";
import { list, name } from "@kith/shared/protocol/words";
import * as v from "valibot";
import type { DeviceRow } from "../devices/device.ts";
import { freeName } from "../devices/resolve.ts";
import { ASK, NOTHING, event, lookup, words } from "./lookup.ts";
import { type Method, type MethodsOptions, method } from "./method.ts";
import { ago, table } from "./text.ts";

/** Lines that say why something does not work; `kith doctor` has all of them. */
const MOST_REASONS = 8;

export function deviceMethods(options: MethodsOptions): [string, Method][] {
  const { runtime, presence, clock, gateway } = options;
  const { documents } = runtime;
  const { rows, offers, device } = lookup(options);

  /** How the traffic of a device that came by the tailnet goes. */
  const route = ({ id, tailnet }: DeviceRow): { readonly route?: string } => {
    if (!tailnet || presence.get(id)?.epoch !== tailnet.epoch) return {};
    const found = options.tailnet?.route(tailnet);
    return found === undefined ? {} : { route: found };
  };

  return [
    [
      "devices.list",
      method(NOTHING, async () => {
        const now = clock.now();
        await options.tailnet?.look();
        const devices = rows().map((row) => ({
          id: row.id,
          name: row.name,
          kind: row.kind,
          os: row.os,
          state: row.state === "paired" ? (presence.get(row.id) ? "online" : "away") : row.state,
          ...route(row),
          since: row.seenAt,
          caps: offers(row.id).map(({ cap, state, policy, reason }) => ({
            cap,
            state,
            policy,
            ...(within(row.ceiling, cap) ? {} : { agreed: false }),
            ...(reason === undefined ? {} : { reason }),
          })),
        }));
        if (devices.length === 0)
          return { out: { devices }, text: "No devices yet. /pair lets one in." };
        const lines = devices.flatMap((one) => {
          const on = one.caps.filter(({ state }) => state !== "off");
          return [
            [
              one.name,
              one.state === "away"
                ? `away, seen ${ago(one.since, now)}`
                : `${one.state}${one.route === undefined ? "" : `, ${one.route}`}`,
              `${one.kind}, ${one.os}`,
              on
                .map(({ cap, state, policy, agreed }) =>
                  agreed === false
                    ? `${cap} (not paired for)`
                    : state === "ready"
                      ? `${cap}${policy === "ask" ? " (asks there)" : ""}`
                      : `${cap} (${state})`,
                )
                .join(", ") || "nothing turned on",
            ],
          ];
        });
        const locked = documents.get<{ locked: boolean }>("setting", "lock")?.locked ?? false;
        const reasons = devices.flatMap(({ name: called, caps }) =>
          caps.flatMap(({ cap, state, reason }) =>
            state !== "off" && state !== "ready" && reason ? [`${called}: ${cap}: ${reason}`] : [],
          ),
        );
        const why = reasons.length > 0 ? `\n${reasons.slice(0, MOST_REASONS).join("\n")}` : "";
        const note = locked ? "\nLOCKED: nothing is done on any of them until /unlock." : "";
        return { out: { devices }, text: `${table(lines)}${why}${note}` };
      }),
    ],
    [
      "devices.rename",
      method(
        v.strictObject({ device: words, name: name(64) }),
        async ({ device: said, name: wish }, { by }) => {
          const row = await runtime.ask<DeviceRow>(
            `device/${device(said).id}`,
            event({ type: "owner.renamed", name: wish, by } as never),
            ASK,
          );
          return { out: { device: row.id, name: row.name }, text: `It is called ${row.name} now.` };
        },
      ),
    ],
    [
      "devices.widen",
      method(
        v.strictObject({ device: words, cap: name(48) }),
        async ({ device: said, cap }, { by, key }) => {
          // What a device may ever be asked for grows by its owner's own hand, never by a chat.
          if (key !== undefined) throw new KithError("not-granted", "only at the command line");
          if (!catalogue.has(cap) && !isOwn(cap))
            throw new KithError("bad-args", `there is no capability ${cap}`);
          const row = device(said);
          await runtime.ask<DeviceRow>(
            `device/${row.id}`,
            event({ type: "owner.widened", cap, by } as never),
            ASK,
          );
          return {
            out: { device: row.id, name: row.name, cap },
            text: `${row.name} may be asked for ${cap} now; each use still needs your permission.`,
          };
        },
      ),
    ],
    [
      "devices.revoke",
      method(v.strictObject({ device: words }), async ({ device: said }, { by }) => {
        const row = device(said);
        if (row.state === "revoked")
          throw new KithError("revoked", `${row.name} was revoked before`);
        await runtime.ask<DeviceRow>(
          `device/${row.id}`,
          event({ type: "owner.revoked", by } as never),
          ASK,
        );
        return {
          out: { device: row.id, name: row.name },
          text: `${row.name} is revoked: its link is closed and nothing it says counts any more.`,
        };
      }),
    ],
    [
      "devices.release",
      method(v.strictObject({ device: words }), async ({ device: said }, { by }) => {
        const row = device(said);
        if (row.state !== "held") throw new KithError("bad-args", `${row.name} is not held`);
        await runtime.ask<DeviceRow>(
          `device/${row.id}`,
          event({ type: "owner.released", by } as never),
          ASK,
        );
        return {
          out: { device: row.id, name: row.name },
          text: `${row.name} may connect again. If its key was copied, revoke it instead.`,
        };
      }),
    ],
    [
      "node.register",
      method(
        v.strictObject({
          key: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
          ...about,
          caps: list(name(48), 64),
        }),
        async ({ key, caps, ...said }) => {
          const id = keyId(fromHex(key));
          const called = freeName(said.name, rows(), id);
          await runtime.ask<DeviceRow>(
            `device/${id}`,
            event({
              type: "device.paired",
              device: id,
              key,
              about: { ...said, name: called },
              ceiling: caps.filter((cap) => catalogue.has(cap) || isOwn(cap)),
              how: "local",
            } as never),
            ASK,
          );
          return {
            out: {
              device: id,
              gateway: gateway.id,
              key: gateway.key,
              name: gateway.name,
              address: options.local(),
            },
            text: `${called} is one of your devices now.`,
          };
        },
      ),
    ],
  ];
}
