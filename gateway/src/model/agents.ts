/**
 * Several assistants in one gateway: each answers its own chats, by its own model, with its own tools, memory
 * and workspace. A conversation belongs to one of them for good; none sees another's.
 */
import type { Model } from "./model.ts";

/** The one that answers wherever no other does. */
export const MAIN = "main";

export interface AgentSettings {
  /** Names of tools or capabilities, also their first part: `memory_*`, `camera.*`. Absent: all. */
  readonly tools?: readonly string[] | undefined;
  /** Chats that it answers. Absent: the one of its own name. */
  readonly chats?: readonly string[] | undefined;
}

export class Agents {
  readonly #agents: ReadonlyMap<string, AgentSettings>;

  constructor(agents: Readonly<Record<string, AgentSettings>>) {
    this.#agents = new Map(Object.entries(agents));
  }

  /** Who answers in this chat. */
  of(chat: string): string {
    for (const [name, { chats = [name] }] of this.#agents) if (chats.includes(chat)) return name;
    return MAIN;
  }

  /** Whether it may use a tool; one that is not set up any more may nothing. */
  mayUse(agent: string, tool: string): boolean {
    const known = this.#agents.get(agent);
    if (!known) return agent === MAIN;
    return known.tools?.some((pattern) => fits(pattern, tool)) ?? true;
  }
}

/** `camera.*` and `camera_*` are the same, and so are `camera.snap` and `camera_snap`. */
function fits(pattern: string, tool: string): boolean {
  const wish = pattern.replaceAll(".", "_");
  const name = tool.replaceAll(".", "_");
  return wish.endsWith("*") ? name.startsWith(wish.slice(0, -1)) : name === wish;
}

/** Each assistant's own model, or the main one's. */
export function several(main: Model, others: ReadonlyMap<string, Model>): Model {
  const of = (agent: string | undefined): Model => others.get(agent ?? MAIN) ?? main;
  return {
    name: main.name,
    answer: (turn) => of(turn.agent).answer(turn),
    ask: (question, signal) => of(question.agent).ask(question, signal),
  };
}
