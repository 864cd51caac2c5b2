import { expect, test } from "vitest";
import { ANN, accept, failing, note, read, start, stored } from "./diary.ts";

/** Asks, and tells how it went so far. */
async function ask(options: { text?: string; deadlineMs?: number; silent?: boolean } = {}) {
  const made = await start();
  const { world } = made;
  const { text = "read", deadlineMs = 1_000, silent = false } = options;
  const stop = new AbortController();
  const heard: unknown[] = [];
  const asking = () =>
    world.runtime
      .ask(ANN, silent ? note(text) : read(text), { deadlineMs, signal: stop.signal })
      .then(
        (value) => heard.push(value),
        (error: { code: string }) => heard.push(error.code),
      );
  return { ...made, stop, heard, asking };
}

test("the answer comes after the commit of the turn that gave it", async () => {
  const { world, heard, asking } = await ask();
  world.fate = () => ({ made: 0, answered: 50, end: "ok" });
  void asking();
  await world.pass(49);
  expect(stored(world, ANN)).toEqual(["read"]);
  expect(heard).toEqual([]);
  await world.pass(1);
  expect(heard).toEqual(["read"]);
});

test("silence ends at the deadline", async () => {
  const { world, heard, asking } = await ask({ silent: true });
  void asking();
  await world.pass(999);
  expect(heard).toEqual([]);
  await world.pass(1);
  expect(heard).toEqual(["timeout"]);
});

test("an answer after the deadline is dropped", async () => {
  const { world, heard, asking } = await ask();
  world.fate = () => ({ made: 0, answered: 2_000, end: "ok" });
  void asking();
  await world.pass(10_000);
  expect(heard).toEqual(["timeout"]);
});

test("a question that is withdrawn while it waits is never run, and its place is free", async () => {
  const { world, heard, asking, stop } = await ask();
  failing.set("first", 1);
  await accept(world, ANN, note("first"));
  // The actor waits out its failure; the mailbox holds four.
  const all = [asking(), asking(), asking()];
  const refused = world.runtime.ask(ANN, read("one more"), { deadlineMs: 1_000 });
  await expect(refused).rejects.toMatchObject({ code: "mailbox-full" });
  stop.abort();
  await Promise.all(all);
  expect(heard).toEqual(["cancelled", "cancelled", "cancelled"]);
  const next = world.runtime.ask(ANN, read("next"), { deadlineMs: 60_000 });
  await world.pass(1_000);
  expect(await next).toBe("next");
  expect(stored(world, ANN)).toEqual(["first", "next"]);
});

test("a question that was withdrawn before it was asked is not asked", async () => {
  const { world, heard, asking, stop } = await ask();
  stop.abort();
  await asking();
  await world.pass(1_000);
  expect(heard).toEqual(["cancelled"]);
  expect(stored(world, ANN)).toEqual([]);
});

test("a question whose turn was rolled back is not run again once nobody waits for it", async () => {
  const { world, heard, asking } = await ask();
  // In flight when its asker gives up, rolled back after that.
  world.fate = () => ({ made: 1_200, answered: 0, end: "full" });
  void asking();
  await world.pass(1_500);
  expect(heard).toEqual(["timeout"]);
  world.fate = () => ({ made: 0, answered: 0, end: "ok" });
  await world.pass(60_000);
  expect(stored(world, ANN)).toEqual([]);
  await accept(world, ANN, note("later"));
  expect(stored(world, ANN)).toEqual(["later"]);
});

test("a withdrawal after the answer does nothing", async () => {
  const { world, heard, asking, stop } = await ask();
  void asking();
  await world.idle();
  stop.abort();
  await world.pass(10_000);
  expect(heard).toEqual(["read"]);
});

test("a question that nobody handles is told so at once", async () => {
  const { world } = await start();
  await accept(world, ANN, note("first"));
  const asked = world.runtime.ask(ANN, { type: "unheard" }, { deadlineMs: 60_000 });
  const settled = expect(asked).rejects.toMatchObject({ code: "internal" });
  await world.idle();
  await settled;
});

test("a question that crashed its actor three times is refused with the dead letter", async () => {
  const { world, heard, asking } = await ask({ deadlineMs: 60_000 });
  failing.set("read", 9);
  void asking();
  await world.pass(10_000);
  expect(heard).toEqual(["internal"]);
  expect(world.disk.dead).toHaveLength(1);
});

test("whoever still waits when the process stops is told", async () => {
  const { world, heard, asking } = await ask({ silent: true, deadlineMs: 60_000 });
  void asking();
  await world.idle();
  const { runtime } = world;
  await world.stop();
  await world.idle();
  expect(heard).toEqual(["gateway-away"]);
  await expect(runtime.ask(ANN, read(), { deadlineMs: 1 })).rejects.toMatchObject({
    code: "gateway-away",
  });
});
