/**
 * The same in a model's turn with tools: it notes something, takes a photo, looks at it and answers. Asked again it
 * makes the same calls under other ids; only those that were journalled may be done.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { World } from "../support/home.ts";
import { chat } from "../support/models/chat.ts";
import { ModelServer, type Script } from "../support/models/server.ts";
import { type Tale, photoJudged, toldOnce } from "./crash-story.ts";

const ANSWER = "Noted, and I saw a test pattern.";
const NOTE = "the owner likes green tea";

/** Decides by what it reads alone. */
function reply(body: any, n: number): Script {
  const results = body.messages.filter(({ role }: { role: string }) => role === "tool");
  if (results.length > 0) return { text: [ANSWER] };
  const call = (name: string, args: object) => ({
    ...{ id: `${name}-${n}`, name },
    json: JSON.stringify(args),
  });
  return {
    calls: [
      call("memory_write", { file: "owner", text: NOTE }),
      call("camera_snap", { device: "laptop", look: true }),
    ],
  };
}

const servers = new WeakMap<World, ModelServer>();

export const talkTale: Tale = {
  wish: "please note that I like green tea, then look at my desk and tell me what you see",
  async prepare(home) {
    const server = await ModelServer.start(chat);
    server.replies = reply;
    servers.set(home, server);
    const model = `model:\n  provider: openai-compatible\n  name: m\n  baseUrl: ${server.baseUrl}\n`;
    appendFileSync(join(home.home, "config.yaml"), model);
    return server;
  },
  isOver: ({ text }) => text === ANSWER,
  async judge(home, messages, crash) {
    const server = servers.get(home);
    const last = server?.requests.at(-1);
    const results = last?.body.messages.filter(({ role }: { role: string }) => role === "tool");
    const notes = readFileSync(join(home.home, "memory/owner.md"), "utf8").split(NOTE).length - 1;
    return [
      ...toldOnce(messages, {
        "the answer came": ({ text }) => text === ANSWER,
        "the photo came": ({ result }) => result,
        "the question came": ({ question }) => question,
      }),
      ...(notes === 1 ? [] : [`it was noted ${notes} times`]),
      ...(results?.length === 2 ? [] : [`the model read ${results?.length} results`]),
      ...(server?.pictures.length === 1 ? [] : ["the model did not see the photo"]),
      ...(await photoJudged(home, crash)),
    ];
  },
};
