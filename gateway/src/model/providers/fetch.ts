/**
 * How a model's service is fetched from: what the SDKs and we ask goes through here, so that one
 * place bounds what a service may send and where it may send us.
 */
import type { Secret } from "../../secret.ts";
import type { Counted } from "../provider.ts";

export type Fetch = typeof fetch;

/** Of one body, in bytes: 256 KiB of text came in pieces of one letter, each in 200 bytes of JSON. */
const BODY_BYTES = 64 * 1_048_576;
/** Of one line, in bytes: the last one of OpenAI repeats the whole answer, and every tool. */
const LINE_BYTES = 4 * 1_048_576;
/** Of what explains a refusal. */
const REFUSAL_BYTES = 64 * 1_024;
/** Longest wait that a service is granted before the SDK asks again; it would wait for days. */
const WAIT_S = 20;

/**
 * `fetch` that follows nobody elsewhere, where the conversation would go too, reads within bounds, and is counted. It
 * sends the key and `more` as headers and none that an SDK adds: those come from the environment, too, and the key's may.
 */
export const boundedFetch =
  (host: string, key: Secret | undefined, counted: Counted) =>
  (more: Readonly<Record<string, string>> = {}): Fetch =>
  async (url, init) => {
    counted(host, 1, 0);
    const headers = {
      accept: "application/json",
      "content-type": "application/json",
      ...more,
      ...key?.use((value) => ({ authorization: `Bearer ${value}` })),
    };
    const response = await fetch(url, { ...init, headers, redirect: "manual" });
    return bounded(response, (bytes) => counted(host, 0, bytes));
  };

function bounded(response: Response, counted: (bytes: number) => void): Response {
  const headers = new Headers(response.headers);
  // As a date it is rare, and ends with the patience for silence.
  if (Number(headers.get("retry-after")) > WAIT_S) headers.set("x-should-retry", "false");
  const { status, statusText } = response;
  const most = response.ok ? BODY_BYTES : REFUSAL_BYTES;
  const body = response.body?.pipeThrough(limit(most, counted)) ?? null;
  return new Response(body, { status, statusText, headers });
}

function limit(
  mostBytes: number,
  counted: (bytes: number) => void,
): TransformStream<Uint8Array, Uint8Array> {
  let body = 0;
  let line = 0;
  return new TransformStream({
    transform(bytes, out) {
      counted(bytes.length);
      body += bytes.length;
      const end = bytes.lastIndexOf(10);
      line = end === -1 ? line + bytes.length : bytes.length - 1 - end;
      if (body > mostBytes || line > LINE_BYTES) out.error(new Error("It sent too much."));
      else out.enqueue(bytes);
    },
  });
}
