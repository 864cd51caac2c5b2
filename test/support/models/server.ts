/**
 * A stand-in for a model's service on loopback: a wire says how it speaks, a script what it answers,
 * one script for each request. It refuses what the real one refuses, and keeps what it was asked.
 */
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
  begin(): string;
  text(piece: string): string;
  /** `whole` is false where its arguments were cut. */
  call(call: ScriptedCall, index: number, whole: boolean): string;
  end(stop: Script["stop"], calls: number): string;
  error(kind: "error" | "overloaded"): string;
  /** The pictures of a request, in base64. */
  pictures(body: any): string[];
}

export const USAGE = { input: 120, cached: 100, output: 7 } as const;

export class ModelServer {
  readonly requests: { readonly headers: IncomingHttpHeaders; readonly body: any }[] = [];
  /** Connections that the other side ended before the answer did. */
  left = 0;
  /** The key that it wants. */
  key: string | undefined;
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

  async #answer(
    headers: IncomingHttpHeaders,
    url: string | undefined,
    text: string,
    response: ServerResponse,
  ): Promise<void> {
    const wire = this.#wire;
    const body = JSON.parse(text);
    this.requests.push({ headers, body });
    const script = this.#scripts.shift() ?? { status: 500, words: "no script is left" };
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
    const objection = wire.objection(body);
    if (objection) return refuse(400, objection);

    response.writeHead(200, { "content-type": wire.type });
    response.flushHeaders();
    const { text: pieces = [], calls = [], half = false, stop, ending, junk = "" } = script;
    let out = wire.begin();
    for (const piece of pieces) out += wire.text(piece);
    calls.forEach(({ id, name, json }, index) => {
      const whole = !half || index < calls.length - 1;
      const part = whole ? json : json.slice(0, json.length / 2);
      out += wire.call({ id, name, json: part }, index, whole);
    });
    out += junk;
    if (ending === "error" || ending === "overloaded") out += wire.error(ending);
    else if (ending === undefined) out += wire.end(stop, calls.length);
    await send(response, out);
    if (ending === "cut") response.destroy();
    else if (ending !== "silence") response.end();
  }
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

/** Server-sent events. */
export const sse = (data: object | string, event?: string): string =>
  `${event ? `event: ${event}\n` : ""}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
