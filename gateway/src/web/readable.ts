/**
 * Readable text of a page that nobody trusts, made in a cage: a page of 2 MiB can fill any heap, and a thread
 * whose heap is full takes the whole process with it.
 */
import { KithError } from "@kith/shared/errors";
import * as v from "valibot";
import { runCaged } from "../cage.ts";
import type { Page, Text } from "./readable.child.ts";

/** 2 MiB of ordinary HTML take a second. */
const LIMIT_MS = 5_000;
/** A link may grow when its address becomes whole. */
const MOST_BYTES = 8 * 1_048_576;

const answer = v.strictObject({ title: v.string(), text: v.string() });

/** Pages are read one after the other, so that hostile ones do not add up. */
let before: Promise<unknown> = Promise.resolve();

/** @throws KithError page-unreadable, cancelled */
export function readable(page: Page, signal: AbortSignal): Promise<Text> {
  const text = before.then(() => parse(page, signal));
  before = text.catch(() => {}); // Whoever asked hears of it.
  return text;
}

async function parse(page: Page, signal: AbortSignal): Promise<Text> {
  try {
    const output = await runCaged({
      ...{ called: "reading the page", script: besideUs(), input: JSON.stringify(page), signal },
      ...{ limitMs: LIMIT_MS, mostBytes: MOST_BYTES, heapMib: 256, jit: true },
      // No process, no file written, from Node 25 on no network: there is nothing that it needs.
      flags: ["--permission", "--allow-fs-read=*"],
    });
    return v.parse(answer, JSON.parse(output.toString()));
  } catch (cause) {
    if (cause instanceof KithError && cause.code === "cancelled") throw cause;
    throw new KithError("page-unreadable", "the page cannot be turned into text", { cause });
  }
}

/** From source the child is TypeScript as we are; in the bundle it lies beside `gateway.mjs`. */
function besideUs(): URL {
  const here = import.meta.url;
  return new URL(here.endsWith(".ts") ? "./readable.child.ts" : "./readable.child.mjs", here);
}
