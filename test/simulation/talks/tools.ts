/** What the gateway of this world does itself: each tool counts what it did at the judge. */
import { type OwnTool, ownTool } from "@kith/gateway/tools/tool";
import * as v from "valibot";
import type { Mortal, World } from "../../support/world.ts";
import type { Judge } from "./judge.ts";

const args = v.strictObject({ mark: v.pipe(v.string(), v.maxLength(64)) });

export function toolsOf(world: World, judge: Judge, process: Mortal): OwnTool[] {
  const { rng } = world;
  const pass = (ms: number): Promise<void> =>
    new Promise((resolve) => void world.in(ms, "a tool works", resolve, process));
  return [
    ownTool({
      ...{ name: "fetch", description: "A page.", class: "read", args },
      async run({ mark }) {
        judge.acts(mark);
        await pass(rng.below(200));
        return { text: `page ${mark} EVIL`, labels: ["untrusted"], source: "a page of evil" };
      },
    }),
    ownTool({
      ...{ name: "memory_write", description: "Notes.", class: "idempotent" },
      args: v.strictObject({ file: v.string(), text: v.string(), of: v.array(v.string()) }),
      async run({ text }, { call }) {
        // What a summary keeps is no call of the model's.
        if (!text.startsWith("fact ")) judge.acts(text);
        await pass(rng.below(20));
        judge.noted(text, call);
        return { text: "noted" };
      },
    }),
    ownTool({
      ...{ name: "send", description: "To somebody.", class: "idempotent", args },
      asks: ({ mark }) => `send ${mark}`,
      async run({ mark }, { call }) {
        judge.acts(mark);
        judge.sends(mark, call);
        await pass(rng.below(100));
        return { text: "sent" };
      },
    }),
    ownTool({
      ...{ name: "slow", description: "Takes its time.", class: "read", args },
      // It does not listen when it is told to stop: what it brings then is nobody's any more.
      async run({ mark }, _, signal) {
        judge.acts(mark);
        await pass(1_000 + rng.below(8_000));
        if (signal.aborted) judge.cancelled(mark);
        return { text: `result ${mark}` };
      },
    }),
  ];
}
