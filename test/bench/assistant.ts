/**
 * What a turn with a language model costs beside the model: the shipped gateway on a synced disk, asked over
 * its control socket, and a service on loopback that answers at once. Its own time is taken off.
 */
import { once } from "node:events";
import { appendFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { newId } from "@kith/shared/ids";
import { systemClock, systemRng } from "@kith/shared/clock";
import { type Report, quantile } from "../report/report.ts";
import { Control } from "../support/control.ts";
import type { BenchPart } from "./part.ts";
import { Product } from "./product.ts";
import { oneSync } from "./rig.ts";

const TURNS = 200;
const WARM = 20;

/** Chat Completions as a stream: one piece of text, and the rest when it is told to. */
class Service implements AsyncDisposable {
  /** When a request was there whole, and when its first piece left. */
  came = 0;
  left = 0;
  /** When the last answer was out. */
  ended = 0;
  /** Holds back what follows the first piece. */
  rest: Promise<unknown> = Promise.resolve();
  readonly #server = createServer((request, response) => {
    request.resume().on("end", () => void this.#answer(response));
  });

  static async start(): Promise<Service> {
    const service = new Service();
    service.#server.listen(0, "127.0.0.1");
    await once(service.#server, "listening");
    return service;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  async #answer(response: ServerResponse): Promise<void> {
    this.came = performance.now();
    const piece = (delta: object, finish: string | null) =>
      `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
    response.writeHead(200, { "content-type": "text/event-stream" });
    this.left = performance.now();
    response.write(piece({ role: "assistant", content: "Well. " }, null));
    await this.rest;
    response.end(`${piece({ content: "Yes." }, null)}${piece({}, "stop")}data: [DONE]\n\n`);
    this.ended = performance.now();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

async function measure(report: Report): Promise<void> {
  await using service = await Service.start();
  await using product = await Product.make();
  const model = `model:\n  provider: openai-compatible\n  name: m\n  baseUrl: ${service.baseUrl}\n`;
  appendFileSync(join(product.home, "config.yaml"), model);
  await product.gateway();
  let heard = Promise.withResolvers<number>();
  let anew = Promise.withResolvers<void>();
  let drafted = Promise.withResolvers<number>();
  using control = await Control.open(product.home, (event, data) => {
    if (event === "chat.draft") drafted.resolve(performance.now());
    if (event !== "chat.message") return;
    control.call("chat.seen", { message: data.id }).catch(() => {}); // At the end nobody waits.
    if (String(data.text).startsWith("Well.")) heard.resolve(performance.now());
    if (String(data.text).startsWith("I begin anew")) anew.resolve();
  });
  await control.call("chat.open");
  const overhead: number[] = [];
  const first: number[] = [];
  for (let n = 0; n < 2 * (TURNS + WARM); n++) {
    [heard, drafted] = [Promise.withResolvers(), Promise.withResolvers()];
    anew = Promise.withResolvers();
    // In turn: an answer at once, and one that waits until its first piece is seen.
    const held = n % 2 === 1;
    const rest = Promise.withResolvers<void>();
    service.rest = held ? rest.promise : Promise.resolve();
    const began = performance.now();
    const id = newId(systemClock, systemRng);
    void control.call("chat.say", { text: `are you there, for the time ${n}?`, id });
    const seen = held ? await drafted.promise : 0;
    rest.resolve();
    const ended = await heard.promise;
    // A conversation of its own each time: what grows with it is the model's time, not ours.
    await control.call("chat.say", { text: "/new", id: newId(systemClock, systemRng) });
    await anew.promise;
    if (n < 2 * WARM) continue;
    if (held) first.push(seen - service.left);
    else overhead.push(ended - began - (service.ended - service.came));
  }
  report.figure("assistant.overhead_p50", quantile(overhead, 0.5), {
    unit: "ms",
    baseline: oneSync(),
    ratio: null,
    goal: { op: "<=", value: 10 },
  });
  report.figure("assistant.overhead_p95", quantile(overhead, 0.95), { unit: "ms" });
  report.figure("assistant.first_text_p50", quantile(first, 0.5), {
    unit: "ms",
    goal: { op: "<=", value: 10 },
  });
  report.figure("assistant.first_text_p95", quantile(first, 0.95), { unit: "ms" });
}

export const assistant: BenchPart = {
  name: "assistant",
  title: "a turn with a language model, beside the model",
  run: measure,
};
