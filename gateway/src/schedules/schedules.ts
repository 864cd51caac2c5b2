/** Reminders and schedules as the chat, the command line and a model make them. */
import { KithError } from "@kith/shared/errors";
import * as v from "valibot";
import type { Event } from "../runtime/effect.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type OwnTool, ownTool } from "../tools/tool.ts";
import { type Missed, type Schedule, type ScheduleRow, policies } from "./schedule.machine.ts";
import { inWords, readWhen } from "./when.ts";

/** Of one person. */
const MOST = 64;
const TEXT = 1_000;
const DEADLINE_MS = 10_000;

type Whose = Pick<Schedule, "session" | "chat" | "by" | "owner" | "labels" | "model">;

export class Schedules {
  readonly #runtime: Runtime;
  readonly #now: () => number;
  readonly zone: string;

  constructor(runtime: Runtime, now: () => number, zone: string) {
    this.#runtime = runtime;
    this.#now = now;
    this.zone = zone;
  }

  /** Those that will come, the next first. */
  list(by?: string): readonly ScheduleRow[] {
    return this.#runtime.documents
      .list<ScheduleRow>("schedule")
      .filter((row) => by === undefined || row.by === by)
      .toSorted((a, b) => (a.next ?? 0) - (b.next ?? 0));
  }

  /** When, as it is told to people. */
  inWords(at: number): string {
    return inWords(at, this.#now(), this.zone);
  }

  /**
   * `words` begin with a time; what stands behind it is the text, unless there is one. `id`: the same again is one.
   * @throws KithError bad-args, too-many
   */
  async add(
    id: string,
    words: string,
    whose: Whose,
    {
      text,
      run = false,
      missed = "once",
    }: { text?: string | undefined; run?: boolean; missed?: Missed },
  ): Promise<{ readonly id: string; readonly next: number }> {
    const actor = `schedule/${id}` as const;
    const known = this.#runtime.documents.find<ScheduleRow>("schedule", actor);
    if (known) return { id: actor, next: known.next ?? 0 };
    const { when, rest } = readWhen(words, this.#now(), this.zone);
    const what = text ?? rest;
    if (what === "" || what.length > TEXT)
      throw new KithError("bad-args", `say what about, in at most ${TEXT} characters`);
    if (this.list(whose.by).length >= MOST)
      throw new KithError("too-many", `${MOST} reminders and schedules wait already; cancel one`);
    const said = text === undefined ? words.slice(0, words.length - rest.length) : words;
    const schedule: Schedule = {
      ...{ ...whose, text: what, run, when, missed, zone: this.zone },
      words: said.trim().replaceAll(/\s+/g, " ").slice(0, 100),
    };
    const { next } = await this.#runtime.ask<{ next: number }>(
      actor,
      { type: "schedule.made", schedule } as Event,
      { deadlineMs: DEADLINE_MS },
    );
    return { id: actor, next };
  }

  /** By its number in the list, or its id or the end of it. @throws KithError reminder-unknown */
  async cancel(which: string, by: string, whose?: string): Promise<ScheduleRow> {
    const all = this.list(whose);
    const row = /^\d{1,2}$/.test(which)
      ? all[Number(which) - 1]
      : all.find(({ id }) => which.length >= 4 && id.endsWith(which.toUpperCase()));
    if (!row) throw new KithError("reminder-unknown", `there is no reminder ${which}`);
    await this.#runtime.ask(
      row.id as `schedule/${string}`,
      { type: "schedule.cancelled", by } as Event,
      { deadlineMs: DEADLINE_MS },
    );
    return row;
  }
}

const text = (most: number) => v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(most));

export function scheduleTools(schedules: Schedules): OwnTool[] {
  return [
    ownTool({
      name: "reminder_add",
      description:
        "Remind the owner, or with run do a task at a time. when: in 20m, tomorrow at 9, 2026-12-24 18:00, every day at 8, every monday at 7:30, cron 0 8 * * 1-5.",
      args: v.strictObject({
        when: text(100),
        text: text(TEXT),
        run: v.optional(v.boolean(), false),
      }),
      class: "idempotent",
      // A task that nobody asked for is the model's own; one that others may have asked for, too.
      asks: ({ when, text: what, run }, labels) =>
        run || labels.includes("untrusted")
          ? `${run ? "do" : "remind you of"} this, ${when}: “${what}”`
          : undefined,
      async run({ when, text: what, run }, { call, session, chat, by, labels }) {
        const whose = { session, chat, by, labels, owner: true, model: true };
        const { id, next } = await schedules.add(call, when, whose, { text: what, run });
        return { text: `${id.slice(-6)} is set: ${schedules.inWords(next)} (${schedules.zone}).` };
      },
    }),
    ownTool({
      name: "reminder_list",
      description: "The owner's reminders and schedules, with when each comes next.",
      args: v.strictObject({}),
      class: "read",
      async run(_, { by }) {
        const rows = schedules.list(by);
        const lines = rows.map(
          (row) =>
            `${row.id.slice(-6)}  ${schedules.inWords(row.next ?? 0)}  ${row.words}: ${row.text}`,
        );
        const labels = [...new Set(rows.flatMap((row) => row.labels))];
        return { text: lines.join("\n") || "There is none.", labels, source: "a reminder" };
      },
    }),
    ownTool({
      name: "reminder_cancel",
      description: "Cancel a reminder or schedule, by the id that the list shows.",
      args: v.strictObject({ id: text(40) }),
      class: "idempotent",
      asks: ({ id }, labels) =>
        labels.includes("untrusted") ? `cancel the reminder ${id}` : undefined,
      async run({ id }, { by }) {
        const { text: what } = await schedules.cancel(id, by, by);
        return { text: `Cancelled: ${what}` };
      },
    }),
  ];
}

export { policies };
