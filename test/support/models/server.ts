/**
 * A stand-in for a model's service on loopback: a wire says how it speaks, a script what it answers,
 * one script for each request. It refuses what the real one refuses, and keeps what it was asked.
 */
import { createHash } from "node:crypto";
import { type IncomingHttpHeaders, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate } from "node:timers/promises";

export interface ScriptedCall {
  readonly id: string;
  readonly name: string;
  /** The arguments as the model wrote them, JSON or not. */
  readonly json: string;
}

export interface Script {
  /** Instead of an answer. */
  readonly status?: number;
  readonly words?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A web page, with status 200. */
  readonly page?: string;
  /** The first before its text, each other before the call of its number, counted from 1. */
  readonly thoughts?: readonly string[];
  /** Pieces. */
  readonly text?: readonly string[];
  readonly calls?: readonly ScriptedCall[];
  /** The last call's arguments stop in their middle. */
  readonly half?: boolean;
  readonly stop?: "length" | "refused";
  /** Instead of the proper end: an error in the stream, the socket destroyed, a clean end too early, nothing more. */
  readonly ending?: "error" | "overloaded" | "cut" | "end" | "silence";
  /** Bytes that are sent after all that, as they are. */
  readonly junk?: string;
  /** The first byte comes after this. */
  readonly after?: Promise<unknown>;
}

/** How one service speaks. */
export interface Wire {
  readonly base: string;
  readonly path: string;
  readonly type: string;
  refusal(status: number, words: string): object;
  /** Why the real one answers 400. */
  objection(body: any): string | undefined;
  begin(usage: Usage): string;
  thought(text: string): string;
  text(piece: string): string;
  /** `whole` is false where its arguments were cut. */
  call(call: ScriptedCall, index: number, whole: boolean): string;
  end(stop: Script["stop"], calls: number, usage: Usage): string;
  error(kind: "error" | "overloaded"): string;
  /** The pictures of a request, in base64. */
  pictures(body: any): string[];
  /** What its model reads, in order; what ends at a mark is kept. A service without marks keeps everything. */
  reads(body: any): readonly Read[];
}

export interface Read {
  readonly text: string;
  readonly marked?: boolean;
}

export interface Usage {
  readonly input: number;
  readonly cached: number;
  readonly output: number;
}
export const USAGE: Usage = { input: 120, cached: 100, output: 7 };

export class ModelServer {
  readonly requests: { readonly headers: IncomingHttpHeaders; readonly body: any }[] = [];
  readonly usages: Usage[] = [];
  /** Connections that the other side ended before the answer did. */
  left = 0;
  /** The key that it wants. */
  key: string | undefined;
  /** Instead of scripts: by what it is asked, and how often it was asked by then. */
  replies: ((body: any, n: number) => Script) | undefined;
  /** Counts what it reads, instead of saying always the same. */
  counts = false;
  readonly #before: string[] = [];
  readonly #wire: Wire;
  readonly #scripts: Script[];
  readonly #server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => (text += chunk));
    request.on("end", () => void this.#answer(request.headers, request.url, text, response));
    response.on("close", () => (this.left += response.writableFinished ? 0 : 1));
  });

  private constructor(wire: Wire, scripts: readonly Script[]) {
    this.#wire = wire;
    this.#scripts = [...scripts];
  }

  static async start(wire: Wire, ...scripts: readonly Script[]): Promise<ModelServer> {
    const server = new ModelServer(wire, scripts);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get baseUrl(): string {
    return `http://${this.host}${this.#wire.base}`;
  }

  get pictures(): string[] {
    return this.#wire.pictures(this.requests.at(-1)?.body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Four letters are a token. What is cached is a true prefix of what was read before, byte for byte. */
  #usage(body: unknown): Usage {
    const reads = this.#wire.reads(body);
    const prefixes = [""];
    for (const { text } of reads) prefixes.push((prefixes.at(-1) ?? "") + text);
    const whole = prefixes.at(-1) ?? "";
    const marks = reads.flatMap(({ marked }, at) => (marked ? [at + 1] : []));
    const hit =
      marks.length > 0
        ? // As Anthropic's looks for what is kept: at each mark, and twenty blocks back from it.
          prefixes.findLast(
            (prefix, at) =>
              marks.some((mark) => at <= mark && at > mark - 20) && this.#before.includes(prefix),
          )?.length
        : // As OpenAI's: from 1,024 tokens on, in steps of 128.
          Math.max(0, ...this.#before.map((one) => common(one, whole)));
    const step = marks.length > 0 ? 1 : 512;
    const cached = Math.floor((hit ?? 0) / step) * step;
    this.#before.push(...(marks.length > 0 ? marks.map((mark) => prefixes[mark] ?? "") : [whole]));
    return {
      input: Math.ceil(whole.length / 4),
      cached: marks.length > 0 || cached >= 4_096 ? Math.floor(cached / 4) : 0,
      output: USAGE.output,
    };
  }

  async #answer(
    headers: IncomingHttpHeaders,
    url: string | undefined,
    text: string,
    response: ServerResponse,
  ): Promise<void> {
    const wire = this.#wire;
    const body = JSON.parse(text);
    this.requests.push({ headers, body });
    const script = this.replies?.(body, this.requests.length) ??
      this.#scripts.shift() ?? { status: 500, words: "no script is left" };
    const refuse = (status: number, words: string, more = {}) =>
      void response
        .writeHead(status, { "content-type": "application/json", ...more })
        .end(JSON.stringify(wire.refusal(status, words)));
    await script.after;
    if (url !== wire.base + wire.path) return refuse(404, "no such page");
    if (this.key !== undefined && headers.authorization !== `Bearer ${this.key}`)
      return refuse(401, `invalid key: ${headers.authorization}`);
    if (script.status !== undefined)
      return refuse(script.status, script.words ?? "it said no", script.headers);
    if (script.page !== undefined)
      return void response.writeHead(200, { "content-type": "text/html" }).end(script.page);
    const objection = wire.objection(body);
    if (objection) return refuse(400, objection);

    response.writeHead(200, { "content-type": wire.type });
    response.flushHeaders();
    const { text: pieces = [], calls = [], half = false, stop, ending, junk = "" } = script;
    const thoughts = script.thoughts?.map((one) => wire.thought(one)) ?? [];
    const usage = this.counts ? this.#usage(body) : USAGE;
    this.usages.push(usage);
    let out = wire.begin(usage) + (thoughts[0] ?? "");
    for (const piece of pieces) out += wire.text(piece);
    calls.forEach(({ id, name, json }, index) => {
      out += thoughts[index + 1] ?? "";
      const whole = !half || index < calls.length - 1;
      const part = whole ? json : json.slice(0, json.length / 2);
      out += wire.call({ id, name, json: part }, index, whole);
    });
    out += junk;
    if (ending === "error" || ending === "overloaded") out += wire.error(ending);
    else if (ending === undefined) out += wire.end(stop, calls.length, usage);
    await send(response, out);
    if (ending === "cut") response.destroy();
    else if (ending !== "silence") response.end();
  }
}

/** How many letters two texts begin with alike. */
function common(one: string, other: string): number {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  return at;
}

/** In packets that end anywhere: within a line, a letter, an escape. */
async function send(response: ServerResponse, text: string): Promise<void> {
  const bytes = Buffer.from(text);
  const size = bytes.length > 8_192 ? 60_001 : 61;
  for (let at = 0; at < bytes.length && !response.destroyed; at += size) {
    response.write(bytes.subarray(at, at + size));
    await setImmediate();
  }
}

/** As a service signs or encrypts what its model thought. */
export const sealOf = (text: string): string =>
  createHash("sha256").update(text).digest("base64url");

/** Server-sent events. */
export const sse = (data: object | string, event?: string): string =>
  `${event ? `event: ${event}\n` : ""}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
