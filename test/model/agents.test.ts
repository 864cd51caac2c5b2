/** Several assistants: whose chat it is, what each may use, and which model answers. */
import { Agents, several } from "@kith/gateway/model/agents";
import type { Model, Question } from "@kith/gateway/model/model";
import { toolbox } from "@kith/gateway/model/tools";
import { describe, expect, test } from "vitest";
import { Desk } from "../invocations/desk.ts";

const agents = new Agents({
  work: { chats: ["office", "desk"], tools: ["camera.*", "memory_*"] },
  home: {},
  idle: { tools: [] },
});

test("a chat is one assistant's: by its settings, by its name, else the main one's", () => {
  expect(["office", "work", "home", "console"].map((chat) => agents.of(chat))).toEqual([
    ...["work", "main", "home", "main"],
  ]);
});

describe("what it may use", () => {
  test.for<[string, string, boolean]>([
    ["work", "camera_snap", true],
    ["work", "memory_search", true],
    ["work", "files_read", false],
    ["work", "camerasnap", false],
    ["home", "files_read", true],
    ["idle", "camera_list", false],
    ["main", "files_read", true],
    ["gone", "camera_list", false],
    ["constructor", "camera_list", false],
  ])("%s, %s: %s", ([agent, tool, may]) => {
    expect(agents.mayUse(agent, tool)).toBe(may);
  });

  test("is all that its model is told of, and all that its calls mean", () => {
    const { documents } = new Desk();
    const box = toolbox(documents, [], {
      denies: (name) => (agents.mayUse("work", name) ? undefined : "its tools"),
    });
    expect(box.tools.map(({ name }) => name)).toEqual(["camera_list", "camera_snap"]);
    const read = (name: string) => box.read({ id: "t", name, args: { device: "laptop" } }, []);
    expect(read("camera_snap")).toMatchObject({ cap: "camera.snap" });
    expect(read("device_info")).toEqual({
      id: "t",
      tool: "device_info",
      wrong: expect.any(String),
    });
  });
});

test("each is asked by its own model, or by the main one", async () => {
  const model = (name: string): Model => ({
    name,
    answer: () => Promise.resolve({ do: "say", text: name }),
    ask: () => Promise.reject(new Error(name)),
  });
  const all = several(model("main"), new Map([["work", model("work")]]));
  const asked = (agent: string) => all.ask({ agent } as Question, new AbortController().signal);
  await expect(asked("work")).rejects.toThrow("work");
  await expect(asked("home")).rejects.toThrow("main");
  const turn = { text: "", owner: true };
  expect(await all.answer({ ...turn, agent: "work" })).toMatchObject({ text: "work" });
  expect(await all.answer(turn)).toMatchObject({ text: "main" });
});
