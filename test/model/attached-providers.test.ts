/** What goes along with words: pictures, PDFs and texts, as each service takes them, or named where it does not. */
import type { Item, Picture, ProviderKind } from "@kith/gateway/model/provider";
import { openProvider } from "@kith/gateway/model/providers/open";
import { describe, expect, test } from "vitest";
import { anthropic } from "../support/models/anthropic.ts";
import { chat } from "../support/models/chat.ts";
import { ollama } from "../support/models/ollama.ts";
import { responses } from "../support/models/responses.ts";
import { ModelServer, type Wire } from "../support/models/server.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const picture: Picture = { type: "image/jpeg", data: bytes("a photo") };
const pdf: Picture = { type: "application/pdf", name: "bill.pdf", data: bytes("%PDF-1.7") };
const note: Picture = { type: "text/plain", name: "note.txt", data: bytes("Grüße") };
const sound: Picture = { type: "audio/ogg", name: "song.ogg", data: bytes("OggS") };
const base64 = ({ data }: Picture) => Buffer.from(data).toString("base64");

const rows: [ProviderKind, Wire, boolean][] = [
  ["anthropic", anthropic, true],
  ["openai", responses, true],
  ["openai-compatible", chat, false],
  ["ollama", ollama, false],
];

/** The same things said by a person, and brought by a tool. */
const places: [string, (pictures: readonly Picture[]) => Item[]][] = [
  ["a person's words", (pictures) => [{ role: "user", text: "look", pictures }]],
  [
    "a tool's result",
    (pictures) => [
      { role: "user", text: "look" },
      { role: "assistant", text: "", calls: [{ id: "c1", name: "files_read", args: {} }] },
      { role: "tool", call: "c1", name: "files_read", text: "read", pictures },
    ],
  ],
];

describe.each(rows)("%s", (provider, wire, takesPdf) => {
  describe.each(places)("in %s", (_where, itemsOf) => {
    async function sent(...pictures: Picture[]) {
      await using server = await ModelServer.start(wire, { text: ["ok"] });
      const model = await openProvider({ provider, name: "m", baseUrl: server.baseUrl });
      const request = { system: "", items: itemsOf(pictures), tools: [], maxTokens: 100 };
      let last: unknown;
      for await (const one of model.stream(request, new AbortController().signal)) last = one;
      expect(last).toMatchObject({ type: "end", why: "done" });
      return JSON.stringify(server.requests[0]?.body);
    }

    test("a picture goes as one", async () => {
      expect(await sent(picture)).toContain(base64(picture));
    });

    test(takesPdf ? "a PDF goes as one" : "a PDF is named, and its bytes stay here", async () => {
      const body = await sent(pdf);
      expect(body.includes(base64(pdf))).toBe(takesPdf);
      expect(body).toContain("bill.pdf");
      if (!takesPdf) expect(body).toContain("takes no PDF");
      else expect(body).toMatch(/"type":"document"|"type":"input_file"/);
    });

    test("a text is read as such", async () => {
      expect(await sent(note)).toContain("note.txt (text/plain):\\nGrüße");
    });

    test("a text of 256 KiB is read, one byte more is not", async () => {
      const most = { ...note, data: bytes("x".repeat(256 * 1_024)) };
      expect(await sent(most)).toContain("xxxx");
      const more = await sent({ ...note, data: bytes("x".repeat(256 * 1_024 + 1)) });
      expect(more).toContain("too long to be shown");
      expect(more).not.toContain("xxxx");
    });

    test("what no model reads is named", async () => {
      const body = await sent(sound);
      expect(body).toContain("(song.ogg cannot be shown to this model: audio/ogg)");
      expect(body).not.toContain(base64(sound));
    });
  });
});

test("a PDF of more than 16 MiB stays here", async () => {
  const { shown } = await import("@kith/gateway/model/providers/item");
  const big = (more: number) => ({ ...pdf, data: new Uint8Array(16 * 1_048_576 + more) });
  const of = (one: Picture) => shown({ role: "user", text: "", pictures: [one] }, true);
  expect(of(big(0)).pdfs).toHaveLength(1);
  expect(of(big(1))).toMatchObject({ pdfs: [], text: expect.stringContaining("too big") });
});
