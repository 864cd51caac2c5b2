/**
 * A model's service that fails, and says the key that it was given while it does: each form of failure, in each
 * form of writing. It keeps the keys that it got.
 */
import { once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { chat } from "./chat.ts";
import { USAGE } from "./server.ts";

type Way = (key: string, response: ServerResponse, request: IncomingMessage) => void;

const json = (response: ServerResponse, status: number, body: object, headers = {}): void =>
  void response
    .writeHead(status, { "content-type": "application/json", ...headers })
    .end(JSON.stringify(body));
const coded = (key: string, form: "base64" | "hex" | "base64url"): string =>
  Buffer.from(key).toString(form);
const begin = (response: ServerResponse): ServerResponse =>
  response.writeHead(200, { "content-type": chat.type });

export const ways: Readonly<Record<string, Way>> = {
  "401, and the key": (key, response) =>
    json(response, 401, { error: { message: `invalid key: ${key}` } }),
  "403, and the key in base64": (key, response) =>
    json(response, 403, { error: { message: coded(key, "base64"), type: key } }),
  "400, and the key": (key, response) =>
    json(response, 400, { error: { message: `bad header Bearer ${key}`, code: key } }),
  "404, and the key in a page": (key, response) =>
    void response.writeHead(404, { "content-type": "text/html" }).end(`<h1>${key}</h1>`),
  "404, no model of that key": (key, response) =>
    json(response, 404, { error: { message: `model not found for ${key}` } }),
  "429, and the key in hex": (key, response) =>
    json(response, 429, { error: { message: coded(key, "hex") } }, { "retry-after": "1" }),
  "500, and the key": (key, response) => json(response, 500, { error: { message: key } }),
  "503, and the key in base64 for addresses": (key, response) =>
    void response.writeHead(503).end(coded(key, "base64url")),
  "302, with the key in the address": (key, response) =>
    void response.writeHead(302, { location: `/elsewhere?key=${encodeURIComponent(key)}` }).end(),
  "529, and headers of the key": (key, response) =>
    json(response, 529, { error: { type: key } }, { "x-request-id": key, "retry-after": key }),
  "an error in the stream, of the key": (key, response) =>
    void begin(response).end(
      `data: ${JSON.stringify({ error: { message: `no ${key}`, type: key } })}\n\n`,
    ),
  "an answer that is none, of the key": (key, response) =>
    void begin(response).end(`data: {"choices": "${key}`),
  "an answer of another kind, the key": (key, response) =>
    json(response, 200, [key, { [key]: key }]),
  "a call with the key in its broken arguments": (key, response) =>
    void begin(response).end(
      chat.begin(USAGE) + chat.call({ id: "c", name: "nothing", json: `{"${key}` }, 0, false),
    ),
  "the socket destroyed after the key": (key, response) => {
    begin(response).write(`data: {"k":"${key}"}\n\n`);
    response.socket?.destroySoon();
  },
};

export class EchoService {
  readonly keys: string[] = [];
  readonly bodies: string[] = [];
  readonly #way: Way;
  readonly #server = createServer((request, response) => {
    const key = (request.headers.authorization ?? "").replace("Bearer ", "");
    let body = `${request.url} `;
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      this.keys.push(key);
      this.bodies.push(body);
      this.#way(key, response, request);
    });
  });

  private constructor(way: Way) {
    this.#way = way;
  }

  static async start(way: Way): Promise<EchoService> {
    const service = new EchoService(way);
    service.#server.listen(0, "127.0.0.1");
    await once(service.#server, "listening");
    return service;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
