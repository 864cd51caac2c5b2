/** Methods about the actors themselves: the live tree, starting one again, letters that nobody could handle. */
import { KithError } from "@kith/shared/errors";
import { str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import type { ActorId } from "../runtime/effect.ts";
import type { DeadLetter } from "../runtime/store.ts";
import type { ActorNode } from "../runtime/tree.ts";
import { NOTHING } from "./lookup.ts";
import { type Method, type MethodsOptions, method } from "./method.ts";
import { dayTime, table } from "./text.ts";

/** Actors told in one answer; the worst come first. */
const MOST_ACTORS = 200;
const MOST_LETTERS = 200;

const letter = v.strictObject({ n: v.pipe(v.number(), v.integer(), v.minValue(1)) });

export function actorMethods({
  runtime,
  store,
  presence,
  clock,
}: MethodsOptions): [string, Method][] {
  const find = (n: number): DeadLetter => {
    const found = store.dead(MOST_LETTERS).find((one) => one.n === n);
    if (!found) throw new KithError("letter-unknown", `there is no dead letter ${n}`);
    return found;
  };

  return [
    [
      "actors.list",
      method(NOTHING, () => {
        const kinds = runtime.tree();
        const all = kinds.flatMap(({ actors }) => actors);
        let left = MOST_ACTORS;
        const told = kinds.map((kind) => {
          const actors = kind.actors.slice(0, left);
          left -= actors.length;
          return { ...kind, actors };
        });
        const links = presence
          .all()
          .map(({ device, epoch, source }) => ({ device, epoch, source }));
        const out = {
          uptime_ms: Math.round(clock.mono()),
          kinds: told,
          performers: runtime.performers,
          links,
          more: Math.max(0, all.length - MOST_ACTORS),
        };
        return { out, text: treeText(out, clock.now()) };
      }),
    ],
    [
      "actors.restart",
      method(v.strictObject({ id: str(128) }), ({ id }) => {
        if (!runtime.restart(id as ActorId))
          throw new KithError("actor-unknown", `there is no actor ${id}`);
        const when = id.startsWith("performer/")
          ? "is tried again"
          : "starts again with its next message";
        return { out: { id }, text: `${id} ${when}.` };
      }),
    ],
    [
      "dead.list",
      method(NOTHING, () => {
        const letters = store.dead(MOST_LETTERS).map(({ n, env, error, at }) => ({
          ...{ n, at, to: env.to, event: env.event.type, error },
        }));
        const lines = letters.map(({ n, at, to, event, error }) => [
          ...[String(n), dayTime(at), to, event, error],
        ]);
        return {
          out: { letters },
          text: lines.length > 0 ? table(lines) : "No message was put aside.",
        };
      }),
    ],
    [
      "dead.retry",
      method(letter, async ({ n }) => {
        const found = find(n);
        await runtime.bury(found, true);
        return { out: { n }, text: `${found.env.to} gets ${found.env.event.type} once more.` };
      }),
    ],
    [
      "dead.drop",
      method(letter, async ({ n }) => {
        const found = find(n);
        await runtime.bury(found, false);
        return { out: { n }, text: `The ${found.env.event.type} of ${found.env.to} is gone.` };
      }),
    ],
  ];
}

interface Told {
  readonly kinds: ReturnType<MethodsOptions["runtime"]["tree"]>;
  readonly performers: MethodsOptions["runtime"]["performers"];
  readonly links: readonly { device: string; epoch: number; source: string }[];
  readonly more: number;
}

function treeText({ kinds, performers, links, more }: Told, now: number): string {
  const lines: string[] = ["gateway"];
  for (const kind of kinds) {
    const counts = [
      `${kind.live} in memory`,
      ...(kind.table ? [] : [`${kind.asleep} asleep on disk`]),
      ...(kind.degraded ? ["DEGRADED, one is tried each minute"] : []),
      ...(kind.down > 0 ? [`${kind.down} DOWN`] : []),
      ...(kind.mailbox > 0 ? [`${kind.mailbox} messages wait`] : []),
      ...(kind.restarts > 0 ? [`${kind.restarts} failures`] : []),
    ];
    lines.push(`├ ${kind.kind}: ${counts.join(", ")}`);
    for (const actor of kind.actors) lines.push(`│  ${actorLine(actor)}`);
  }
  for (const { op, running, waiting, degraded } of performers)
    lines.push(
      `├ performer ${op}: ${running} running, ${waiting} waiting${degraded ? ", DEGRADED: they wait for it to work again" : ""}`,
    );
  for (const { device, epoch, source } of links)
    lines.push(`├ link of ${device}: number ${epoch}, from ${source}`);
  if (more > 0) lines.push(`… and ${more} more actors`);
  lines.push(`└ ${dayTime(now)}`);
  return lines.join("\n");
}

function actorLine(actor: ActorNode): string {
  const { id, state, status, mailbox, restarts, lastError } = actor;
  return [
    id,
    state === undefined ? status : stateWords(state),
    ...(status === "backoff" || status === "down" ? [status] : []),
    ...(mailbox > 0 ? [`${mailbox} waiting`] : []),
    ...(restarts > 0 ? [`${restarts} failures, the last: ${lastError ?? "unknown"}`] : []),
  ].join("  ");
}

/** A state as people read it: `open`, or `open.asking` for one inside another. */
export function stateWords(state: unknown): string {
  if (typeof state !== "object" || state === null) return String(state);
  return Object.entries(state)
    .map(([outer, inner]) => `${outer}.${stateWords(inner)}`)
    .join(" and ");
}
