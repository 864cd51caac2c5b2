/**
 * Every durable write and every send has a name: a call of a primitive that writes to disk or to
 * a peer stands between crash points of its own function, or is listed here with the reason why
 * no crash there can cost anything that a named point does not show.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What writes or sends. Comments and imports are no calls. */
const PRIMITIVES =
  /\.(?:send|sync|datasync|writeFile|appendFile)\(|\b(?:fsyncSync|fdatasyncSync|renameSync|rename|writeFileSync|writeSync|appendFileSync|copyFileSync|copyFile|writeDurably)\(|\bdb\.exec\(["`](?:BEGIN|COMMIT)|\banchor\.(?:write|synced)\(|\bperformer\.run\(|\bdriver\.run\(|VACUUM INTO/;

/** How many lines may lie between the call and the points around it. */
const REACH = 26;

/** file, text of the line, reason. */
const ALLOWED: readonly (readonly [file: string, line: string, reason: string])[] = [
  // Below a named point: whoever calls these stands between points.
  ["gateway/src/mesh/link.ts", "send: (frame) => this.#channel.send(frame),", "the way of tl.send"],
  ["gateway/src/mesh/link.ts", "this.#channel.send(frame);", "the way of tl.send"],
  ["gateway/src/mesh/wire.ts", "this.#ws.send(bytes)", "the socket under tl.send"],
  ["shared/src/protocol/channel.ts", "this.#transport.send(", "the seal under tl.send, node.send"],
  ["node-agent/src/link.ts", "this.#channel.send(frame);", "the way of node.send"],
  ["node-agent/src/socket.ts", "socket.send(bytes,", "the socket under node.send"],
  ["gateway/src/store/anchor.ts", "void writeSync(fd, encode(state)", "writer.ts: an.write"],
  ["gateway/src/store/anchor.ts", "fdatasyncSync(fd)", "writer.ts: an.write, an.synced"],
  ["gateway/src/store/anchor.ts", "fsyncSync(fd);", "a folder: bt.anchor, bt.epoch"],
  ["node-agent/src/log.ts", "this.#file.", "the file under node.intent, node.run, node.result"],
  ["node-agent/src/drive.ts", "driver.run(args, tools)", "serve.ts: node.run, node.result"],
  ["node-agent/src/disk.ts", "handle.sync()", "a folder: node.epoch and those who call it"],
  ["node-agent/src/disk.ts", "writeDurably(path", "the function itself: node.epoch"],
  ["node-agent/src/disk.ts", "await file.", "writeDurably: node.epoch"],
  ["node-agent/src/disk.ts", "await rename(draft, path);", "writeDurably: node.epoch"],
  // Complete or not there: written beside its place and renamed, between bt.lock and bt.anchor.
  ["gateway/src/store/anchor.ts", "writeSync(fresh,", "a fresh anchor, before bt.anchor"],
  ["gateway/src/store/anchor.ts", "fsyncSync(fresh);", "a fresh anchor, before bt.anchor"],
  ["gateway/src/store/anchor.ts", "renameSync(", "a fresh anchor, before bt.anchor"],
  ["gateway/src/store/schema.ts", "BEGIN IMMEDIATE; ${step}", "one transaction, before bt.anchor"],
  ["gateway/src/store/schema.ts", "VACUUM INTO", "a copy beside its place, before bt.anchor"],
  ["gateway/src/store/schema.ts", "copyFileSync(", "a copy, before bt.anchor"],
  ["gateway/src/store/schema.ts", "fsyncSync(fd);", "a copy, before bt.anchor"],
  ["gateway/src/store/schema.ts", "renameSync(", "a copy, before bt.anchor"],
  ["gateway/src/keys.ts", "", "first start only: written beside its place and renamed"],
  ["gateway/src/config.ts", "writeFileSync(file, FRESH", "first start only: holds no state"],
  [
    "node-agent/src/config.ts",
    "await file.",
    "first start only: a torn key is refused with its path",
  ],
  ["node-agent/src/ledger.ts", "rename(draft, path)", "a pruned copy beside its place"],
  ["node-agent/src/ledger.ts", "copyFile(path", "a copy for people, after damage"],
  ["node-agent/src/log.ts", "await file.sync();", "makes room: done again by the next start"],
  [
    "node-agent/src/log.ts",
    "await file.datasync();",
    "clears a torn tail: by the next start again",
  ],
  ["node-agent/src/outgoing.ts", "await file.", "content: without node.result nobody knows of it"],
  // A person's change: whole or not at all, and answered only afterwards.
  ["node-agent/src/config.ts", "await writeDurably(path", "settings: the person sees the answer"],
  ["node-agent/src/tailnet.ts", "await writeDurably(", "a ceiling: heard anew at the next link"],
  ["node-agent/src/policy.ts", "writeDurably(path", "the lock: the person sees the answer"],
  ["gateway/src/config.ts", "`${file}.new`", "a new address: the person sees the answer"],
  ["gateway/src/secrets.ts", "`${file}.new`", "a secret: the person sees the answer"],
  // Nothing that anybody relies on after a crash.
  ["gateway/src/transcripts/transcripts.ts", "", "a file of what is stored: written anew from it"],
  ["gateway/src/memory/line-index.ts", "", "an index of files: made of them anew"],
  ["gateway/src/log.ts", "", "a log for people"],
  ["gateway/src/store/writer.ts", "writeFileSync(`${about}.new`", "who holds the lock: for people"],
  ["gateway/src/store/writer.ts", "renameSync(`${about}.new`", "who holds the lock: for people"],
  [
    "gateway/src/store/writer.ts",
    "reserved = writeSync(",
    "space that is given up when it is short",
  ],
  ["gateway/src/runtime/cell.ts", "root.send(event)", "an event to a machine in memory"],
  // Frames of a link that has no memory: its end says the same, and the ledgers are compared.
  ["gateway/src/invocations/links.ts", "link.send({", "grants.changed: sent anew on every link"],
  ["gateway/src/invocations/sending.ts", 't: "cancel"', "the deadline at the node says the same"],
  ["gateway/src/invocations/sending.ts", 't: "ledger.query"', "asked anew on every link"],
  ["gateway/src/mesh/outgoing.ts", "send", "content for a device: given anew on every link"],
  ["gateway/src/mesh/incoming.ts", "this.#events.send({", "a refused stream: opened anew"],
  ["gateway/src/mesh/live.ts", "send({", "a terminal is watched anew on every link"],
  ["gateway/src/operators/shell-methods.ts", 't: "cancel"', "a person sees whether it has ended"],
  ["gateway/src/mesh/link.ts", "this.#channel.send({", "hello, ping, bye: they end with the link"],
  ["gateway/src/mesh/pairing-link.ts", ".send({", "pairing: begun anew by both people"],
  ["gateway/src/mesh/stranger.ts", ".send(", "the handshake of one link"],
  ["node-agent/src/link.ts", "send({", "ping, bye: they end with the link"],
  ["node-agent/src/link.ts", "this.#channel.send(hello);", "the first frame of a link"],
  [
    "node-agent/src/drivers/files/write.ts",
    "await rename(path, name);",
    "as the link beside it: node.file",
  ],
  ["node-agent/src/drivers/audio/play.ts", "rename(path, named)", "a sound: once, never taken up"],
  ["node-agent/src/incoming.ts", "send(", "a refused stream: opened anew"],
  ["node-agent/src/live.ts", "link.send({", "a terminal is watched anew on every link"],
  [
    "node-agent/src/drivers/shell/open.ts",
    "writeSync(fd, bytes",
    "typed into a terminal, by a person",
  ],
  ["node-agent/src/offering.ts", "this.#link.send(part)", "asked for anew on every link"],
  ["node-agent/src/outgoing.ts", 't: "error"', "a stream that is gone stays gone"],
  ["node-agent/src/pairing.ts", "channel.send({", "pairing: begun anew by both people"],
  ["node-agent/src/secure.ts", "wire.send(", "the handshake of one link"],
  ["shared/src/streams/receiver.ts", "link.send({", "credit: granted anew from the file's length"],
  ["shared/src/streams/sender.ts", "link.send({", "streams are opened anew from their offset"],
];

interface Found {
  readonly file: string;
  readonly line: string;
}

/** Lines of `text` that write or send without a crash point before and after them. */
export function unnamed(file: string, text: string): Found[] {
  const lines = text.split("\n");
  const point = (from: number, to: number) =>
    lines.slice(Math.max(0, from), to).some((line) => /\bcrashpoint\(/.test(line));
  return lines.flatMap((raw, at) => {
    const line = raw.trim();
    if (/^(?:\*|\/\/|\/\*|import\b)/.test(line) || !PRIMITIVES.test(line)) return [];
    return point(at - REACH, at) && point(at + 1, at + 1 + REACH) ? [] : [{ file, line }];
  });
}

const sources = ["gateway/src", "node-agent/src", "shared/src"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `${folder}/${name}`)
    .toSorted(),
);

const found = sources.flatMap((file) => unnamed(file, readFileSync(join(root, file), "utf8")));
const isAllowed = ({ file, line }: Found) =>
  ALLOWED.some(([where, what]) => where === file && line.includes(what));

test("no durable write and no send is without a name", () => {
  expect(
    found.filter((one) => !isAllowed(one)).map(({ file, line }) => `${file}: ${line}`),
  ).toEqual([]);
});

test("every exception is still needed, and has a reason", () => {
  const idle = ALLOWED.filter(
    ([file, line, reason]) =>
      reason.length < 10 || !found.some((one) => one.file === file && one.line.includes(line)),
  );
  expect(idle).toEqual([]);
});

test("a write or a send without a name is found", () => {
  const planted = (body: string) => unnamed("planted.ts", `function f() {\n${body}\n}`).length;
  expect(planted("  link.send(frame);")).toBe(1);
  expect(planted('  crashpoint("a");\n  fsyncSync(fd);')).toBe(1);
  expect(planted('  fsyncSync(fd);\n  crashpoint("a");')).toBe(1);
  expect(planted('  crashpoint("a");\n  fsyncSync(fd);\n  crashpoint("b");')).toBe(0);
  expect(planted("  // link.send(frame);")).toBe(0);
});
