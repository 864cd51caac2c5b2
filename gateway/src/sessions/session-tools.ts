/** What a session itself does for its model; talk.ts has what becomes of a call. */
import { KithError } from "@kith/shared/errors";
import * as v from "valibot";
import { type OwnTool, ownTool } from "../tools/tool.ts";
import { ASK_OWNER, TASK } from "./talk.ts";

const text = (most: number) => v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(most));
const own = <S extends v.GenericSchema>(name: string, description: string, args: S): OwnTool =>
  ownTool({
    ...{ name, description, args },
    class: "read",
    run: () => Promise.reject(new KithError("internal", `${name} is the session's own`)),
  });

export const sessionTools: readonly OwnTool[] = [
  own(
    ASK_OWNER,
    "Ask the owner one question, and wait for the answer. Not for permission: that is asked by itself.",
    v.strictObject({ question: text(1_000) }),
  ),
  own(
    TASK,
    "Have a helper with the same tools do one thing and report. Tell it all that it must know.",
    v.strictObject({ task: text(8_000) }),
  ),
];
