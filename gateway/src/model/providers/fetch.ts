/**
 * How a model's service is fetched from: what the SDKs and we ask goes through here, so that one
 * place bounds what a service may send and where it may send us.
 */

/** Of one body, in bytes: 256 KiB of text came in pieces of one letter, each in 200 bytes of JSON. */
const BODY_BYTES = 64 * 1_048_576;
/** Of one line, in bytes: the last one of OpenAI repeats the whole answer, and every tool. */
const LINE_BYTES = 4 * 1_048_576;
/** Of what explains a refusal. */
const REFUSAL_BYTES = 64 * 1_024;
/** Longest wait that a service is granted before the SDK asks again; it would wait for days. */
const WAIT_S = 20;

/** `fetch` that follows nobody elsewhere, where the conversation would go too, and reads within bounds. */
export async function boundedFetch(
  url: string | URL | Request,
  init?: RequestInit,
): Promise<Response> {
  const response = await fetch(url, { ...init, redirect: "manual" });
  const headers = new Headers(response.headers);
  // As a date it is rare, and ends with the patience for silence.
  if (Number(headers.get("retry-after")) > WAIT_S) headers.set("x-should-retry", "false");
  const { status, statusText } = response;
  const body = response.body?.pipeThrough(limit(response.ok ? BODY_BYTES : REFUSAL_BYTES)) ?? null;
  return new Response(body, { status, statusText, headers });
}

function limit(mostBytes: number): TransformStream<Uint8Array, Uint8Array> {
  let body = 0;
  let line = 0;
  return new TransformStream({
    transform(bytes, out) {
      body += bytes.length;
      const end = bytes.lastIndexOf(10);
      line = end === -1 ? line + bytes.length : bytes.length - 1 - end;
      if (body > mostBytes || line > LINE_BYTES) out.error(new Error("It sent too much."));
      else out.enqueue(bytes);
    },
  });
}
