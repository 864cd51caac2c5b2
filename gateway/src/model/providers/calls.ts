/** The calls of one answer: gathered while they are written, told when the answer is whole. */
import { randomUUID } from "node:crypto";
import type { ModelEvent, ToolCall } from "../provider.ts";
import { TEXT_BYTES } from "./answer.ts";
import { type Service, badAnswer } from "./failure.ts";

/** Of one answer. */
const CALLS = 64;
/** A tool's name; the longest that a service permits us to offer is 64. */
const NAME_CHARS = 128;
/** Deeper arguments are no capability's, and a stack may be shorter than a text. */
const DEPTH = 32;
/** What every service takes back as an id. */
const USUAL_ID = /^[\w-]{1,64}$/;

interface Written {
  readonly id: string;
  readonly name: string;
  json: string;
}

export class Calls {
  readonly #service: Service;
  /** In the order in which they began, by the service's own index. */
  readonly #calls = new Map<number, Written>();
  #bytes = 0;

  constructor(service: Service) {
    this.#service = service;
  }

  get size(): number {
    return this.#calls.size;
  }

  has(index: number): boolean {
    return this.#calls.has(index);
  }

  /** `id`: what is missing, not usual or not alone is replaced; the services only compare it. */
  begin(index: number, id: string | null | undefined, name: string): void {
    if (this.#calls.size >= CALLS) throw badAnswer(this.#service, `made more than ${CALLS} calls`);
    if (name === "" || name.length > NAME_CHARS)
      throw badAnswer(this.#service, "made a call without a usable name");
    const taken = [...this.#calls.values()].some((call) => call.id === id);
    const usable = id && !taken && USUAL_ID.test(id);
    this.#calls.set(index, { id: usable ? id : `call_${randomUUID()}`, name, json: "" });
  }

  /** A call that comes whole; `args` may be parsed already. */
  add(id: string | undefined, name: string, args: unknown): void {
    const index = this.#calls.size;
    this.begin(index, id, name);
    this.append(index, typeof args === "string" ? args : jsonOf(args));
  }

  /** The next piece of a call's arguments. What belongs to no call is something else's. */
  append(index: number, json: string): void {
    const call = this.#calls.get(index);
    if (!call) return;
    this.#bytes += Buffer.byteLength(json);
    if (this.#bytes > TEXT_BYTES)
      throw badAnswer(this.#service, "wrote more than 256 KiB of arguments");
    call.json += json;
  }

  /** The one that was being written when the answer was cut. */
  dropLast(): void {
    const last = [...this.#calls.keys()].at(-1);
    if (last !== undefined) this.#calls.delete(last);
  }

  /** The last events of an answer. Who refuses asks for nothing. */
  *end(
    why: "done" | "length" | "refused",
    usage: Omit<Extract<ModelEvent, { type: "usage" }>, "type" | "model"> | undefined,
  ): Generator<ModelEvent> {
    const calls = why === "refused" ? [] : [...this.#calls.values()];
    for (const call of calls) yield { type: "call", call: toCall(call) };
    if (usage) yield { type: "usage", model: this.#service.model, ...usage };
    yield { type: "end", why: why === "done" && calls.length > 0 ? "calls" : why };
  }
}

function toCall({ id, name, json }: Written): ToolCall {
  // A call without arguments may have no text at all.
  return { id, name, args: json.trim() === "" ? {} : argsOf(json) };
}

function argsOf(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    const isArgs = isObject(value) && !Array.isArray(value) && !isDeeper(value, DEPTH);
    return isArgs ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // No JSON: the model is told, and may try again.
  }
}

/** What cannot be written reads as no arguments. */
const jsonOf = (args: unknown): string =>
  isObject(args) && !isDeeper(args, DEPTH) ? JSON.stringify(args) : "null";

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

function isDeeper(value: object, levels: number): boolean {
  return (
    levels === 0 || Object.values(value).some((one) => isObject(one) && isDeeper(one, levels - 1))
  );
}
