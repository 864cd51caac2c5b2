/**
 * A gateway without its surroundings: everything between port, control socket and disk, joined.
 * `gateway.ts` gives it the real ones, the simulation those that break.
 *
 *   runtime ─ performers ─ calls, devices, pairing ─ links (for a port), console and methods (for people)
 */
import { catalogue } from "@kith/shared/capabilities/index";
import { KithError } from "@kith/shared/errors";
import { newId } from "@kith/shared/ids";
import { times } from "@kith/shared/protocol/limits";
import { SleepWatch } from "@kith/shared/sleep";
import type { Source } from "@kith/shared/streams/sender";
import { Budget, usageBook } from "./budgets/book.ts";
import type { Prices } from "./budgets/prices.ts";
import { Spending } from "./budgets/spending.ts";
import { type Limits, UsageLedger } from "./budgets/usage.ts";
import { Console } from "./channels/console.ts";
import { type Attach, sendTool } from "./channels/send-tool.ts";
import { type Inbox, inbox } from "./channels/inbox.ts";
import type { LinkHandlers, PairingHandlers, TicketHandlers } from "./devices/link.ts";
import { pairingHandlers } from "./devices/pairing.ts";
import { ticketHandlers } from "./devices/tickets.ts";
import { Presence } from "./devices/presence.ts";
import { followTailnet } from "./devices/tailnet.ts";
import { type Boundaries, type Boundary, boundaryOf } from "./grants/boundaries.ts";
import { latestTime } from "./grants/latest.ts";
import { SAFE_MODE, countStart } from "./invocations/boots.ts";
import { type Call, ended } from "./invocations/call.ts";
import { type StoredContent } from "./invocations/content.ts";
import { Calls, type CallsOptions } from "./invocations/calls.ts";
import { type LinksOptions, linkHandlers } from "./invocations/links.ts";
import { type ContentSource, Sending } from "./invocations/sending.ts";
import { kinds } from "./kinds.ts";
import type { Agents } from "./model/agents.ts";
import type { AssistantOptions } from "./model/assistant.ts";
import { fitting } from "./model/fitting.ts";
import type { Model, Question, StoredItem, Turn } from "./model/model.ts";
import { type May, type Whose, performAsk, performTool } from "./model/performers.ts";
import { toolbox } from "./model/tools.ts";
import { deedKind } from "./operators/deeds.ts";
import type { Caller, Method, MethodsOptions } from "./operators/method.ts";
import { methods } from "./operators/methods.ts";
import { Terminals } from "./operators/terminals.ts";
import { Waiting } from "./operators/waiting.ts";
import type { ActorId, Event } from "./runtime/effect.ts";
import { Runtime, type RuntimeOptions } from "./runtime/runtime.ts";
import type { TableKind } from "./runtime/kind.ts";
import type { Opened } from "./runtime/store.ts";
import { Schedules, scheduleTools } from "./schedules/schedules.ts";
import { skillKind } from "./skills/approved.ts";
import type { ToolStep } from "./sessions/talk.ts";
import { sessionTools } from "./sessions/session-tools.ts";
import { type ChatMessage, question } from "./sessions/words.ts";
import type { OwnTool } from "./tools/tool.ts";

/** After a start, devices may be on their way back for so long: calls to them wait instead of failing. */
const SETTLING_MS = 10_000;
/** Of a conversation, so many rows are read for the model: the newest, more than a turn can have. */
const ROWS = 512;
/** No picture larger than the services take goes to the model. */
const PICTURE_BYTES = 32 * 1_048_576;
/** How often content that nobody finished is looked for. */
const SWEEP_MS = 600_000;

/** Content of results, and content on its way; see media/media.ts. */
export interface Contents {
  find: CallsOptions["media"]["find"];
  sink: LinksOptions["sink"];
  source: ContentSource["source"];
  /** Takes a file of this machine in. @throws KithError */
  put(path: string, type: string, id: string): Promise<StoredContent>;
  /** The call is over: nobody brings the rest. */
  drop(call: string): Promise<void>;
  /** Clears what nobody will resume, and what is old and not `held` (SHA-256) by an open call. `now` in Unix ms. */
  sweep(now: number, held: ReadonlySet<string>): Promise<void>;
}

export interface CoreOptions
  extends
    Omit<RuntimeOptions, "kinds" | "notice">,
    Pick<
      MethodsOptions,
      | "gateway"
      | "addresses"
      | "local"
      | "home"
      | "open"
      | "agentHash"
      | "setName"
      | "tailnet"
      | "model"
      | "memory"
      | "skills"
    >,
    Pick<CallsOptions, "fingerprint" | "ceiling"> {
  readonly contents: Contents;
  /** Who answers, given what a model needs of here. */
  readonly answers: (parts: ModelParts) => Model;
  /** What a model may ask of the gateway itself, beside what its session does. */
  readonly tools: readonly OwnTool[];
  /** A file of an assistant's workspace, for another chat. */
  readonly attach: Attach;
  /** The owner's lines about what is allowed, asked and denied. */
  readonly boundaries: Boundaries;
  /** IANA name: of times that people say. */
  readonly timezone: string;
  readonly agents: Agents;
  /** Budgets of a day, and what models cost. */
  readonly limits: Limits;
  readonly prices: Prices;
  /** The newest time, Unix ms, that this home has seen. */
  readonly lastWallMs: number;
  /** Hears each notice that the owner gets. */
  readonly noticed: (text: string, about: ActorId | undefined) => void;
}

/** What a language model needs of the gateway: see model/assistant.ts. */
export type ModelParts = Omit<AssistantOptions, "name" | "provider" | "window" | "briefing">;

export interface Core {
  readonly runtime: Runtime;
  readonly calls: Calls;
  readonly console: Console;
  readonly methods: ReadonlyMap<string, Method>;
  readonly terminals: Terminals;
  readonly links: LinkHandlers;
  readonly pairing: PairingHandlers;
  readonly tickets: TicketHandlers;
  readonly receive: Inbox;
  /** What the owner should hear without having asked: in the chat that is always there. */
  notice(text: string): void;
  /** Takes up what the last process left. Resolves when devices and people may come. @throws KithError store-fenced */
  start(opened: Opened): Promise<void>;
}

/** All of a content, which is small. @throws KithError gone */
async function whole(source: Source, bytes: number): Promise<Uint8Array> {
  const data = new Uint8Array(bytes);
  for (let at = 0; at < bytes;) {
    const part = await source.read(at, bytes - at);
    if (part.length === 0) throw new KithError("gone", "the content is shorter than it was");
    data.set(part, at);
    at += part.length;
  }
  return data;
}

export function assemble(options: CoreOptions): Core {
  const { store, clock, rng, report, contents, gateway, tailnet } = options;
  const presence = new Presence();
  const startedAt = clock.mono();
  const console = new Console(report);
  let calls: Calls;
  let book: TableKind;
  const notice = (text: string, about?: ActorId): void => {
    options.noticed(text, about);
    console.notify("console", newId(clock, rng), { text, final: false });
  };
  const runtime = new Runtime({
    ...options,
    kinds: [
      ...kinds,
      {
        name: "invocation",
        receive: (...turn) => calls.receive(...turn),
        reload: () => calls.reload(),
      },
      skillKind,
      deedKind,
      {
        name: "usage",
        receive: (...turn) => book.receive(...turn),
        reload: () => {},
      },
    ],
    notice,
  });
  const ledger = new UsageLedger(runtime.documents, options.limits);
  book = usageBook(ledger);
  calls = new Calls({
    documents: runtime.documents,
    ledger,
    gateway: gateway.id,
    media: contents,
    link: (device) => presence.get(device),
    settling: () => clock.mono() - startedAt < SETTLING_MS,
    fingerprint: options.fingerprint,
    boundaries: options.boundaries,
    ceiling: options.ceiling,
    latest: latestTime(clock, options.lastWallMs),
  });
  const sending = new Sending(runtime, calls, presence, clock, contents);
  // After `sending`, whose frames go first.
  const terminals = new Terminals({ runtime, calls, presence });
  const schedules = new Schedules(runtime, () => clock.now(), options.timezone);
  const tools = [...options.tools, ...scheduleTools(schedules), sendTool(runtime, options.attach)];
  const own = (task: boolean) => [...(task ? [] : sessionTools), ...tools];
  const { rights } = calls;
  const boundary = (name: string, { agent, chat, by }: Whose): Boundary => {
    if (!options.agents.mayUse(agent, name))
      return { word: "deny", rule: `tools of the assistant ${agent}` };
    const use = { name, chat, agent, person: by, model: true };
    return boundaryOf(options.boundaries, use) ?? { word: "allow", rule: "no line is about it" };
  };
  const may: May = {
    get off() {
      return rights.off;
    },
    isDenied: (name, whose) => boundary(name, whose).word === "deny",
  };
  const table = methods({
    ...options,
    toolsBoundary: (name, whose) =>
      own(false).some((tool) => tool.name === name) ? boundary(name, whose) : "none",
    runtime,
    calls,
    waiting: new Waiting(runtime),
    presence,
    schedules,
  });

  runtime.on<{ text: string }>("notice", ({ text }) => notice(text));
  // Asked at the command line: whoever sits at the chat may answer just as well.
  runtime.on<{ call: string }>("call.asked", ({ call: asked }) => {
    const call = calls.get(asked);
    if (call) console.announce("console", newId(clock, rng), question({ ...call, call: asked }));
  });
  runtime.on<{ row: { name: string }; how: string }>("device.paired", ({ row, how }) => {
    if (how !== "local")
      notice(`New device: ${row.name}. If that was not you, say /revoke ${row.name}.`);
  });
  runtime.on<{ name?: string }>("pairing.waiting", ({ name }) =>
    notice(`${name ?? "A device"} waits with its code: /approve CODE.`),
  );
  runtime.on<{ call: Call }>("call.kept", ({ call }) => {
    // Most calls bring no content: they shall not cost a look at the disk.
    const brings = Object.keys(catalogue.get(call.cap)?.streams ?? {}).length > 0;
    if (brings && ended.has(call.state))
      contents.drop(call.id).catch((error: unknown) => report("media", error));
  });

  const budget = new Budget(runtime, options.limits);
  const model = options.answers({
    tools: ({ task = false, ...whose }) =>
      toolbox(runtime.documents, own(task), {
        denies: (name) => {
          const { word, rule } = boundary(name, whose);
          return word === "deny" ? rule : undefined;
        },
        mustAsk: (name) => boundary(name, whose).word === "ask",
      }),
    knows: (words, cap) => rights.resolve(words, cap).is !== "none",
    history: {
      rows: (session, from) =>
        store
          .series("item", session, ROWS, from)
          .map(({ id, body }) => ({ id, item: body as StoredItem })),
      async picture({ sha256, type, bytes }) {
        if (bytes > PICTURE_BYTES) throw new KithError("too-big", "a picture of more than 32 MiB");
        const source = await contents.source(sha256, type, bytes);
        try {
          return await fitting({ type, data: await whole(source, bytes) });
        } finally {
          await source.close();
        }
      },
    },
    draft: (chat, text) => console.draft(chat, text),
    spending: new Spending(budget, options.limits, options.prices),
    clock,
  });
  runtime.perform(console.performer);
  runtime.perform({
    op: "model",
    parallel: 8,
    run: async ({ args }) =>
      ({ type: "model.answered", answer: await model.answer(args as Turn) }) as Event,
  });
  runtime.perform({
    op: "ask",
    parallel: 8,
    run: ({ args }, signal) => performAsk(model, rights, args as Question, signal),
  });
  runtime.perform({
    op: "tool",
    // None waits for another: sixteen a session at most, and each ends by its time.
    parallel: Number.POSITIVE_INFINITY,
    run: ({ args }, signal) => performTool(tools, report, budget, may, args as ToolStep, signal),
  });
  runtime.on<{ session: ActorId }>("session.stopped", ({ session }) =>
    runtime.abort(["ask", "tool"], new KithError("cancelled", "it was stopped"), session),
  );
  runtime.on("lock.set", () =>
    runtime.abort(["ask", "tool"], new KithError("locked", "everything was locked")),
  );
  runtime.perform({
    op: "operate",
    parallel: 8,
    run: async ({ key, args }) => {
      const {
        op,
        args: given,
        by,
        place,
      } = args as { op: string; args: Record<string, unknown> } & Pick<Caller, "by" | "place">;
      const method = table.get(op);
      if (!method) throw new KithError("internal", `no method ${op}`);
      const { text } = await method.call(given, { by, key, ...(place && { place }) });
      const message: ChatMessage = { text, final: true };
      return { type: "operated", message } as Event;
    },
  });

  const sweep = (): void => {
    const held = new Set(calls.list().flatMap(({ content }) => (content ? [content.sha256] : [])));
    contents.sweep(clock.now(), held).catch((error: unknown) => report("media", error));
    runtime.due.set("media", SWEEP_MS, sweep);
  };
  runtime.due.set("media", SWEEP_MS, sweep);

  // Frames that waited while this machine slept would look fresh: new links, and the ledgers tell.
  const sleep = new SleepWatch(clock);
  const tick = (): void => {
    const slept = sleep.slept();
    if (sleep.stalled() || slept)
      for (const link of presence.all()) link.end("slept", "the gateway's machine slept");
    runtime.due.set("sleep", times.sleepTickMs, tick);
  };
  tick();

  return {
    runtime,
    calls,
    console,
    methods: table,
    terminals,
    links: linkHandlers({
      ...{ runtime, calls, presence, clock, sending },
      ...(tailnet && { askTailnet: followTailnet(runtime, tailnet, report) }),
      sink: (content) => contents.sink(content),
    }),
    pairing: pairingHandlers(runtime),
    tickets: ticketHandlers(runtime),
    receive: inbox(runtime, clock, rng, (chat) => options.agents.of(chat)),
    notice,
    async start(opened) {
      // On disk before anything is done: a process that dies at once shall count as well.
      const boots = await countStart(store, opened.clean, clock.now(), report);
      runtime.recover(opened);
      sending.recover();
      for (const desk of ["pairing/desk", "ticket/book"] as const)
        runtime.tell(desk, { type: "gateway.started" });
      if (boots.entered) notice(SAFE_MODE);
      if (opened.stalled)
        notice(
          `I was killed because a message to ${opened.stalled} never ended; it counts as a try.`,
        );
    },
  };
}
