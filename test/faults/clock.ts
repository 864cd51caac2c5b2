/**
 * The clock of the gateway's machine jumps, forwards and back. Each timer fires once, a permission
 * that is over stays over, none lives longer than it was given, and no old message comes in again.
 */
import { fileURLToPath, pathToFileURL } from "node:url";
import { join } from "node:path";
import type { Report } from "../report/report.ts";
import { pairedWorld, Running, type World } from "../support/home.ts";
import { assemble, type Patch } from "./assembly.ts";
import type { FaultPart } from "./part.ts";
import { firings } from "./timers.ts";
import { redelivered } from "./tombstones.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const JUMPS = [2 * HOUR_MS, -2 * HOUR_MS, 5 * DAY_MS, -5 * DAY_MS, HOUR_MS, -90_000] as const;
/** More than all the stories of one round take. */
const MOST_LOOKS = 10;
const GRANT_MS = 15 * MINUTE_MS;

const REVIVED: Patch = [
  "gateway/src/grants/latest.ts",
  "newest = Math.max(newest + (mono - last), at);",
  "newest = at;",
];
const SHORT: Patch = [
  "gateway/src/store/writer.ts",
  "const KEPT_MS = 30 * 86_400_000;",
  "const KEPT_MS = 86_400_000;",
];

/** A gateway whose clock we own, and a device whose clock is right. */
class Clocked implements AsyncDisposable {
  readonly world: World;
  readonly #build: string | undefined;
  #gateway: Running | undefined;

  private constructor(world: World, build: string | undefined) {
    this.world = world;
    this.#build = build;
  }

  static async open(build?: string): Promise<Clocked> {
    const clocked = new Clocked(await pairedWorld(), build);
    await clocked.start();
    return clocked;
  }

  /** Kills it and starts it with its clock so far off. */
  async start(offsetMs = 0): Promise<void> {
    const { world } = this;
    await Promise.all([this.#gateway?.end(), world.nodes.get("laptop")?.end()]);
    const program = fileURLToPath(new URL("clocked-gateway.child.ts", import.meta.url));
    const env = {
      KITH_CLOCK_OFFSET: String(offsetMs),
      ...(this.#build === undefined ? {} : { KITH_ASSEMBLY: this.#build }),
    };
    this.#gateway = new Running(program, ["--home", world.home], { env });
    await this.#gateway.event("ready");
    await world.startNode("laptop");
  }

  async move(what: "jump" | "pass", ms: number): Promise<void> {
    const from = this.#gateway?.events.length ?? 0;
    this.#gateway?.types(`${what} ${ms}`);
    await this.#gateway?.event("moved", undefined, from);
  }

  /** Whether a photo may be taken now without a question. */
  async allowed(): Promise<boolean> {
    const { world } = this;
    await world.offers("laptop", (caps) => caps.length > 0);
    return world.call("invoke", { device: "laptop", cap: "camera.snap" }).then(
      () => true,
      (why: { code?: string }) => {
        if (why.code === "approval-needed" || why.code === "too-many") return false;
        throw why;
      },
    );
  }

  /** Something that is stored and asks for no permission. */
  async write(): Promise<void> {
    await this.world.call("devices.rename", { device: "laptop", name: "laptop" });
  }

  async grant(): Promise<void> {
    await this.world.call("invoke", { device: "laptop", cap: "camera.snap", allow: "15m" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#gateway?.end();
    await this.world[Symbol.asyncDispose]();
  }
}

/** What happens to a permission of fifteen minutes; after each `look` it must not be in force. */
type Story = (clocked: Clocked, look: () => Promise<void>) => Promise<void>;

const stories: readonly Story[] = [
  // Nobody looked at it while it ended, and then the clock went back into its time.
  async (clocked, look) => {
    await clocked.move("pass", GRANT_MS + MINUTE_MS);
    await clocked.move("jump", -10 * MINUTE_MS);
    await look();
  },
  // Over by a clock that was set forward; set back again, and over a restart, it stays over.
  async (clocked, look) => {
    await clocked.move("jump", 2 * HOUR_MS);
    await look();
    await clocked.move("jump", -2 * HOUR_MS);
    await look();
    await clocked.start();
    await look();
  },
  // A clock set back does not let it live longer: by so much that it is given in the future, or
  // by so little that it looks fresh. A start begins with the newest time that the home has seen.
  ...[-5 * DAY_MS, -10 * MINUTE_MS].map((back): Story => async (clocked, look) => {
    await clocked.move("jump", back);
    await clocked.move("pass", GRANT_MS + 1_000);
    await look();
    await clocked.start(back);
    await look();
  }),
  // Nobody looked at it while the clock was ahead, but something was written then and since.
  async (clocked, look) => {
    await clocked.move("jump", 2 * HOUR_MS);
    await clocked.write();
    await clocked.move("jump", -2 * HOUR_MS);
    await clocked.write();
    await clocked.start();
    await look();
  },
];

/** How often a permission was in force that must not be; looks no further after `enough`. */
async function revivals(build?: string, enough = Infinity) {
  let tried = 0;
  let revived = 0;
  for (const story of stories) {
    if (revived >= enough) break;
    await using clocked = await Clocked.open(build);
    await clocked.grant();
    if (!(await clocked.allowed())) throw new Error("a fresh permission is not in force");
    await story(clocked, async () => {
      tried++;
      if (await clocked.allowed()) revived++;
    });
  }
  return { tried, revived };
}

const builtFrom = async (patch: Patch, entry: string): Promise<string> =>
  pathToFileURL(join(await assemble([patch]), `${entry}.mjs`)).href;

async function mutants(report: Report, enough: number): Promise<void> {
  const build = await builtFrom(REVIVED, "assembly");
  const revived = { tried: 0, revived: 0 };
  while (revived.revived < enough && revived.tried < 3 * MOST_LOOKS) {
    const more = await revivals(build, enough - revived.revived);
    revived.tried += more.tried;
    revived.revived += more.revived;
  }
  report.planted({
    name: "an expired grant is revived by the clock",
    by: revived.revived > 0 ? "clock.revived" : null,
    hits: revived.tried,
    found: revived.revived,
  });
  const again = await redelivered(await builtFrom(SHORT, "store"));
  report.planted({
    name: "tombstone too short",
    by: again.taken > 0 ? "clock.redelivered" : null,
    hits: again.tried,
    found: again.taken,
  });
}

export const clock: FaultPart = {
  name: "clock",
  waits: true,
  title: "a clock that jumps by hours and days, and goes back",
  async run(report, { quick }) {
    const none = { unit: "", goal: { op: "==", value: 0 } } as const;
    report.skipped(
      "clock: a gateway under libfaketime",
      "the library is no part of this system; its Clock is replaced instead",
    );
    let set = 0;
    let wrong = 0;
    for (let seed = 1; seed <= (quick ? 1 : 10); seed++) {
      const found = await firings(JUMPS, seed);
      set += found.set;
      wrong += found.wrong;
    }
    report.figure("clock.timers", set, { unit: "" });
    report.figure("clock.timers_not_once", wrong, none);

    const { tried, revived } = await revivals();
    report.figure("clock.permissions_tried", tried, { unit: "" });
    report.figure("clock.revived", revived, none);
    const again = await redelivered();
    report.figure("clock.redelivered", again.taken, none);
    await mutants(report, quick ? 1 : 5);
  },
};
