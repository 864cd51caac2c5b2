/**
 * SIGKILL at each named crash point that a photo passes, asked for by command and by a model's turn with
 * tools, at the start of each process too. A point that the sources name and nothing passes is a failure:
 * a new one joins by itself.
 *
 *   dry runs: which points, how often? ─► each: killed there, started again ─► counted
 */
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Report } from "../report/report.ts";
import { freshFolder, pairedWorld, root } from "../support/home.ts";
import { assemble, type Patch } from "./assembly.ts";
import type { FaultPart } from "./part.ts";
import { type Crash, type Story, type Tale, tell } from "./crash-story.ts";
import { photoTale } from "./photo-story.ts";
import { talkTale } from "./talk-story.ts";

/** Stories at once: each is three processes that mostly wait for each other. */
const AT_ONCE = 3;
const QUICK_HITS = 1;
const FULL_HITS = 20;

/** Points that this story does not pass, and why. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "tm.due": "a timer of 15 minutes; test/runtime has a clock for it",
  "st.write": "a turn that never ends; test/journeys/stall.test.ts has one",
  "st.synced": "as st.write",
  "node.file": "a file for the device: test/journeys/send.test.ts is killed there",
};

const MUTANTS: readonly { fault: string; at: Crash; patches: readonly Patch[] }[] = [
  {
    fault: "acknowledged before it is committed",
    at: { who: "gateway", point: "turn.commit", pass: 1, boot: false },
    patches: [
      [
        "gateway/src/runtime/runtime.ts",
        `this.#accepting.set(key, promise);
    crashpoint("in.recv");`,
        `this.#accepting.set(key, promise); resolve();
    crashpoint("in.recv");`,
      ],
    ],
  },
  {
    fault: "nobody looks at the start for steps that wait",
    at: { who: "gateway", point: "ob.send model", pass: 1, boot: false },
    patches: [["gateway/src/runtime/runtime.ts", "(step) => this.#resume(step),", "() => {},"]],
  },
  {
    fault: "a reply has another key on every try",
    at: { who: "gateway", point: "ob.sent say", pass: 1, boot: false },
    patches: [
      [
        "gateway/src/channels/console.ts",
        "run: ({ key, args }, signal) => {",
        "run: ({ key: same, args }, signal) => {\n      const key = `${same.slice(0, 20)}${String(Math.floor(Math.random() * 1e6)).padStart(6, '0')}`;",
      ],
    ],
  },
  {
    fault: "the device does not look into its ledger",
    at: { who: "node", point: "node.send", pass: 1, boot: false },
    patches: [
      [
        "node-agent/src/serve.ts",
        'ledger.get(call)?.state ?? ("absent" as const)',
        '("absent" as const)',
      ],
      [
        "node-agent/src/serve.ts",
        "const row = this.#active.has(call) ? undefined : ledger.get(call);",
        "const row = undefined;",
      ],
      [
        "node-agent/src/serve.ts",
        "const known = ledger.get(frame.call);",
        "const known: any = undefined;",
      ],
    ],
  },
];

function named(folder: string): string[] {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".ts"),
  );
  const calls = files.flatMap((name) => [
    ...readFileSync(join(root, folder, name), "utf8").matchAll(/\bcrashpoint\((["`])(.+?)\1\)/g),
  ]);
  return [...new Set(calls.map(([, , name = ""]) => name))];
}

/** `ob.send ${step.op}` stands for every name that begins so. */
const fits = (pattern: string, name: string): boolean => {
  const at = pattern.indexOf("${");
  return at < 0 ? name === pattern : name.startsWith(pattern.slice(0, at));
};

/** How often each point is passed by one photo, once armed; or by a start. */
async function passes(
  programs: string,
  who: Crash["who"],
  boot: boolean,
  tale: Tale,
): Promise<Map<string, number>> {
  const folder = freshFolder();
  const passed = join(folder, "passed");
  writeFileSync(passed, "");
  if (boot) {
    await using home = await pairedWorld(["laptop"], undefined, programs);
    await home.startGateway(who === "gateway" ? { passed } : {});
    if (who === "node") await home.spawnNode("laptop", { passed }).event("ready");
  } else {
    const wrong = await tell(tale, { programs, [who]: { passed } });
    if (wrong?.[0]) throw new Error(`without a crash: ${wrong.join("; ")}`);
  }
  const counts = new Map<string, number>();
  for (const name of readFileSync(passed, "utf8").split("\n").filter(Boolean))
    counts.set(name, (counts.get(name) ?? 0) + 1);
  rmSync(folder, { recursive: true });
  return counts;
}

/** Where somebody dies, and in which tale. */
interface Try {
  readonly tale: Tale;
  readonly crash: Crash;
}

/**
 * Every point that a tale or a start passes, and a problem for each that the sources name besides. `quick`: of the
 * model's turn only those that the photo by command does not pass.
 */
async function points(programs: string, report: Report, quick: boolean): Promise<Try[]> {
  const tries: Try[] = [];
  const seen = new Set<string>();
  for (const who of ["gateway", "node"] as const) {
    for (const [boot, tale] of [
      [true, photoTale],
      [false, photoTale],
      [false, talkTale],
    ] as const) {
      const before = new Set(tale === talkTale && !quick ? [] : seen);
      for (const [point, count] of await passes(programs, who, boot, tale)) {
        seen.add(point);
        if (!boot && before.has(point)) continue;
        // The two sides of a step of the node share a name.
        const most = who === "node" ? count : 1;
        for (let pass = 1; pass <= most; pass++)
          tries.push({ tale, crash: { who, point, pass, boot } });
      }
    }
  }
  for (const pattern of [...named("gateway/src"), ...named("node-agent/src")])
    if (!(pattern in ELSEWHERE) && ![...seen].some((name) => fits(pattern, name)))
      report.problem(`sweep: nothing passes ${pattern}`);
  return tries;
}

/** Several at once, each when one before it is over. */
async function each<T>(jobs: readonly T[], work: (job: T) => Promise<void>): Promise<void> {
  const left = [...jobs];
  const worker = async () => {
    for (let job = left.shift(); job; job = left.shift()) await work(job);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

const words = ({ tale, crash: { who, point, pass, boot } }: Try): string =>
  `${who} at ${point}, pass ${pass}${boot ? ", while it starts" : ""}${tale === talkTale ? ", in a model's turn" : ""}`;

export const sweep: FaultPart = {
  name: "sweep",
  title: "SIGKILL at each named crash point that a photo passes, by command and in a model's turn",
  async run(report, { quick }) {
    const programs = await assemble([]);
    const tries = await points(programs, report, quick);
    const hits = new Map<Try, number>();
    let failures = 0;
    const rounds = Array.from({ length: quick ? QUICK_HITS : FULL_HITS }, (_, round) => round);
    await each(
      rounds.flatMap((round) => tries.map((one) => ({ one, trusts: round % 2 === 0 }))),
      async ({ one, trusts }) => {
        const wrong = await tell(one.tale, { programs, crash: one.crash, trusts });
        if (wrong) hits.set(one, (hits.get(one) ?? 0) + 1);
        for (const why of wrong ?? []) {
          failures++;
          report.problem(`sweep: ${words(one)}: ${why}; again: npm run faults -- --only sweep`);
        }
      },
    );
    const least = Math.min(...tries.map((one) => hits.get(one) ?? 0));
    report.figure("sweep.points", tries.length, {
      unit: "points",
      goal: { op: ">=", value: 25 },
    });
    report.figure("sweep.hits_least", least, {
      unit: "kills a point",
      ...(!quick && { goal: { op: ">=", value: FULL_HITS } as const }),
    });
    report.figure("sweep.failures", failures, { unit: "", goal: { op: "==", value: 0 } });
    await each(MUTANTS, async ({ fault, at, patches }) => {
      const planted = await assemble(patches);
      const [wanted, most] = quick ? [1, 6] : [5, 20];
      let [hits, found] = [0, 0];
      // A commit of something else may pass the point first: then that try shows nothing.
      for (; hits < most && found < wanted; hits++) {
        const tried: Story = { programs: planted, crash: at, trusts: true, patienceMs: 6_000 };
        const [wrong] = (await tell(photoTale, tried)) ?? [];
        if (wrong === undefined) continue;
        if (found++ === 0) report.say(`sweep: ${fault}: ${wrong.split("\n")[0]}`);
      }
      report.planted({ name: fault, by: at.point, hits, found });
      if (found < wanted) report.problem(`sweep: ${fault}: found ${found} of ${wanted} times`);
    });
  },
};
