/** The owner's word about one skill: these bytes, and no others. Kept as `setting/skill/PLACE/NAME`. */
import type { Envelope, Event } from "../runtime/effect.ts";
import { emit } from "../runtime/fx.ts";
import type { TableKind } from "../runtime/kind.ts";

export interface Approved {
  /** SHA-256 of the skill's folder, hex; see folder.ts. */
  readonly hash: string;
  readonly by: string;
  /** Unix ms. */
  readonly since: number;
}

export interface SkillApproved extends Event {
  readonly type: "skill.approved";
  readonly hash: string;
  readonly by: string;
}

/** The word and its audit are one commit. */
export const skillKind: TableKind = {
  name: "skill",
  receive({ to, event }: Envelope, at) {
    const { hash, by } = event as SkillApproved;
    const body: Approved = { hash, by, since: at };
    emit({ kind: "put", table: "setting", id: to, open: true, body });
    emit({
      kind: "audit",
      what: "skill.approved",
      data: { skill: to.slice("skill/".length), hash, by },
    });
    emit({ kind: "reply", value: body });
  },
  reload() {
    // It keeps nothing in memory.
  },
};
