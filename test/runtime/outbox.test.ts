/** Steps: intent on disk, run outside, result on disk; by class, in order, in time. */
import { KithError } from "@kith/shared/errors";
import { expect, test } from "vitest";
import { ANN, BEN, accept, note, start, step, stored } from "./diary.ts";

test("steps of one order run one after the other, others beside them", async () => {
  const { world, outside, answers } = await start();
  answers.how = () => ({ ms: 100, event: note("done") });
  await accept(
    world,
    ANN,
    note("a", step("read", "x"), step("read", "x"), step("read", "y"), step("read")),
  );
  expect([...outside.open.keys()]).toHaveLength(3);
  await world.pass(99);
  expect(outside.runs).toHaveLength(3);
  await world.pass(1);
  expect(outside.runs).toHaveLength(4);
  await world.pass(100);
  expect(stored(world, ANN)).toHaveLength(5);
});

test("what the last process left is taken up a few at a time: others go first, those of its orders behind it", async () => {
  const { world, outside, answers } = await start();
  const many = Array.from({ length: 300 }, () => step("read", "x"));
  for (let n = 0; n < 300; n += 10)
    await accept(world, ANN, note(`a${n}`, ...many.slice(n, n + 10)));
  await world.restart();
  const left = [...world.disk.steps.values()].filter(({ end }) => !end).length;
  expect(left).toBeGreaterThan(290);
  outside.runs.length = 0;
  answers.how = () => ({ ms: 0, event: note("done") });
  const said = [accept(world, BEN, note("b", step("read", "x"), step("read", "y")))];
  await Promise.all(said);
  await world.pass(60_000);
  const asked = world.disk.journal.filter(
    ({ actor, event }) => actor === BEN && event.text === "b",
  );
  expect(asked).toHaveLength(1);
  const [behind, beside] = [...world.disk.steps.keys()].slice(-2);
  const order = outside.runs.map(({ key }) => key);
  expect(order).toHaveLength(left + 2);
  expect(order.at(-1)).toBe(behind);
  expect(order.indexOf(beside ?? "")).toBeLessThan(left);
});

test("a stop right after a start leaves what may have begun in doubt; a second stop ends nothing twice", async () => {
  const { world, outside } = await start();
  await accept(world, ANN, note("a", step("once"), step("once", "x"), step("once", "x")));
  await world.restart();
  const runs = outside.runs.length;
  const both = [world.runtime.stop(), world.runtime.stop()];
  await world.pass(10);
  await Promise.all(both);
  expect([...world.disk.steps.values()].map(({ end }) => end)).toEqual(Array(3).fill("unknown"));
  await world.stop();
  await world.boot();
  await world.pass(1_000);
  expect(outside.runs).toHaveLength(runs);
});

test("no more steps run at once than the performer allows", async () => {
  const { world, outside, answers } = await start();
  answers.how = () => ({ ms: 100, event: note("done") });
  await accept(world, ANN, note("a", ...Array.from({ length: 10 }, () => step("read"))));
  for (const running of [4, 4, 2]) {
    expect(outside.open.size).toBe(running);
    await world.pass(100);
  }
  expect(outside.runs).toHaveLength(10);
});

test("a result is on disk together with the end of its step, and outlives a crash before its turn", async () => {
  const { world, outside } = await start();
  await accept(world, ANN, note("a", step("read")));
  world.fate = (writes) => ({
    made: 0,
    answered: 0,
    end: writes[0]?.k === "stepEnd" ? "crash-after" : "ok",
  });
  await world.pass(1_000);
  expect([...world.disk.steps.values()]).toMatchObject([{ end: "done" }]);
  expect(stored(world, ANN)).toEqual(["a"]);
  await world.boot();
  await world.pass(1_000);
  expect(stored(world, ANN)).toEqual(["a", "done"]);
  expect(outside.runs).toHaveLength(1);
});

test.each(["read", "idempotent"] as const)(
  "a %s step that a crash interrupted runs again under the same key",
  async (effect) => {
    const { world, outside } = await start();
    await accept(world, ANN, note("a", step(effect)));
    await world.restart();
    await world.pass(1_000);
    expect(outside.runs.map(({ process }) => process)).toEqual([1, 2]);
    expect(new Set(outside.runs.map(({ key }) => key)).size).toBe(1);
    expect(stored(world, ANN)).toEqual(["a", "done"]);
  },
);

test("a once step that a crash interrupted is shown as unknown and never run again", async () => {
  const { world, outside } = await start();
  await accept(world, ANN, note("a", step("once")));
  await world.restart();
  await world.pass(1_000);
  expect(outside.runs).toHaveLength(1);
  expect(stored(world, ANN)).toEqual(["a", "unknown"]);
  expect([...world.disk.steps.values()]).toMatchObject([{ end: "unknown" }]);
});

test("a once step that ran when the process was stopped in order is unknown, one that had not begun runs", async () => {
  const { world, outside, answers } = await start();
  answers.how = () => ({ ms: 100, event: note("done") });
  await accept(world, ANN, note("a", step("once", "x"), step("once", "x")));
  expect(outside.runs).toHaveLength(1);
  await world.stop();
  await world.boot();
  await world.pass(1_000);
  expect(outside.runs).toHaveLength(2);
  expect(new Set(outside.runs.map(({ key }) => key)).size).toBe(2);
  expect(stored(world, ANN).toSorted()).toEqual(["a", "done", "unknown"]);
});

test("a stop that could not note a once step as in doubt is no clean one", async () => {
  const { world, answers } = await start();
  answers.how = () => ({ ms: 100, event: note("done") });
  await accept(world, ANN, note("a", step("once")));
  world.fate = () => ({ made: 0, answered: 0, end: "full" });
  await Promise.all([
    expect(world.runtime.stop()).rejects.toMatchObject({ code: "disk-full" }),
    world.idle(),
  ]);
  expect(world.disk.clean).toBe(false);
});

test("a step that waited longer than its time to live is dropped and told", async () => {
  const { world, outside, answers } = await start();
  answers.how = () => ({ ms: 10_000, event: note("done") });
  await accept(world, ANN, note("a", step("read", "x"), step("read", "x", 5_000)));
  await world.pass(5_000);
  expect(stored(world, ANN)).toEqual(["a", "expired"]);
  await world.pass(60_000);
  expect(outside.runs).toHaveLength(1);
  expect(stored(world, ANN)).toEqual(["a", "expired", "done"]);
});

test("replies that grew old while nobody ran are not sent after the outage", async () => {
  const { world, outside, answers } = await start();
  answers.how = () => undefined;
  await accept(world, ANN, note("a", step("idempotent", "x"), step("idempotent", "x")));
  world.crash();
  await world.pass(3_600_000);
  await world.boot();
  await world.pass(1_000);
  expect(outside.runs.map(({ process }) => process)).toEqual([1]);
  expect(stored(world, ANN)).toEqual(["a", "expired", "expired"]);
});

test("a step that runs past its time is aborted with the reason", async () => {
  const { world, answers } = await start();
  answers.how = () => undefined;
  await accept(world, ANN, note("a", step("read", "x", 5_000)));
  await world.pass(5_000);
  expect(stored(world, ANN)).toEqual(["a", "expired"]);
  expect([...world.disk.steps.values()]).toMatchObject([{ end: "expired" }]);
});

test("a failure of ours is told as it is, a stranger's only as internal", async () => {
  const { world, answers } = await start();
  answers.how = () => ({ ms: 10, error: new KithError("no-camera", "there is none") });
  await accept(world, ANN, note("a", step("read")));
  await world.pass(10);
  answers.how = () => ({ ms: 10, error: new Error("/home/ann/.secret") });
  await accept(world, ANN, note("b", step("read")));
  await world.pass(10);
  expect(stored(world, ANN)).toEqual(["a", "no-camera", "b", "internal"]);
  expect(world.reports).toEqual(["step do: /home/ann/.secret"]);
});

test("a step for which nobody is there yet waits for its performer", async () => {
  const { world, outside } = await start({ performers: [] });
  await accept(world, ANN, note("a", step("read")));
  await world.pass(1_000);
  const { process } = world;
  if (!process) throw new Error("no process");
  const made = outside.performer(
    () => world,
    "do",
    () => ({ ms: 1, event: note("done") }),
  );
  world.runtime.perform(made(process));
  await world.pass(1_000);
  expect(stored(world, ANN)).toEqual(["a", "done"]);
});

test("a result whose commit the full disk refused waits for space", async () => {
  const { world, outside } = await start();
  await accept(world, ANN, note("a", step("once")));
  world.fate = () => ({ made: 0, answered: 0, end: "full" });
  await world.pass(60_000);
  world.fate = () => ({ made: 0, answered: 0, end: "ok" });
  await world.pass(10_000);
  expect(stored(world, ANN)).toEqual(["a", "done"]);
  expect(outside.runs).toHaveLength(1);
});

test("steps of different actors do not wait for one another", async () => {
  const { world, outside, answers } = await start();
  answers.how = () => ({ ms: 100, event: note("done") });
  await Promise.all([
    accept(world, ANN, note("a", step("read", "ann"))),
    accept(world, BEN, note("b", step("read", "ben"))),
  ]);
  expect(outside.open.size).toBe(2);
});

test("a performer that fails again and again is left alone: its steps wait, and one tries from time to time", async () => {
  const { world, outside, answers } = await start();
  answers.how = () => ({ ms: 1, error: new TypeError("a defect") });
  const steps = (n: number) => Array.from({ length: n }, () => step("read"));
  await accept(world, ANN, note("a", ...steps(10)));
  await world.pass(100);
  expect(outside.runs).toHaveLength(10);
  expect(world.notices).toEqual([expect.stringMatching(/^“do” failed 10 times .*TypeError/)]);
  expect(world.runtime.performers).toMatchObject([{ op: "do", degraded: true }]);

  await accept(world, BEN, note("b", ...steps(4)));
  await world.pass(100);
  expect(outside.runs).toHaveLength(10);
  // Probes a quarter of a second after the last failure, then half a second after that one.
  await world.pass(200);
  expect(outside.runs).toHaveLength(11);
  answers.how = () => ({ ms: 1, event: note("done") });
  await world.pass(300);
  expect(outside.runs).toHaveLength(11);
  await world.pass(200);
  expect(stored(world, BEN)).toEqual(["b", "internal", "done", "done", "done"]);
  expect(world.runtime.performers).toMatchObject([{ op: "do", degraded: false }]);
  expect(world.notices).toHaveLength(1);
});

test("what waits for a degraded performer still grows old", async () => {
  const { world, answers } = await start();
  answers.how = () => ({ ms: 1, error: new TypeError("a defect") });
  await accept(world, ANN, note("a", ...Array.from({ length: 10 }, () => step("read"))));
  await world.pass(240_000);
  // The probes meanwhile had nothing to try.
  answers.how = () => undefined;
  await accept(
    world,
    BEN,
    note("b", step("read", undefined, 5_000), step("read", undefined, 5_000)),
  );
  await world.pass(5_000);
  expect(stored(world, BEN)).toEqual(["b", "expired", "expired"]);
});

test("an operator lets a degraded performer go on at once", async () => {
  const { world, answers } = await start();
  answers.how = () => ({ ms: 1, error: new TypeError("a defect") });
  await accept(world, ANN, note("a", ...Array.from({ length: 10 }, () => step("read"))));
  await world.pass(100);
  answers.how = () => ({ ms: 1, event: note("done") });
  await accept(world, BEN, note("b", step("read")));
  expect(world.runtime.restart("performer/do")).toBe(true);
  expect(world.runtime.restart("performer/other")).toBe(false);
  await world.pass(10);
  expect(stored(world, BEN)).toEqual(["b", "done"]);
});

test("what the outside refuses is no defect of its performer", async () => {
  const { world, outside, answers } = await start();
  answers.how = () => ({ ms: 1, error: new KithError("no-camera", "there is none") });
  await accept(world, ANN, note("a", ...Array.from({ length: 20 }, () => step("read"))));
  await world.pass(100);
  expect(outside.runs).toHaveLength(20);
  expect(world.notices).toEqual([]);
});
