/**
 * The gateway's own methods: one table for the control socket and for the commands of a chat.
 * Each has a schema for its arguments and answers twice: `out` for programs, `text` for people.
 */
import { name, str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { short } from "../sessions/words.ts";
import { actorMethods } from "./actor-methods.ts";
import { callMethods } from "./call-methods.ts";
import { deviceMethods } from "./device-methods.ts";
import { NOTHING, lookup } from "./lookup.ts";
import { type Method, type MethodsOptions, atCommandLine, method } from "./method.ts";
import { memoryMethods } from "./memory-methods.ts";
import { meshMethods } from "./mesh-methods.ts";
import { modelMethods } from "./model-methods.ts";
import { pairingMethods } from "./pairing-methods.ts";
import { permissionMethods } from "./permission-methods.ts";
import { reminderMethods } from "./reminder-methods.ts";
import { secretMethods } from "./secret-methods.ts";
import { skillMethods } from "./skill-methods.ts";
import { shellMethods } from "./shell-methods.ts";
import { story } from "./story.ts";
import { ago, dayTime, table } from "./text.ts";
import { transcriptMethods } from "./transcript-methods.ts";
import { usageMethods } from "./usage-methods.ts";

export function methods(options: MethodsOptions): ReadonlyMap<string, Method> {
  const { runtime, store, presence, clock, gateway } = options;
  const { documents } = runtime;
  const { rows } = lookup(options);
  return new Map<string, Method>([
    ...callMethods(options),
    ...deviceMethods(options),
    ...pairingMethods(options),
    ...permissionMethods(options),
    ...actorMethods(options),
    ...shellMethods(options),
    ...meshMethods(options),
    ...modelMethods(options),
    ...usageMethods(options),
    ...reminderMethods(options),
    ...secretMethods(options),
    ...memoryMethods(options),
    ...skillMethods(options),
    ...transcriptMethods(options),
    [
      "status",
      method(NOTHING, () => {
        const online = rows().filter(({ id }) => presence.get(id));
        const out = {
          version: gateway.version,
          gateway: gateway.id,
          name: gateway.name,
          pid: process.pid,
          listen: options.addresses(),
          devices: {
            paired: rows().filter(({ state }) => state === "paired").length,
            online: online.length,
          },
          actors: runtime.actors,
          uptime_s: Math.floor(clock.mono() / 1_000),
          safe: options.calls.rights.safe,
          locked: documents.get<{ locked: boolean }>("setting", "lock")?.locked ?? false,
        };
        return {
          out,
          text: `Kith ${gateway.version}, up ${ago(clock.now() - clock.mono(), clock.now()).replace(" ago", "")}, listening on ${out.listen.join(", ")}; ${out.devices.online} of ${out.devices.paired} devices online${out.locked ? "; LOCKED" : ""}${out.safe ? "; SAFE MODE, no call is sent until `kith safe off`" : ""}.`,
        };
      }),
    ],
    [
      "gateway.rename",
      method(v.strictObject({ name: name(64) }), ({ name: called }, caller) => {
        atCommandLine(caller);
        options.setName(called);
        return { out: { name: called }, text: `It is called ${called} from its next start on.` };
      }),
    ],
    [
      "audit.list",
      method(
        v.strictObject({
          limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000)), 50),
          about: v.optional(str(64)),
        }),
        ({ limit, about: id }) => {
          const found = store.audit({ limit, ...(id === undefined ? {} : { about: id }) });
          const auditRows = found.map(({ seq, at, what, data, hash }) => ({
            seq,
            at,
            what,
            data,
            hash,
          }));
          const names = new Map(rows().map((row) => [row.id, row.name]));
          const lines = auditRows.map(({ seq, at, what, data }) => [
            String(seq),
            dayTime(at),
            what,
            auditWords(data, names),
          ]);
          return {
            out: { rows: auditRows },
            text: lines.length > 0 ? table(lines) : "Nothing yet.",
          };
        },
      ),
    ],
    [
      "audit.verify",
      method(NOTHING, () => {
        const { ok, rows: count, head, problem } = store.verifyAudit();
        return {
          out: { verified: ok, rows: count, head, ...(problem === undefined ? {} : { problem }) },
          text: ok
            ? `The audit chain is whole: ${count} rows, head ${head.slice(0, 16)}.`
            : `THE AUDIT CHAIN IS BROKEN: ${problem ?? "unknown"}`,
        };
      }),
    ],
    [
      "why",
      method(v.strictObject({ id: str(128), all: v.optional(v.boolean(), false) }), ({ id, all }) =>
        story(id, all, options),
      ),
    ],
  ]);
}

/** What a person looks for in an audit row; `--json` has all of it, hashes included. */
function auditWords(
  data: Readonly<Record<string, unknown>>,
  names: ReadonlyMap<string, string>,
): string {
  const device =
    typeof data.device === "string" ? (names.get(data.device) ?? data.device) : data.name;
  const words = [device, data.cap, data.code, data.for, data.by, data.why].filter(
    (word) => typeof word === "string",
  );
  const call = typeof data.call === "string" ? ` (${short(data.call)})` : "";
  return `${words.join(" · ")}${call}`;
}
