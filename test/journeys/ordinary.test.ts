/**
 * Forty ordinary tasks in conversations that read what others wrote, with the permissions that an owner would have
 * given: what taint costs in questions. At least 36 must finish with one question at most each.
 */
import { once } from "node:events";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { pairedWorld } from "../support/home.ts";
import { kith } from "../support/kith.ts";
import { chat } from "../support/models/chat.ts";
import { ModelServer, type Script } from "../support/models/server.ts";

const NOTE = fileURLToPath(new URL("../own/note.mjs", import.meta.url));
const LAMP = fileURLToPath(new URL("../own/lamp.mjs", import.meta.url));

type Call = readonly [name: string, args: object];

/** Reading that taints, and what one does then. `answer`: what the owner says to a question. */
interface Task {
  readonly wish: string;
  readonly calls: readonly Call[];
  readonly answer?: string;
}

const laptop = { device: "laptop" };

/** `page`: an address of the web, which links to `/more`. */
function tasksOf(page: string): readonly Task[] {
  const web: Call = ["web_fetch", { url: page }];
  const more: Call = ["web_fetch", { url: `${page}more` }];
  const note: Call = ["x_note_read", laptop];
  const letter: Call = ["files_read", { ...laptop, path: "letter.txt", look: true }];
  const list: Call = ["files_list", laptop];
  const recall: Call = ["memory_search", { words: "news" }];
  const skill: Call = ["skill_read", { name: "newsy" }];
  const status: Call = ["device_status", laptop];
  const info: Call = ["device_info", laptop];
  const snap: Call = ["camera_snap", laptop];
  const look: Call = ["camera_snap", { ...laptop, look: true }];
  const cameras: Call = ["camera_list", laptop];
  const lamp: Call = ["x_lamp_set", { ...laptop, on: true }];
  const dim: Call = ["x_lamp_set", { ...laptop, on: true, percent: 20 }];
  const keep = (text: string): Call => ["memory_write", { file: "notes", text }];
  const remind: Call = ["reminder_add", { when: "in 3h", text: "call back" }];
  const reminders: Call = ["reminder_list", {}];
  const tell: Call = ["send_message", { to: "other", text: "a summary" }];
  const helper: Call = ["task", { task: "count the words" }];
  const once = "/allow once";
  const turn = "/allow turn";
  const plain = (wish: string, ...calls: Call[]): Task => ({ wish, calls });
  const asked = (answer: string, wish: string, ...calls: Call[]): Task => ({ wish, calls, answer });
  return [
    plain("sum that page up", web),
    plain("read the page and where it leads", web, more),
    plain("what does the note say", note),
    plain("read me the letter", letter),
    plain("which files are there", list),
    plain("what news did I note", recall),
    plain("do as newsy says", skill),
    plain("note what the page says", web, keep("the page is about tea")),
    plain("note what the letter says", letter, keep("the letter is about coffee")),
    plain("is the laptop well, by the page's list", web, status),
    plain("compare the page with the laptop", web, info),
    plain("compare the note with the letter", note, letter),
    plain("compare the letter with what I know", letter, recall),
    plain("which cameras does the article mean", web, cameras),
    plain("find the file that the note speaks of", note, list),
    plain("find and read the file of the note", note, list, letter),
    plain("what is planned, and what does the page say", web, reminders),
    plain("note the note", note, keep("the note is about milk")),
    plain("what of the page do I know", web, recall),
    plain("have the page's words counted", web, helper),
    plain("read the skill, then the page", skill, web),
    plain("all that I have on tea", recall, list, letter),
    plain(`the note, the page ${page} and the letter in one`, note, web, letter),
    plain("the state of things", note, status, info, cameras),
    plain("the page and both lists", web, list, reminders),
    asked(once, "a photo as the page shows it", web, snap),
    asked(once, "look at the desk as the letter says", letter, look),
    asked(once, "light as the page says", web, lamp),
    asked(once, "remind me of the page", web, remind),
    asked(once, "remind me of the letter", letter, remind),
    asked(once, "send the page's sum to the other chat", web, tell),
    asked(once, "send the note's sum to the other chat", note, tell),
    asked(once, "light as the note says, and note it", note, dim, keep("the lamp is dimmed")),
    asked(once, "a photo, by what I noted", recall, snap),
    asked(once, "a photo, as newsy says", skill, snap),
    asked(turn, "two photos, as the page shows them", web, snap, look),
    asked(turn, "light, then dimmed, as the note says", note, lamp, dim),
    asked(turn, "photos of before and after, and a note", letter, snap, look, keep("it is done")),
    asked(once, "a photo and the light, as the page says", web, snap, lamp),
    asked(once, "a photo to remind me", web, snap, remind),
  ];
}

test("forty ordinary tasks that read what others wrote: at least 36 finish with one question at most", async () => {
  await using home = await pairedWorld();
  const web = createServer((_, response) =>
    response
      .writeHead(200, { "content-type": "text/html" })
      .end('<p>Tea is good for you. <a href="/more">More</a> about it stands there.</p>'),
  );
  web.listen(0, "127.0.0.1");
  await once(web, "listening");
  const place = `127.0.0.1:${(web.address() as AddressInfo).port}`;
  const tasks = tasksOf(`http://${place}/`);
  const scripts = tasks.flatMap(({ calls }, n): Script[] => [
    ...calls.flatMap(([name, args], at): Script[] => [
      { calls: [{ id: `c${n}-${at}`, name, json: JSON.stringify(args) }] },
      ...(name === "task" ? [{ text: ["Nine words."] }] : []),
    ]),
    { text: [`Done ${n}.`] },
  ]);
  await using model = await ModelServer.start(chat, ...scripts);
  appendFileSync(
    join(home.home, "config.yaml"),
    `model:\n  provider: openai-compatible\n  name: m\n  baseUrl: ${model.baseUrl}\negress:\n  allow: ["${place}"]\n`,
  );
  const shared = join(home.home, "shared");
  mkdirSync(shared);
  writeFileSync(join(shared, "letter.txt"), "Dear all, coffee is good as well.");
  const note = join(home.home, "note.txt");
  writeFileSync(note, "milk");
  mkdirSync(join(home.home, "memory"), { recursive: true, mode: 0o700 });
  writeFileSync(join(home.home, "memory/news.md"), "- news of tea\n");
  mkdirSync(join(home.home, "skills/newsy"), { recursive: true, mode: 0o700 });
  writeFileSync(
    join(home.home, "skills/newsy/SKILL.md"),
    "---\nname: newsy\ndescription: News\n---\n\nRead the news, then say what is new.\n",
  );
  await home.startGateway();
  await kith(home.home, "skills", "approve", "newsy");
  const own = "camera.snap,x.note.read,x.lamp.set,files.list,files.read,camera.list,device.status";
  await home.startNode("laptop", {
    allow: `${own},device.info`.replaceAll(",", "=allow,") + "=allow",
    args: [
      ...["--camera", "test-pattern", "--driver", NOTE, "--driver", LAMP],
      ...["--root", `docs=${shared}`],
    ],
    env: { NOTE: note, LAMP: join(home.home, "lamp") },
  });
  for (const cap of ["x.note.read", "x.lamp.set", "files.read", "files.list"])
    await home.call("devices.widen", { device: "laptop", cap });
  // What the owner has permitted for today; in a tainted turn only reading goes on by it.
  for (const [cap, args] of [
    ["camera.snap", {}],
    ["x.note.read", {}],
    ["x.lamp.set", { on: false }],
    ["files.list", {}],
    ["files.read", { path: "letter.txt" }],
  ] as const)
    await home.call("invoke", { device: "laptop", cap, args, allow: "today" });
  const other = await home.owner("other", true);
  await other.ask("/devices");
  const owner = await home.owner(undefined, true);

  const told: string[] = [];
  let finished = 0;
  for (const [n, { wish, calls, answer }] of tasks.entries()) {
    await owner.say(`${wish}, please (${n})`);
    let questions = 0;
    for (;;) {
      const heard = await owner.hear(
        `what comes of “${wish}”`,
        ({ question, final }) => question || final,
      );
      if (!heard.question) {
        expect(heard.text).toBe(`Done ${n}.`);
        break;
      }
      questions++;
      if (answer === undefined) throw new Error(`${wish}: ${heard.text}`);
      await owner.say(answer);
    }
    if (questions <= 1) finished++;
    else told.push(`${wish}: ${questions} questions`);
    // Each of its calls did what it was for, but for what the gateway itself would not do.
    const results = model.requests
      .at(-1)
      ?.body.messages.filter(({ role }: { role: string }) => role === "tool");
    expect([wish, results.length]).toEqual([wish, calls.length]);
    expect([wish, JSON.stringify(results)]).toEqual([
      wish,
      expect.not.stringMatching(/effect: (?:none|unknown)/),
    ]);
    await owner.say("/new");
    await owner.hear("that it begins anew", ({ text }) => text.startsWith("I begin anew"));
  }
  console.log(`${finished} of ${tasks.length} with one question at most; ${told.join("; ")}`);
  expect(tasks).toHaveLength(40);
  expect(finished).toBeGreaterThanOrEqual(36);
  web.close();
}, 120_000);
