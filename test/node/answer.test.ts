/** `kith node questions`, `yes` and `no` against an agent's own socket. */
import { answerHere } from "@kith/node-agent/answer";
import { Consent } from "@kith/node-agent/consent";
import { serveLocal } from "@kith/node-agent/local";
import { expect, test } from "vitest";
import { FakeClock, folder } from "./world.ts";

const FIRST = "A".repeat(26);
const SECOND = "B".repeat(26);

async function start() {
  const place = await folder();
  const consent = new Consent(new FakeClock());
  const local = await serveLocal({ dir: place.path, consent, status: () => ({}) });
  const end = new AbortController();
  const ask = (call: string, text: string) =>
    consent.ask({ call, cap: "camera.snap", text }, 60_000, end.signal);
  return {
    ...{ place, consent, ask },
    async [Symbol.asyncDispose]() {
      end.abort();
      local.close();
      await place[Symbol.asyncDispose]();
    },
  };
}

test("what is asked is listed with its code, the oldest first", async () => {
  await using agent = await start();
  expect(await answerHere(agent.place.path)).toEqual([]);
  void agent.ask(FIRST, "The first?");
  void agent.ask(SECOND, "The second?");
  expect(await answerHere(agent.place.path)).toEqual([
    { code: "AAAA", text: "The first?" },
    { code: "BBBB", text: "The second?" },
  ]);
});

test("a yes answers the question of its code, and no other", async () => {
  await using agent = await start();
  const first = agent.ask(FIRST, "The first?");
  const second = agent.ask(SECOND, "The second?");
  const yes = { code: "bbbb", yes: true };
  expect(await answerHere(agent.place.path, yes)).toEqual([{ code: "BBBB", text: "The second?" }]);
  expect(await second).toBe(true);
  // The one that was read is over: another in its place gets nothing of it.
  await expect(answerHere(agent.place.path, yes)).rejects.toMatchObject({ code: "call-unknown" });
  expect(agent.consent.questions.map(({ call }) => call)).toEqual([FIRST]);
  await answerHere(agent.place.path, { code: "AAAA", yes: false });
  expect(await first).toBe(false);
});

test("where no agent runs it is said so", async () => {
  await using place = await folder();
  await expect(answerHere(place.path)).rejects.toMatchObject({ code: "not-ready" });
});
