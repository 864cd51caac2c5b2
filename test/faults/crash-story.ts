/**
 * Something is asked for once, and a process dies at a named point on the way. Whoever dies is
 * started again, as a service manager does; what was said may be offered again under its id.
 *
 *   the wish ─► the question ─► /allow once ─► its end ─► /help, behind which nothing more comes
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Message } from "../support/control.ts";
import { type How, pairedWorld, type Running, until, type World } from "../support/home.ts";

/** What is asked for, and what must have come of it. */
export interface Tale {
  readonly wish: string;
  /** Changes the home before anything starts; what it returns is closed in the end. */
  prepare?(home: World): Promise<AsyncDisposable>;
  isOver(message: Message): boolean;
  /** What is wrong, in words. The gateway runs, the node may be ended. */
  judge(home: World, messages: readonly Message[], crash: Crash | undefined): Promise<string[]>;
}

export interface Crash {
  readonly who: "gateway" | "node";
  readonly point: string;
  readonly pass: number;
  /** It dies while it starts, with the question open. */
  readonly boot: boolean;
}

export interface Story {
  readonly programs: string;
  readonly gateway?: How;
  readonly node?: How;
  readonly crash?: Crash;
  /** The chat never offers again what was acknowledged. */
  readonly trusts?: boolean;
  /** For each thing that has to come; twice that for all of them. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 25_000;

/** What was wrong, in words; nothing when all is well; `undefined` when the point was not passed so often. */
export async function tell(tale: Tale, story: Story): Promise<readonly string[] | undefined> {
  await using home = await pairedWorld(["laptop"], undefined, story.programs);
  await using _ = await tale.prepare?.(home);
  const { promise: late, reject } = Promise.withResolvers<never>();
  const patience = setTimeout(
    () => reject(new Error("it came to no end")),
    2 * (story.patienceMs ?? PATIENCE_MS),
  );
  try {
    const telling = told(tale, home, story);
    telling.catch(() => {}); // After we gave up, its processes are gone and it fails somehow.
    return await Promise.race([telling, late]);
  } catch (why) {
    // Something that had to come did not.
    return [why instanceof Error ? why.message : String(why)];
  } finally {
    clearTimeout(patience);
  }
}

async function told(
  tale: Tale,
  home: World,
  { crash, trusts = false, patienceMs = PATIENCE_MS, ...how }: Story,
): Promise<readonly string[] | undefined> {
  const armed = join(home.folder, "armed");
  const at = crash ? { crashAt: `${crash.point}:${crash.pass}` } : {};
  const given = (who: Crash["who"]): How => ({ ...how[who], ...(crash?.who === who && at) });
  const gateway = await home.startGateway(crash?.boot ? {} : { ...given("gateway"), armed });
  const node = home.spawnNode("laptop", crash?.boot ? {} : { ...given("node"), armed });
  await node.event("ready");
  await home.offers("laptop", (caps) => caps.length > 0);
  const owner = await home.owner(undefined, trusts);
  const victim = crash?.who === "gateway" ? gateway : node;
  const back =
    crash && !crash.boot ? victim.ended.then(() => startAgain(home, crash.who)) : undefined;
  back?.catch(() => {}); // Awaited below.

  writeFileSync(armed, "");
  await owner.say(tale.wish);
  await owner.hear("the question", ({ question }) => question, patienceMs);
  if (crash?.boot) {
    await victim.end();
    await died(
      crash.who === "gateway"
        ? home.spawnGateway(given("gateway"))
        : home.spawnNode("laptop", given("node")),
    );
    await startAgain(home, crash.who);
  }
  await owner.say("/allow once");
  await owner.hear("its end", (message) => tale.isOver(message), patienceMs);
  await owner.say("/help");
  await owner.hear("help", ({ text }) => text.includes("/unlock"), patienceMs);
  if (crash && !crash.boot) {
    // Commits gather as they like, so a later pass may not come this time; a first one must.
    const late = crash.pass > 1 && crash.who === "gateway";
    const came = await until("the crash", () => victim.over, undefined, late ? 2_000 : 25_000).then(
      () => true,
      (why: unknown) => (late ? false : Promise.reject(why)),
    );
    if (!came) return undefined;
    await died(victim);
    await back;
    // Something new is said to the next gateway; what comes twice comes before its answer.
    await owner.say("/grants");
    await owner.hear("the grants", ({ text }) => text.startsWith("No permission"), patienceMs);
  }
  return await tale.judge(home, owner.messages, crash);
}

const startAgain = async (home: World, who: Crash["who"]): Promise<void> => {
  if (who === "gateway") await home.startGateway();
  else await home.spawnNode("laptop").event("ready");
};

async function died(one: Running): Promise<void> {
  const { signal } = await one.ended;
  if (signal !== "SIGKILL")
    throw new Error(`it ended by ${signal}, not at its point: ${one.words}`);
}

/** Between start and result of the camera: dying there may cost a second shot. */
const RERUN = new Set(["node.run", "node.result"]);

/** What is wrong with the one photo: at the device it was taken once, whoever died. */
export async function photoJudged(home: World, crash: Crash | undefined): Promise<string[]> {
  const wrong: string[] = [];
  const once = (what: string, n: number) => {
    if (n !== 1) wrong.push(`${what}: ${n} times`);
  };
  if (!(await home.auditIsWhole())) wrong.push("the audit trail is not whole");
  once("call.done", (await home.audit()).filter(({ what }) => what === "call.done").length);
  await home.nodes.get("laptop")?.end("SIGTERM");
  const rows = await home.ledger("laptop");
  once("the device's ledger has the call", rows.length);
  const shots = rows.reduce((sum, { starts }) => sum + starts, 0);
  const most = crash?.who === "node" && RERUN.has(crash.point) ? 2 : 1;
  if (shots < 1 || shots > most) wrong.push(`the camera fired ${shots} times`);
  return wrong;
}

/** What is wrong with what was told: nothing failed, and each of these came once. */
export function toldOnce(
  messages: readonly Message[],
  wanted: Readonly<Record<string, (message: Message) => unknown>>,
): string[] {
  const failed = messages.flatMap(({ error }) =>
    error ? [`an error was told: ${error.code}`] : [],
  );
  const counted = Object.entries(wanted).flatMap(([what, fits]) => {
    const n = messages.filter(fits).length;
    return n === 1 ? [] : [`${what}: ${n} times`];
  });
  return [...failed, ...counted];
}
