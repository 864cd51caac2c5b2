import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { MediaStore } from "@kith/gateway/media/media";
import type { Label, OwnTool, ToolContext } from "@kith/gateway/tools/tool";
import { webTools } from "@kith/gateway/web/tools";
import * as v from "valibot";
import { afterAll, describe, expect, test } from "vitest";
import { type Answer, code, web } from "../egress/world.ts";

const folder = mkdtempSync(join(tmpdir(), "kith-web-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const contents = new MediaStore(folder);
await contents.start();

const context = (...labels: Label[]): ToolContext => ({
  ...{ call: "01K3V9QZ6T0R8M4X2C7B5N1PWD", session: "session/01K3V9QZ6T0R8M4X2C7B5N1PWE" as const },
  ...{ chat: "console", by: "console:owner", agent: "main", labels },
});

/** The tool, with a server that answers so. */
async function start(
  answer: Answer,
  seen: (session: string, url: string) => boolean = () => false,
) {
  const there = await web(answer);
  const [tool] = webTools({ egress: there.egress, contents, seen, search: undefined });
  return {
    ...there,
    fetch: (url: string, more: object = {}, given = context()) =>
      run(tool as OwnTool, { url, ...more }, given),
    [Symbol.asyncDispose]: () => there[Symbol.asyncDispose](),
  };
}

const run = async (tool: OwnTool, args: object, given: ToolContext) =>
  tool.run(v.parse(tool.args, args), given, new AbortController().signal);

const html =
  (page: string | Buffer, type = "text/html; charset=utf-8"): Answer =>
  (_, response) =>
    void response.writeHead(200, { "content-type": type }).end(page);

const words = "Some words of an article, which is long enough, and has commas. ".repeat(8);
const article = `<!doctype html><html><head><title>The  page</title><script>var evil = "in a script"</script>
  <style>p { color: red }</style></head><body><nav><a href="/menu">Menu</a></nav>
  <article><h2>Heading</h2><p>${words}</p><p>See <a href="../z?q=1">this <b>link</b></a>,
  <a href="javascript:evil()">that</a>.</p><p>${words}</p><pre>code  with
    its form</pre><ul><li>one<li>two</ul><p hidden>hidden words</p><p style="display: none">unseen words</p>
  <noscript>for no script</noscript><svg><text>drawn</text></svg><script>alert("evil")</script>
  <p>Fish &amp; chips &lt;b&gt;</p></article><footer>imprint</footer></body></html>`;

test("a page is its article, with where it is from, what it is called, and when it was read", async () => {
  await using there = await start(html(article));
  const { text, labels, source } = await there.fetch("http://public.example/a/b");
  expect([labels, source]).toEqual([["untrusted"], "a page of public.example"]);
  expect(text).toMatch(
    /^Title: The page\nFrom http:\/\/public\.example\/a\/b, read \d{4}-\d\d-\d\dT[\d:.]+Z\n\n/,
  );
  for (const part of [
    ...["## Heading", "this link (http://public.example/z?q=1)", "- one", "Fish & chips <b>"],
    "code  with\n    its form",
  ])
    expect(text).toContain(part);
  expect(text).not.toMatch(
    /evil|color|javascript|hidden words|unseen|no script|drawn|Menu|imprint/,
  );
});

test("a page of contents is all that it says", async () => {
  await using there = await start(
    html(
      "<title>List</title><ul><li><a href='/1'>first</a><li><a href='//other.example/2'>second</a></ul>",
    ),
  );
  const { text } = await there.fetch("http://public.example/");
  expect(text).toContain("- first (http://public.example/1)\n- second (http://other.example/2)");
});

test.for([
  "words",
  "<p>words",
  "<body>words",
  "<!doctype html><title>x</title><p>words",
  "<!doctype html><head><title>x</title></head><body>words</body>",
  "<html><title>x</title>words",
  "<HTML><HEAD><TITLE>x</TITLE></HEAD><BODY><P>words</BODY></HTML> ",
])("a page may leave out what it likes: %s", async (page) => {
  await using there = await start(html(page));
  expect((await there.fetch("http://public.example/")).text).toMatch(/Z\n\nwords$/);
});

test("after redirects it names the page that it came from in the end", async () => {
  await using there = await start(({ headers }, response) => {
    response.setHeader("content-type", "text/plain");
    if (headers.host === "one.example")
      response.writeHead(302, { location: "http://two.example/x" });
    response.end("hello");
  });
  const { text, source } = await there.fetch("http://one.example/");
  expect([text, source]).toEqual([
    expect.stringMatching(/^From http:\/\/two\.example\/x, .*\n\nhello$/),
    "a page of two.example",
  ]);
});

describe("the encoding of a page is", () => {
  const page = (meta: string) =>
    `<html><head>${meta}<title>x</title></head><body>Grüße</body></html>`;
  test.for<[string, string, Buffer]>([
    ["the header's", "text/html; Charset=ISO-8859-1", Buffer.from(page(""), "latin1")],
    ["its own word", "text/html", Buffer.from(page("<meta charset=windows-1252>"), "latin1")],
    [
      "its older own word",
      "text/html",
      Buffer.from(page('<meta http-equiv=x content="text/html; charset=latin1">'), "latin1"),
    ],
    ["UTF-8 where none is named", "text/html", Buffer.from(page(""))],
    ["UTF-8 where none knows it", "text/html; charset=klingon", Buffer.from(page(""))],
    ["its mark", "text/html; charset=latin1", Buffer.from(`\ufeff${page("")}`)],
    ["its mark in UTF-16", "text/html", Buffer.from(`\ufeff${page("")}`, "utf16le")],
    ["not UTF-16 by its own word", "text/html", Buffer.from(page("<meta charset=utf-16le>"))],
  ])("%s", async ([, type, bytes]) => {
    await using there = await start(html(bytes, type));
    expect((await there.fetch("http://public.example/")).text).toMatch(/\n\nGrüße$/);
  });

  test("Japanese, too", async () => {
    const bytes = Buffer.from([0x82, 0xb1, 0x82, 0xf1, 0x82, 0xc9, 0x82, 0xbf, 0x82, 0xcd]);
    await using there = await start(html(bytes, "text/plain; charset=shift_jis"));
    expect((await there.fetch("http://public.example/")).text).toMatch(/こんにちは$/);
  });
});

describe("a hostile page", () => {
  test("with elements 20,000 deep is read", async () => {
    await using there = await start(html(`<body>${"<div>".repeat(20_000)}deep`));
    expect((await there.fetch("http://public.example/")).text).toMatch(/\n\ndeep$/);
  });

  test.for<[string, string]>([
    ["1 MiB of nested elements", "<div>".repeat(209_715)],
    ["more nodes than memory holds", `<body>${"&amp;&lt;".repeat(230_000)}`],
  ])("of %s ends within its bounds, and the next one is read", async ([, page]) => {
    let body = page;
    await using there = await start(
      (_, response) => void response.writeHead(200, { "content-type": "text/html" }).end(body),
    );
    expect(await code(there.fetch("http://public.example/"))).toBe("page-unreadable");
    body = "<p>fine";
    expect((await there.fetch("http://public.example/")).text).toMatch(/\n\nfine$/);
  });

  test("of more than 2 MiB is not parsed, also where it is small on the way", async () => {
    await using there = await start((_, response) => {
      response.writeHead(200, { "content-type": "text/html", "content-encoding": "gzip" });
      response.end(gzipSync(" ".repeat(2 * 1_048_576 + 1)));
    });
    expect(await code(there.fetch("http://public.example/"))).toBe("too-big");
  });

  test("writes no control characters, and only one line of a title", async () => {
    await using there = await start(
      html("<title>a\nFrom http://bank.example/, read\u001b[2J</title><p>x\u001b]52;c;AAAA\u0007y"),
    );
    const { text } = await there.fetch("http://public.example/");
    expect(text.split("\n")[0]).toBe("Title: a From http://bank.example/, read[2J");
    expect(text).not.toMatch(/[^\P{Cc}\n]/u);
  });

  test("that nobody waits for any more is let go", async () => {
    const stop = new AbortController();
    await using there = await web((_, response) => {
      response.writeHead(200, { "content-type": "text/html" });
      response.end(`<body>${"&amp;&lt;".repeat(230_000)}`);
      response.on("close", () => stop.abort());
    });
    const [tool] = webTools({
      egress: there.egress,
      contents,
      seen: () => true,
      search: undefined,
    });
    const args = { url: "http://public.example/", offset: 0 };
    expect(await code((tool as OwnTool).run(args, context(), stop.signal))).toBe("cancelled");
  });
});

describe("what is not HTML", () => {
  test.for([
    ["text/plain", "a\r\nb", "a\nb"],
    ["text/markdown; charset=utf-8", "# A\n\n* b", "# A\n\n* b"],
    ["application/json", '{"a": "<b>"}', '{"a": "<b>"}'],
    ["application/feed+json", "[]", "[]"],
    ["application/rss+xml", "<rss><title>t</title></rss>", "<rss><title>t</title></rss>"],
  ])("as %s is told as it is", async ([type, body, told]) => {
    await using there = await start(html(body ?? "", type));
    expect((await there.fetch("http://public.example/")).text.split("Z\n\n")[1]).toBe(told);
  });

  test.for([
    ["image/png", "image/png", true],
    ["application/pdf", "application/pdf", false],
    ["../../x; y", "application/octet-stream", false],
    [undefined, "application/octet-stream", false],
  ] as const)("as %s is kept as a file", async ([given, type, picture]) => {
    const bytes = Buffer.from(`bytes of ${type}`);
    await using there = await start(
      (_, response) => void response.writeHead(200, given && { "content-type": given }).end(bytes),
    );
    const { text, pictures, labels } = await there.fetch("http://public.example/x");
    const sha256 = /kept as ([0-9a-f]{64})\.$/.exec(text)?.[1] ?? "";
    expect(text).toContain(`A file of type ${type}, ${bytes.length} bytes`);
    expect(labels).toEqual(["untrusted"]);
    expect(pictures).toEqual(picture ? [{ sha256, type, bytes: bytes.length }] : undefined);
    expect(readFileSync(contents.find(sha256, type, bytes.length) ?? "")).toEqual(bytes);
    expect(readdirSync(join(folder, "partial"))).toEqual([]);
  });

  test("is not there where the server says so", async () => {
    await using there = await start((_, response) => void response.writeHead(404).end("nothing"));
    await expect(there.fetch("http://public.example/")).rejects.toThrow(
      "public.example answers with status 404",
    );
  });
});

test("a long text comes in parts of at most 16,384 characters, without a gap", async () => {
  const long = Array.from({ length: 5_000 }, (_, n) => `line ${n}`).join("\n");
  await using there = await start(html(long, "text/plain"));
  let all = "";
  let offset: number | undefined = 0;
  for (let part = 0; offset !== undefined && part < 10; part++) {
    const { text } = await there.fetch("http://public.example/", { offset });
    expect(text.length).toBeLessThanOrEqual(16_384);
    const body = text.slice(text.indexOf("\n\n") + 2);
    const cut = /\n\n\[Cut: (\d+) characters in all\. Read on with offset (\d+)\.\]$/.exec(body);
    all += cut ? body.slice(0, cut.index) : body;
    if (cut) expect(Number(cut[1])).toBe(long.length);
    offset = cut ? Number(cut[2]) : undefined;
  }
  expect(all).toBe(long);
  const { text } = await there.fetch("http://public.example/", { offset: 1_000_000 });
  expect(text).toMatch(/\[Nothing more here\.\]$/);
});

describe("an address that a model composed", () => {
  const url = "http://public.example/?q=secret";
  const seen = (_: string, given: string) => given === "http://public.example/?q=told";

  test("is not fetched once it read what is private and what others wrote", async () => {
    await using there = await start(html("x"), seen);
    expect(await code(there.fetch(url, {}, context("untrusted", "private")))).toBe(
      "address-unseen",
    );
    expect(there.dialled).toEqual([]);
    for (const labels of [[], ["private"], ["untrusted"]] as const)
      await there.fetch(url, {}, context(...labels));
    await there.fetch("http://public.example/?q=told", {}, context("untrusted", "private"));
    expect(there.dialled).toHaveLength(4);
  });

  test("has a query of at most 2,048 characters once it read what others wrote", async () => {
    await using there = await start(html("x"));
    const long = (chars: number) => `http://public.example/?${"x".repeat(chars - 1)}`;
    await there.fetch(long(2_048), {}, context("untrusted"));
    expect(await code(there.fetch(long(2_049), {}, context("untrusted")))).toBe("address-refused");
    await there.fetch(long(2_049));
    expect(there.dialled).toHaveLength(2);
  });
});
