/** What went wrong at a model's service, as the five failures that a person can do something about. */
import { type Effort, ModelFailure } from "../provider.ts";
import { type Secret, without } from "../../secret.ts";
import type { Fetch } from "./fetch.ts";

/** Who was asked, for messages. */
export interface Service {
  /** As in `Anthropic at api.anthropic.com`. */
  readonly called: string;
  readonly model: string;
  readonly key: Secret | undefined;
  /** The only way to it; see fetch.ts. `more`: headers of this service. */
  readonly fetch: (more?: Readonly<Record<string, string>>) => Fetch;
  /** As `Thought.by`. */
  readonly by: string;
  readonly effort: Effort | undefined;
}

type Code = ConstructorParameters<typeof ModelFailure>[0];

/** Most of a service's own words that a message repeats. */
const WORDS_CHARS = 300;

/** So much of how a service classes an error is looked at. */
const KIND_CHARS = 100;

const NO_TLS = "does not speak TLS at this address; http:// may be meant";

/** What ends a connection, by the system's or by undici's code. */
const connections: Readonly<Record<string, string>> = {
  ECONNREFUSED: "refuses the connection",
  ENOTFOUND: "cannot be found: nobody knows its name",
  EAI_AGAIN: "cannot be found: names cannot be looked up now",
  ETIMEDOUT: "did not answer in time",
  UND_ERR_CONNECT_TIMEOUT: "did not answer in time",
  UND_ERR_HEADERS_TIMEOUT: "did not answer in time",
  UND_ERR_BODY_TIMEOUT: "fell silent",
  UND_ERR_SOCKET: "closed the connection",
  ECONNRESET: "closed the connection",
  "config-invalid": "is not asked: its key is gone",
  EHOSTUNREACH: "cannot be reached: there is no way to it",
  ENETUNREACH: "cannot be reached: there is no network",
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
  EPROTO: NO_TLS,
};

/** OpenSSL has some thirty words for it. */
const isCertificate = /CERT|SELF_SIGNED|ISSUER|LEAF_SIGNATURE/;

/** An answer that is none: wrong shape, too long, cut. */
export function badAnswer({ called }: Service, what: string): ModelFailure {
  return new ModelFailure("model-away", `${called} ${what}.`, true);
}

/** Of an answer whose status is no success. `body`: what came with it, parsed if it was JSON. */
export function statusFailure(
  service: Service,
  status: number,
  body: unknown,
  headers?: Headers,
): ModelFailure {
  const { called, model, key } = service;
  const { words, kind } = told(service, body);
  const fail = (code: Code, what: string, quoted = words) =>
    failure(code, `${called} ${what} (${status})${quoted}`);
  // Its words about a key are the likeliest to hold the key.
  if (status === 401 || status === 403)
    return fail("model-key", key ? "does not accept the key" : "wants a key, and has none", ".");
  if (status < 400) return fail("model-name", "sends elsewhere, which is not followed", ".");
  if (status < 500 && isNoModel.test(`${kind} ${words}`))
    return fail("model-name", `knows no model ${model}`);
  if (status === 404 || status === 405)
    return fail("model-name", "has no models at this address; check baseUrl");
  if (status === 429 || status === 529) {
    // As a date it is rare.
    const wait = Number(headers?.get("retry-after"));
    const what = `has too much to do${wait >= 1 ? ` for ${Math.ceil(wait)} s` : ""}`;
    const { code, message, retryable } = fail("model-busy", what);
    return new ModelFailure(code, message, retryable, wait > 0 ? wait * 1_000 : undefined);
  }
  if (status >= 500 || status === 408 || status === 409) return fail("model-away", "failed");
  return fail("model-refused", "does not take this request");
}

/** Anthropic's whole message is “model: NAME”. */
const isNoModel =
  /model_not_found|not_found_error : model:|\bmodel\b.*\b(?:not found|not exist|not a valid|unknown)|not a valid model/i;

/** Of an error that a service told instead of the rest of an answer. */
export function toldFailure(service: Service, body: unknown): ModelFailure {
  const { words, kind } = told(service, body);
  const { called } = service;
  if (/overloaded|rate_limit|quota/.test(kind))
    return failure("model-busy", `${called} has too much to do${words}`);
  if (/invalid|content|policy/.test(kind))
    return failure("model-refused", `${called} does not take this request${words}`);
  return failure("model-away", `${called} failed in the middle of its answer${words}`);
}

/**
 * Of whatever an SDK or `fetch` threw. It is not kept as the cause: its headers and body are the
 * service's words, which may repeat the key. `begun`: something of an answer had come.
 */
export function thrownFailure(service: Service, why: unknown, begun: boolean): ModelFailure {
  if (why instanceof ModelFailure) return why;
  const { status, error, headers } = fieldsOf(why);
  if (typeof status === "number")
    return statusFailure(service, status, error, headers instanceof Headers ? headers : undefined);
  if (error !== undefined && error !== null) return toldFailure(service, error);
  if (begun) return badAnswer(service, "broke off in the middle of its answer");
  // The SDK says so in its words only.
  if (/timed? ?out/i.test(String(fieldsOf(why)["message"])))
    return badAnswer(service, "did not answer in time");
  const code = codeOf(why);
  return badAnswer(
    service,
    isCertificate.test(code)
      ? `shows a certificate that is not trusted (${code})`
      : (connections[code] ?? `cannot be reached${/^\w+$/.test(code) ? ` (${code})` : ""}`),
  );
}

function failure(code: Code, message: string): ModelFailure {
  return new ModelFailure(code, message, code === "model-busy" || code === "model-away");
}

/** The first code along the causes of an error. */
function codeOf(why: unknown): string {
  for (let at = why, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const { code } = fieldsOf(at);
    if (typeof code === "string") return code;
  }
  return "";
}

/** A service's own words, as the end of a sentence, and how it classes them: three shapes of error. */
function told(service: Service, body: unknown): { words: string; kind: string } {
  const inner = fieldsOf(body)["error"] ?? body;
  const { message = inner, type, code } = fieldsOf(inner);
  const kind = [type, code]
    .filter((one) => typeof one === "string")
    .join(" ")
    .slice(0, KIND_CHARS);
  const words = typeof message === "string" ? quote(service, message) : "";
  return { words: words ? `: ${words}` : ".", kind };
}

/** One line, short, and without the key, should it be among the words. */
function quote({ key }: Service, text: string): string {
  const hidden = key ? without(key, text) : text;
  const line = hidden.replace(/[\p{C}\p{Z}\s]+/gu, " ").trim();
  return line.length > WORDS_CHARS ? `${line.slice(0, WORDS_CHARS)}…` : line;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
