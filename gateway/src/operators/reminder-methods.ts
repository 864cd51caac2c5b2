/** Reminders and schedules: what a chat and the command line ask for. */
import { KithError } from "@kith/shared/errors";
import { newId } from "@kith/shared/ids";
import { str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import type { Chat } from "../channels/inbox.ts";
import { policies } from "../schedules/schedule.machine.ts";
import { NOTHING } from "./lookup.ts";
import { type Method, type MethodsOptions, method } from "./method.ts";
import { table } from "./text.ts";

/** Where what is set at the command line is told. */
const CONSOLE = JSON.stringify(["console", "local", "console"]);

export function reminderMethods(options: MethodsOptions): [string, Method][] {
  const { schedules, runtime, clock, rng } = options;
  return [
    [
      "reminders.list",
      method(NOTHING, () => {
        const rows = schedules.list();
        const lines = rows.map((row, n) => [
          ...[String(n + 1), row.id.slice(-6), schedules.inWords(row.next ?? 0)],
          `${row.words}: ${row.text}${row.run ? "  (is done)" : ""}`,
        ]);
        const reminders = rows.map(({ id, text, words, run, missed, next, chat, zone }) => ({
          ...{ id, text, when: words, run, missed, next, chat, zone },
        }));
        return { out: { reminders }, text: lines.length > 0 ? table(lines) : "There is none." };
      }),
    ],
    [
      "reminders.add",
      method(
        v.strictObject({
          when: v.pipe(v.string(), v.maxLength(1_200)),
          text: v.optional(v.pipe(v.string(), v.maxLength(1_000))),
          run: v.optional(v.boolean(), false),
          missed: v.optional(v.picklist(policies), "once"),
        }),
        async ({ when, text, run, missed }, { by, key, place }) => {
          const { session, chat } = place ?? {
            session: runtime.documents.get<Chat>("chat", CONSOLE)?.session,
            chat: "console",
          };
          if (!session)
            throw new KithError(
              "chat-unknown",
              "there is no chat yet to remind you in: open one with `kith chat`",
            );
          const whose = { session, chat, by, owner: true, model: false, labels: [] };
          const id = key ?? newId(clock, rng);
          const added = await schedules.add(id, when, whose, { text, run, missed });
          return { out: added, text: `Set: ${schedules.inWords(added.next)} (${schedules.zone}).` };
        },
      ),
    ],
    [
      "reminders.cancel",
      method(v.strictObject({ id: str(64) }), async ({ id }, { by }) => {
        const { id: whole, text } = await schedules.cancel(id, by);
        return { out: { id: whole }, text: `Cancelled: ${text}` };
      }),
    ],
  ];
}
