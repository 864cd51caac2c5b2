/**
 * The gateway's own methods: one table for the control socket and for the commands of a chat.
 * Each has a schema for its arguments and answers twice: `out` for programs, `text` for people.
 */
import { catalogue } from "@kith/shared/capabilities/index";
import { type ErrorCode, KithError } from "@kith/shared/errors";
import { fromHex, keyId, newId } from "@kith/shared/ids";
import { readCode } from "@kith/shared/noise/approval-code";
import { about } from "@kith/shared/protocol/session";
import { list, name, str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import { type DeviceRow, type OfferedSet, deviceRows } from "../devices/device.ts";
import { freeName } from "../devices/resolve.ts";
import { resolve } from "../devices/resolve.ts";
import type { Attempt, Desk } from "../devices/pairing.machine.ts";
import { type Grant, durations } from "../grants/grant.ts";
import type { Call } from "../invocations/call.ts";
import type { Outcome } from "../invocations/request.ts";
import type { Event } from "../runtime/effect.ts";
import { ended as endedMessage, short } from "../sessions/words.ts";
import { type Answer, type Method, type MethodsOptions, method } from "./method.ts";
import { story } from "./story.ts";
import { ago, approved, dayTime, listening, table, time } from "./text.ts";

/** An error with more than a code: which question must be answered first. */
export class ApprovalNeeded extends KithError {
  readonly approval: string;
  constructor(outcome: Outcome) {
    super(
      "approval-needed",
      `${outcome.cap} of ${outcome.name} needs your permission (${short(outcome.call)})`,
    );
    this.approval = outcome.call;
  }
  override get remedy(): string {
    return `Allow it with \`kith allow ${short(this.approval)} once\` (or 15m, 1h, today), or \`kith deny ${short(this.approval)}\`.`;
  }
}

/** How a call failed, with a remedy that names its capability. */
class CallFailed extends KithError {
  readonly #cap: string;
  constructor({ state, failure, cap }: Outcome) {
    super(
      state === "unknown" ? "unknown" : (failure?.code ?? "internal"),
      failure?.message ?? "it ended without a reason",
    );
    this.#cap = cap;
  }
  override get remedy(): string {
    return super.remedy.replace("CAP", this.#cap);
  }
}

const ASK = { deadlineMs: 10_000 } as const;
const NOTHING = v.strictObject({});
const words = name(256);
const duration = v.picklist(durations);
export function methods(options: MethodsOptions): ReadonlyMap<string, Method> {
  const { runtime, store, calls, waiting, presence, clock, rng, gateway } = options;
  const { documents } = runtime;
  const fresh = () => newId(clock, rng);
  const event = (body: { type: string }): Event => body as Event;

  const rows = (): DeviceRow[] => deviceRows(documents);
  const offers = (id: string) => documents.get<OfferedSet>("device", `caps/${id}`)?.caps ?? [];
  const device = (said: string): DeviceRow => {
    // What ends or renames a device never guesses by who is there.
    const found = resolve(
      said,
      rows().map((row) => ({ row, online: false, able: false })),
    );
    if (found.is === "one") return found.row;
    if (found.is === "none") throw new KithError("device-unknown", `no device is called “${said}”`);
    throw new KithError(
      "device-ambiguous",
      `several devices fit: ${found.rows.map((row) => row.name).join(", ")}`,
    );
  };
  const asked = (): readonly Call[] => calls.list().filter(({ state }) => state === "asked");

  /** A device shows its code a moment before we know it: whoever types faster than that is not wrong. */
  const revealed = async (): Promise<void> => {
    for (let tries = 0; tries < 20; tries++) {
      const desk = await runtime.ask<Desk>("pairing/desk", event({ type: "desk.read" }), ASK);
      if (desk.pending.every(({ code }) => code !== undefined)) return;
      await new Promise<void>((resolve) => clock.after(50, resolve));
    }
  };

  /** The call whose question this very order has answered before. */
  const answered = (key: string | undefined): Call | undefined =>
    key === undefined
      ? undefined
      : [...calls.list(), ...store.documents("call", 50).map(({ body }) => body as Call)].find(
          ({ answer: by }) => by === key,
        );

  /** Ends a question; the same order again changes nothing. @throws KithError approval-unknown when it is over */
  const answer = async (
    call: Call,
    said: { type: string; by: string; for?: string },
    key: string | undefined,
  ): Promise<void> => {
    if (key !== undefined && call.answer === key) return;
    try {
      await runtime.ask(
        `approval/${call.id}`,
        event({ ...said, ...(key === undefined ? {} : { key }) } as never),
        ASK,
      );
    } catch (error) {
      // The question had ended: by this very order before a crash, or by somebody who was quicker.
      await runtime.settled();
      if (answered(key)?.id === call.id) return;
      throw new KithError("approval-unknown", "that question is over", { cause: error });
    }
  };

  /** One of several by id, or by the end of an id as people copy it. */
  const one = <T extends { id: string }>(
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

  const ended = (outcome: Outcome): Answer => {
    if (outcome.state === "done") {
      return {
        out: {
          call: outcome.call,
          device: outcome.device,
          name: outcome.name,
          out: outcome.out ?? {},
          streams: outcome.streams ?? [],
        },
        text: endedMessage(outcome, true).text,
      };
    }
    throw new CallFailed(outcome);
  };

  return new Map<string, Method>([
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
          locked: documents.get<{ locked: boolean }>("setting", "lock")?.locked ?? false,
        };
        return {
          out,
          text: `Kith ${gateway.version}, up ${ago(clock.now() - clock.mono(), clock.now()).replace(" ago", "")}, listening on ${out.listen.join(", ")}; ${out.devices.online} of ${out.devices.paired} devices online${out.locked ? "; LOCKED" : ""}.`,
        };
      }),
    ],
    [
      "invoke",
      method(
        v.strictObject({
          device: str(256),
          cap: name(48),
          args: v.optional(v.record(str(31), v.unknown()), {}),
          allow: v.optional(duration),
          wait_ms: v.optional(
            v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(3_600_000)),
            0,
          ),
        }),
        async ({ device: said, cap, args, allow, wait_ms }, { by }) => {
          const { first, end, forget } = await waiting.request(fresh(), {
            device: said,
            cap,
            args,
            requester: "owner",
            by,
            ...(allow === undefined ? {} : { allow }),
          });
          if (first.state !== "asked") return ended(await end);
          if (wait_ms === 0) {
            forget();
            throw new ApprovalNeeded(first);
          }
          const late = Promise.withResolvers<undefined>();
          const cancel = clock.after(Math.min(wait_ms, 30_000), () => late.resolve(undefined));
          let outcome = await Promise.race([end, late.promise]);
          for (let left = wait_ms - 30_000; !outcome && left > 0; left -= 30_000) {
            const again = Promise.withResolvers<undefined>();
            clock.after(Math.min(left, 30_000), () => again.resolve(undefined));
            outcome = await Promise.race([end, again.promise]);
          }
          cancel();
          if (outcome) return ended(outcome);
          forget();
          throw new ApprovalNeeded(first);
        },
      ),
    ],
    [
      "pair.listen",
      method(NOTHING, async (_, { by }) => {
        const window = await runtime.ask<{ until: number } | Refused>(
          "pairing/desk",
          event({ type: "owner.listened", by } as never),
          ASK,
        );
        if ("refuse" in window) throw new KithError(window.refuse, window.message);
        return {
          out: { until: window.until, listen: options.addresses(), id: gateway.id },
          text: listening(window.until, options.addresses(), options.home),
        };
      }),
    ],
    [
      "pair.approve",
      method(v.strictObject({ code: str(64) }), async ({ code }, { by }) => {
        const typed = readCode(code);
        await revealed();
        const found = await runtime.ask<{ attempt: Attempt } | Refused>(
          "pairing/desk",
          event({ type: "owner.typed", code: typed, by } as never),
          ASK,
        );
        if ("refuse" in found) throw new KithError(found.refuse, found.message);
        const { attempt } = found;
        const out = {
          device: attempt.device,
          name: attempt.about.name,
          platform: `${attempt.about.os} ${attempt.about.arch}`.trim(),
          role: "node",
          source: attempt.source,
          caps: attempt.caps,
          returnCode: attempt.returnCode ?? "",
        };
        return { out, text: approved(out) };
      }),
    ],
    [
      "pair.list",
      method(NOTHING, async () => {
        const desk = await runtime.ask<Desk>("pairing/desk", event({ type: "desk.read" }), ASK);
        const open = desk.until > clock.now();
        const out = {
          open,
          ...(open ? { until: desk.until } : {}),
          slots_left: open ? Math.max(0, 5 - desk.slotsHere) : 0,
          pending: desk.pending.map((one) => ({
            name: one.about.name,
            platform: `${one.about.os} ${one.about.arch}`,
            source: one.source,
            since: one.since,
          })),
        };
        const waitingText = out.pending
          .map((one) => `  ${one.name} (${one.platform}, from ${one.source})`)
          .join("\n");
        return {
          out,
          text: open
            ? `Pairing is open until ${time(desk.until)}.${waitingText ? `\nWaiting for /approve CODE:\n${waitingText}` : ""}`
            : "Pairing is closed. /pair opens it.",
        };
      }),
    ],
    [
      "devices.list",
      method(NOTHING, () => {
        const now = clock.now();
        const devices = rows().map((row) => ({
          id: row.id,
          name: row.name,
          kind: row.kind,
          os: row.os,
          state: row.state === "paired" ? (presence.get(row.id) ? "online" : "away") : row.state,
          since: row.seenAt,
          caps: offers(row.id).map(({ cap, state, policy, reason }) => ({
            cap,
            state,
            policy,
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
              one.state === "away" ? `away, seen ${ago(one.since, now)}` : one.state,
              `${one.kind}, ${one.os}`,
              on
                .map(({ cap, state, policy }) =>
                  state === "ready"
                    ? `${cap}${policy === "ask" ? " (asks there)" : ""}`
                    : `${cap} (${state})`,
                )
                .join(", ") || "nothing turned on",
            ],
          ];
        });
        const locked = documents.get<{ locked: boolean }>("setting", "lock")?.locked ?? false;
        const note = locked ? "\nLOCKED: nothing is done on any of them until /unlock." : "";
        return { out: { devices }, text: `${table(lines)}${note}` };
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
      "approvals.list",
      method(NOTHING, () => {
        const approvals = asked().map((call) => ({
          id: call.id,
          call: call.id,
          device: call.device,
          name: call.name,
          cap: call.cap,
          args: call.args,
          since: call.createdAt,
          expires: call.deadlineAt,
        }));
        const text = approvals
          .map(
            (one) =>
              `${short(one.id)}  ${one.cap} of ${one.name} ${JSON.stringify(one.args)}, asked ${ago(one.since, clock.now())}`,
          )
          .join("\n");
        return { out: { approvals }, text: text || "No question waits for an answer." };
      }),
    ],
    [
      "allow",
      method(
        v.strictObject({
          id: v.optional(str(32)),
          for: v.optional(duration, "once"),
          wait: v.optional(v.boolean(), false),
        }),
        async ({ id, for: wish, wait }, { by, key }) => {
          const call = answered(key) ?? one(asked(), id, "approval-unknown", "open question");
          const { end, forget } = waiting.until(call.id);
          try {
            await answer(call, { type: "owner.approved", for: wish, by }, key);
          } catch (error) {
            forget();
            throw error;
          }
          const said =
            wish === "once"
              ? "once"
              : wish === "today"
                ? "until midnight"
                : `for ${wish === "1h" ? "an hour" : "15 minutes"}`;
          if (wait) return ended(await end);
          forget();
          return {
            out: { approval: call.id, call: call.id, grant: wish },
            text: `Allowed ${said}: ${call.cap} of ${call.name}.`,
          };
        },
      ),
    ],
    [
      "deny",
      method(v.strictObject({ id: v.optional(str(32)) }), async ({ id }, { by, key }) => {
        const call = answered(key) ?? one(asked(), id, "approval-unknown", "open question");
        await answer(call, { type: "owner.denied", by }, key);
        return {
          out: { approval: call.id, call: call.id },
          text: `Refused: ${call.cap} of ${call.name}.`,
        };
      }),
    ],
    [
      "grants.list",
      method(NOTHING, () => {
        const now = clock.now();
        const names = new Map(rows().map((row) => [row.id, row.name]));
        const grants = documents
          .list<Grant>("grant")
          .filter(({ notAfter }) => notAfter === undefined || notAfter > now)
          .map((grant) => ({
            id: grant.id,
            device: grant.device,
            name: names.get(grant.device) ?? grant.device,
            cap: grant.cap,
            requester: grant.requester,
            since: grant.since,
            ...(grant.uses === undefined ? {} : { uses_left: grant.uses }),
            ...(grant.notAfter === undefined ? {} : { expires: grant.notAfter }),
          }));
        const text = grants
          .map(
            (one) =>
              `${short(one.id)}  ${one.requester} may use ${one.cap} of ${one.name}${one.expires === undefined ? "" : ` until ${dayTime(one.expires)}`}`,
          )
          .join("\n");
        return { out: { grants }, text: text || "No permission is in force: each use asks." };
      }),
    ],
    [
      "grants.revoke",
      method(v.strictObject({ id: str(32) }), async ({ id }, { by }) => {
        const grant = one(documents.list<Grant>("grant"), id, "grant-unknown", "grant");
        await runtime.ask(
          "invocation/*",
          event({ type: "grant.revoked", grant: grant.id, by } as never),
          ASK,
        );
        return { out: { id: grant.id }, text: `The permission for ${grant.cap} is gone.` };
      }),
    ],
    [
      "grants.explain",
      method(
        v.strictObject({ device: words, cap: name(48), requester: v.optional(str(64), "owner") }),
        ({ device: said, cap, requester }) => {
          const row = device(said);
          const decision = calls.decide(row, cap, requester, clock.now());
          const lines = decision.steps.map(({ rule, verdict }) => [`  ${rule}`, verdict]);
          const why = decision.verdict === "deny" ? `: ${decision.message}` : "";
          return {
            out: {
              decision: decision.verdict,
              rule: decision.rule,
              steps: decision.steps,
              ...(decision.verdict === "deny" ? { code: decision.code } : {}),
            },
            text: `${requester} and ${cap} of ${row.name}: ${decision.verdict}${why}\n${table(lines)}`,
          };
        },
      ),
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
    ["why", method(v.strictObject({ id: str(64) }), ({ id }) => story(id, options))],
    [
      "lock",
      method(v.strictObject({ lift: v.optional(v.boolean(), false) }), async ({ lift }, { by }) => {
        await runtime.ask(
          "invocation/*",
          event({ type: "lock.set", locked: !lift, by } as never),
          ASK,
        );
        return {
          out: { locked: !lift },
          text: lift
            ? "The lock is lifted."
            : "Locked: nothing is done on any device until /unlock.",
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
              ceiling: caps.filter((cap) => catalogue.has(cap) || cap.startsWith("x.")),
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
              address: options.addresses()[0] ?? "",
            },
            text: `${called} is one of your devices now.`,
          };
        },
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

interface Refused {
  readonly refuse: ErrorCode;
  readonly message: string;
}
