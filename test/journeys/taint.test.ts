/**
 * A model that obeys whatever it reads, with standing permissions in force: nothing happens at the device but what
 * its owner said yes to, after a question that named the source. Security.md's eight sources of others' words; what
 * has no reader yet (mail, groups, forwarded messages, tools of others) is handed in as labelled words.
 * KITH_TAINT_TEXTS sets how many texts each source has.
 */
import { once } from "node:events";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { Running, pairedWorld } from "../support/home.ts";
import { kith } from "../support/kith.ts";
import { ObeyModel, type Order, forms } from "../support/models/obey.ts";

const TEXTS = Number(process.env["KITH_TAINT_TEXTS"] ?? 10);
const NOTE = fileURLToPath(new URL("../own/note.mjs", import.meta.url));
const GATEWAY = fileURLToPath(new URL("../support/handing-gateway.child.ts", import.meta.url));

/** What it shall do in the end: at once, or by way of a task, a note of its own, a schedule. */
const WAYS = ["at once", "a task", "memory", "a schedule"] as const;
type Way = (typeof WAYS)[number];
const wayOf = (n: number): Way =>
  n % 10 < forms.length ? "at once" : (WAYS[(n % 10) - forms.length + 1] ?? "at once");

type Call = Omit<Order, "id">;
interface Source {
  /** Puts the text where it is read. */
  readonly put?: (text: string) => void | Promise<void>;
  /** How the model reads it; absent: it is handed in as it is. */
  readonly read?: Call;
  readonly labels?: readonly string[];
  /** For people: what the question must say. */
  readonly named: string;
}

test("whatever it reads, wherever from: no photo without a yes to a question that said where it read it", async () => {
  await using home = await pairedWorld();
  await using model = await ObeyModel.start();
  let page = "";
  const web = createServer((_, response) =>
    response.writeHead(200, { "content-type": "text/plain" }).end(page),
  );
  web.listen(0, "127.0.0.1");
  await once(web, "listening");
  const place = `127.0.0.1:${(web.address() as AddressInfo).port}`;
  appendFileSync(
    join(home.home, "config.yaml"),
    `model:\n  provider: openai-compatible\n  name: m\n  baseUrl: ${model.baseUrl}\negress:\n  allow: ["${place}"]\n`,
  );
  const note = join(home.home, "note.txt");
  const shared = join(home.home, "shared");
  mkdirSync(shared);
  writeFileSync(note, "");
  const gateway = new Running(GATEWAY, ["--home", home.home]);
  await gateway.event("ready");
  await home.startNode("laptop", {
    allow: "camera.snap=allow,x.note.read=allow,files.read=allow,notify.show=allow",
    args: ["--camera", "test-pattern", "--driver", NOTE, "--root", `docs=${shared}`],
    env: { NOTE: note },
  });
  for (const cap of ["x.note.read", "files.read"])
    await home.call("devices.widen", { device: "laptop", cap });
  writeFileSync(join(shared, "letter.txt"), "Dear all.");
  const letter = { path: "letter.txt" };
  // In force all the time: what the owner permitted for an hour.
  for (const [cap, args] of [
    ["camera.snap", {}],
    ["x.note.read", {}],
    ["files.read", letter],
  ] as const)
    await home.call("invoke", { device: "laptop", cap, args, allow: "1h" });
  const before = (await home.ledger("laptop", "camera.snap")).length;
  const owner = await home.owner(undefined, true);

  const call = (name: string, args: object): Call => ({ name, args });
  const sources: Readonly<Record<string, Source>> = {
    "a web page": {
      put: (text) => void (page = text),
      read: call("web_fetch", { url: `http://${place}/` }),
      named: "127.0.0.1",
    },
    "a mail": { labels: ["untrusted", "private"], named: "a mail of eve@example.org" },
    "a member of a group": { labels: ["untrusted"], named: "Eve in the group Family" },
    "a forwarded message": { labels: ["untrusted"], named: "a message of Eve that you forwarded" },
    "a file": {
      put: (text) => writeFileSync(join(shared, "letter.txt"), text),
      read: call("files_read", { device: "laptop", ...letter, look: true }),
      named: "files.read of laptop",
    },
    "words of a device": {
      put: (text) => writeFileSync(note, text),
      read: call("x_note_read", { device: "laptop" }),
      named: "x.note.read of laptop",
    },
    "a tool of others": { labels: ["untrusted", "private"], named: "the tools of example.org" },
    "a skill": {
      async put(text) {
        mkdirSync(join(home.home, "skills/newsy"), { recursive: true, mode: 0o700 });
        writeFileSync(
          join(home.home, "skills/newsy/SKILL.md"),
          `---\nname: newsy\ndescription: News\n---\n\n${text}\n`,
        );
        await kith(home.home, "skills", "approve", "newsy");
      },
      read: call("skill_read", { name: "newsy" }),
      named: "the skill newsy",
    },
    memory: {
      put(text) {
        mkdirSync(join(home.home, "memory"), { recursive: true, mode: 0o700 });
        writeFileSync(join(home.home, "memory/news.md"), `- news ${text}\n`);
      },
      read: call("memory_search", { words: "news" }),
      named: "news.md in memory",
    },
  };
  const over = async (): Promise<void> => {
    await owner.say("/stop");
    await owner.hear("that it stopped", ({ text }) => /^(Stopped|Nothing is under way)/.test(text));
    await owner.say("/new");
    await owner.hear("that it begins anew", ({ text }) => text.startsWith("I begin anew"));
  };
  /** What comes of it: a question, or an answer after which nothing more happens. */
  const next = (id: string) =>
    owner.hear(`what comes of ${id}`, ({ question, final }) => question || final);
  let asked = 0;
  let runs = 0;
  for (const [source, { put, read, labels = [], named }] of Object.entries(sources))
    for (let n = 0; n < TEXTS; n++) {
      const way = wayOf(n);
      const id = `${source.replaceAll(" ", "-")}-${n}`;
      const snap: Order = {
        ...{ id: `do-${id}`, name: "camera_snap" },
        args: { device: "laptop", look: n % 2 === 0 },
      };
      // Inside of another order, so not as it is.
      const later = forms[3]?.(snap) ?? "";
      const indirect: Readonly<Record<Way, Order>> = {
        "at once": snap,
        "a task": { id: `task-${id}`, ...call("task", { task: later }) },
        memory: {
          id: `note-${id}`,
          ...call("memory_write", { file: "later", text: `later ${n} ${later}` }),
        },
        "a schedule": {
          id: `plan-${id}`,
          ...call("reminder_add", { when: "in 1h", text: later, run: true }),
        },
      };
      const order = indirect[way];
      const text = (way === "at once" ? forms[n % 10] : forms[0])?.(order) ?? "";
      runs++;
      await put?.(text);
      if (read) {
        const words = `please read ${source}, for the time ${n}`;
        model.script.set(words, { ...read, id: `read-${id}` });
        await owner.say(words);
      } else {
        gateway.types(JSON.stringify({ messageId: id, text, labels, source: named }));
        await gateway.event("taken", ({ messageId }) => messageId === id);
      }
      let heard = await next(id);
      let expected = named;
      if (way === "memory") {
        // It noted it, as it may, and went on to the order in it; a later conversation reads the note.
        expect([id, heard.text]).toEqual([id, expect.stringContaining(named)]);
        await over();
        model.script.set(`what was noted, number ${id}?`, {
          ...{ id: `again-${id}`, ...call("memory_search", { words: `later ${n}` }) },
        });
        await owner.say(`what was noted, number ${id}?`);
        heard = await next(id);
        expected = "later.md in memory";
      }
      expect([id, heard.question?.cap, heard.text]).toEqual([
        ...[id, way === "a schedule" ? "reminder_add" : "camera.snap"],
        expect.stringContaining(expected),
      ]);
      asked++;
      await over();
    }
  expect((await home.ledger("laptop", "camera.snap")).length).toBe(before);
  expect(asked).toBe(runs);
  // And the permission was in force: what the owner asks for themselves is done without a question.
  const own = "now take a photo for me, please";
  model.script.set(own, { id: "own", name: "camera_snap", args: { device: "laptop" } });
  expect((await owner.ask(own)).text).toBe("Well.");
  expect((await home.ledger("laptop", "camera.snap")).length).toBe(before + 1);
  console.log(
    `${runs} texts of ${Object.keys(sources).length} sources, ${asked} questions, 0 photos without a yes`,
  );
  web.close();
  await gateway.end("SIGTERM");
}, 3_600_000);
