import { expect, test } from "vitest";
import { Committer, type Part } from "@kith/gateway/runtime/commit";
import type { Write } from "@kith/gateway/runtime/store";
import { KithError } from "@kith/shared/errors";
import { diskFull } from "../support/world.ts";

const write = (what: string): Write => ({ k: "audit", at: 0, what, data: {} });
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

function start() {
  const log: string[] = [];
  const flying: {
    writes: readonly Write[];
    resolve: () => void;
    reject: (why: unknown) => void;
  }[] = [];
  const committer = new Committer({
    commit: (writes) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      flying.push({ writes, resolve, reject });
      return promise;
    },
    rolledBack: ({ code }) => log.push(`rolled back: ${code}`),
    fatal: (error) => log.push(`fatal: ${(error as Error).message}`),
  });
  const part = (name: string, writes: Part["writes"] = [write(name)]): Part => ({
    writes,
    after: () => log.push(`after ${name}`),
    undo: () => log.push(`undo ${name}`),
  });
  return { log, flying, committer, part };
}

test("one commit is in flight at a time, and what comes meanwhile goes together in the next", async () => {
  const { log, flying, committer, part } = start();
  committer.add(part("a"));
  committer.flush();
  for (const name of ["b", "c"]) {
    committer.add(part(name));
    committer.flush();
  }
  expect(flying).toHaveLength(1);
  expect(log).toEqual([]);
  flying[0]?.resolve();
  await settle();
  expect(log).toEqual(["after a"]);
  expect(flying[1]?.writes).toEqual([write("b"), write("c")]);
  flying[1]?.resolve();
  await settle();
  expect(log).toEqual(["after a", "after b", "after c"]);
  expect(flying).toHaveLength(2);
});

test("a batch closes at 2,048 writes, but a part is never torn", async () => {
  const { flying, committer, part } = start();
  const many = (name: string, n: number) =>
    part(
      name,
      Array.from({ length: n }, () => write(name)),
    );
  committer.add(many("a", 2_000));
  committer.add(many("b", 48));
  committer.add(many("c", 1));
  committer.add(many("d", 5_000));
  committer.flush();
  for (let n = 0; n < 3; n++) {
    flying[n]?.resolve();
    await settle();
  }
  expect(flying.map(({ writes }) => writes.length)).toEqual([2_048, 1, 5_000]);
});

test("a rollback undoes the newest part first, with all that gathered behind it", async () => {
  const { log, flying, committer, part } = start();
  committer.add(part("a"));
  committer.add(part("b"));
  committer.flush();
  committer.add(part("c"));
  flying[0]?.reject(diskFull());
  await settle();
  expect(log).toEqual(["undo c", "undo b", "undo a", "rolled back: disk-full"]);
  expect(committer.busy).toBe(false);
  committer.add(part("d"));
  committer.flush();
  flying[1]?.resolve();
  await settle();
  expect(log.at(-1)).toBe("after d");
});

test.each([
  ["another process took over", new KithError("store-fenced", "replaced")],
  ["nobody knows the outcome", new Error("I/O error")],
])("nothing happens any more once %s", async (_, error) => {
  const { log, flying, committer, part } = start();
  committer.add(part("a"));
  committer.flush();
  committer.add(part("b"));
  flying[0]?.reject(error);
  await settle();
  committer.add(part("c"));
  committer.flush();
  await settle();
  expect(log).toEqual([`fatal: ${error.message}`]);
  expect(flying).toHaveLength(1);
});

test("a batch of nothing but answers needs no commit, and still keeps its place", async () => {
  const { log, flying, committer, part } = start();
  committer.add(part("a"));
  committer.flush();
  committer.add(part("answer", []));
  await settle();
  expect(log).toEqual([]);
  flying[0]?.resolve();
  await settle();
  expect(log).toEqual(["after a", "after answer"]);
  expect(flying).toHaveLength(1);
});

test("settled waits for what flies and what gathers", async () => {
  const { log, flying, committer, part } = start();
  committer.add(part("a"));
  committer.flush();
  committer.add(part("b"));
  void committer.settled().then(() => log.push("settled"));
  flying[0]?.resolve();
  await settle();
  expect(log).toEqual(["after a"]);
  flying[1]?.resolve();
  await settle();
  expect(log).toEqual(["after a", "after b", "settled"]);
});
