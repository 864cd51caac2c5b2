/**
 * The one way out for whatever a model, a page or a person makes the gateway fetch.
 *
 *   URL ─► scheme, port, no password ─► its addresses, asked for once ─► every one public?
 *    ▲                                        │ or host:port written by the owner
 *    └── redirect, at most 5 ◄── answer ◄── connect to exactly that address ─► body, unpacked within bounds
 *
 * Nothing is remembered between two requests: no connection, no cookie. Who was asked stands in the register.
 */
import { lookup } from "node:dns/promises";
import { type IncomingMessage, request as overHttp } from "node:http";
import { request as overHttps } from "node:https";
import { type Socket, connect, isIP } from "node:net";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { connect as secure } from "node:tls";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import type { Clock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import type { Secret } from "../secret.ts";
import { isPublic } from "./address.ts";
import type { Register } from "./register.ts";

const PATIENCE_MS = 30_000;
const MOST_REDIRECTS = 5;
/** Of a body, as it comes and unpacked. */
const MOST_BYTES = 10 * 1_048_576;

/** Where the web is. Others are for mail, databases, printers, which may take a request for their own commands. */
const PORTS = [80, 443, 8080, 8443];

export interface EgressOptions {
  /** `HOST:PORT` that the owner wrote, beside what is public. */
  readonly allow: readonly string[];
  readonly clock: Pick<Clock, "now" | "after">;
  readonly register: Register;
  /** All addresses of a name. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** A connection to this address and no other. */
  readonly dial?: (address: string, port: number) => Socket;
}

export interface Wanted {
  readonly url: string;
  /** Media types, as in the header. */
  readonly accept: string;
  /** Goes to this URL's own scheme, host and port only. */
  readonly key?: { readonly header: string; readonly value: Secret };
  /** The URL's host and port stand in config.yaml, so they need not be public. */
  readonly owners?: boolean;
}

export interface Fetched {
  /** Where it was found in the end. */
  readonly url: URL;
  readonly status: number;
  /** The content-type header, or nothing. */
  readonly type: string;
  /** At most 10 MiB. */
  readonly body: Buffer;
  /** Unix ms. */
  readonly at: number;
}

export class Egress {
  readonly #options: Required<EgressOptions>;
  readonly #allow: ReadonlySet<string>;

  constructor(options: EgressOptions) {
    this.#options = {
      resolve: resolveAll,
      dial: (host, port) => connect({ host, port }),
      ...options,
    };
    this.#allow = new Set(options.allow.map((place) => placeOf(new URL(`http://${place}`))));
  }

  /**
   * GET, within 30 s in all. An answer of any status is one.
   * @throws KithError address-refused, page-away, too-big (10 MiB), cancelled (by `signal`)
   */
  async get(wanted: Wanted, signal: AbortSignal): Promise<Fetched> {
    const late = new AbortController();
    const cancel = this.#options.clock.after(PATIENCE_MS, () => late.abort());
    const ended = AbortSignal.any([signal, late.signal]);
    const end = Promise.withResolvers<never>();
    // Looking a name up cannot be stopped; whoever waits is let go all the same.
    ended.addEventListener("abort", () => end.reject(ended.reason));
    try {
      ended.throwIfAborted();
      return await Promise.race([this.#follow(wanted, ended), end.promise]);
    } catch (error) {
      if (signal.aborted) throw new KithError("cancelled", "the page is not wanted any more");
      if (late.signal.aborted)
        throw new KithError("page-away", `${wanted.url} did not come within 30 s`);
      throw error;
    } finally {
      cancel();
    }
  }

  async #follow(wanted: Wanted, signal: AbortSignal): Promise<Fetched> {
    let url = parse(wanted.url);
    const { origin } = url;
    // Key and exceptions are for whom they were meant. Whoever was sent elsewhere does not get them back.
    let home = true;
    for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
      home &&= url.origin === origin;
      const address = await this.#check(url, home && wanted.owners === true, home);
      signal.throwIfAborted();
      const response = await this.#ask(url, address, wanted, home, signal);
      const { statusCode: status = 0, headers } = response;
      if ([301, 302, 303, 307, 308].includes(status) && headers.location !== undefined) {
        response.destroy();
        url = parse(headers.location, url);
        continue;
      }
      const body = await this.#read(url, response, signal);
      return {
        url,
        status,
        type: headers["content-type"] ?? "",
        body,
        at: this.#options.clock.now(),
      };
    }
    throw new KithError("page-away", `${wanted.url} was sent on more than ${MOST_REDIRECTS} times`);
  }

  /** The address to connect to. */
  async #check(url: URL, owners: boolean, home: boolean): Promise<string> {
    const refuse = (why: string) => new KithError("address-refused", `${url.host}: ${why}`);
    if (url.protocol !== "http:" && url.protocol !== "https:")
      throw new KithError("address-refused", `${url.protocol} is neither http: nor https:`);
    if (url.username || url.password) throw refuse("there is a name or a password in the address");
    const allowed = owners || (home && this.#allow.has(placeOf(url)));
    if (!allowed && !PORTS.includes(portOf(url)))
      throw refuse(`of ports only ${PORTS.join(", ")} are fetched from`);
    const host = hostOf(url);
    const addresses = isIP(host) ? [host] : await this.#resolve(url, host);
    const [address] = addresses;
    if (address === undefined) throw away(url, { code: "ENOTFOUND" });
    // All of them: a public one beside a private one is how a name that changes looks.
    if (!allowed && !addresses.every(isPublic)) throw refuse("this is no public address");
    return address;
  }

  async #resolve(url: URL, host: string): Promise<readonly string[]> {
    try {
      return await this.#options.resolve(host);
    } catch (error) {
      throw away(url, error);
    }
  }

  async #ask(
    url: URL,
    address: string,
    { accept, key }: Wanted,
    home: boolean,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const { register, dial } = this.#options;
    register.count(url.host, 1, 0);
    const https = url.protocol === "https:";
    const headers = {
      host: url.host,
      accept,
      "accept-encoding": "gzip, br",
      "user-agent": "Kith",
      ...(home && key?.value.use((value) => ({ [key.header]: value }))),
    };
    const createConnection = (): Socket => {
      const socket = dial(address, portOf(url));
      // For an address as the host its certificate is compared with that, by `host`.
      const servername = isIP(hostOf(url)) ? {} : { servername: url.hostname };
      return https ? secure({ socket, host: address, ...servername }) : socket;
    };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    (https ? overHttps : overHttp)(url, { headers, signal, createConnection })
      .on("response", resolve)
      .on("error", (error) => reject(away(url, error)))
      // Also after it became another protocol, which nobody asked for.
      .on("close", () => reject(away(url, {})))
      .end();
    return promise;
  }

  async #read(url: URL, response: IncomingMessage, signal: AbortSignal): Promise<Buffer> {
    const encoding = response.headers["content-encoding"]?.trim().toLowerCase() ?? "";
    const unpack = unpackers[encoding];
    if (!unpack) {
      response.destroy();
      throw away(url, {});
    }
    const tooBig = () => new KithError("too-big", `${url.host} sent more than 10 MiB`);
    const parts: Buffer[] = [];
    let packed = 0;
    let bytes = 0;
    const register = this.#options.register;
    try {
      await pipeline(
        response,
        async function* (source: AsyncIterable<Buffer>) {
          for await (const part of source) {
            register.count(url.host, 0, part.length);
            packed += part.length;
            if (packed > MOST_BYTES) throw tooBig();
            yield part;
          }
        },
        unpack(),
        async (source: AsyncIterable<Buffer>) => {
          for await (const part of source) {
            bytes += part.length;
            if (bytes > MOST_BYTES) throw tooBig();
            parts.push(part);
          }
        },
        { signal },
      );
    } catch (error) {
      throw error instanceof KithError ? error : away(url, error);
    }
    return Buffer.concat(parts);
  }
}

const unpackers: Readonly<Record<string, () => NodeJS.ReadWriteStream>> = {
  "": () => new PassThrough(),
  identity: () => new PassThrough(),
  gzip: () => createGunzip(),
  "x-gzip": () => createGunzip(),
  br: () => createBrotliDecompress(),
  deflate: () => createInflate(),
};

const resolveAll = async (host: string) =>
  (await lookup(host, { all: true, order: "ipv4first" })).map(({ address }) => address);

function parse(text: string, base?: URL): URL {
  const url = URL.parse(text, base);
  if (!url) throw new KithError("address-refused", "that is no address of a page");
  return url;
}

/** An IPv6 address without its brackets. */
const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, "$1");
const portOf = ({ port, protocol }: URL): number =>
  Number(port || (protocol === "https:" ? 443 : 80));
const placeOf = (url: URL): string => `${url.hostname}:${portOf(url)}`;

/** What the system calls it, for people. Its own words may quote anything. */
const reasons: Readonly<Record<string, string>> = {
  ENOTFOUND: "nobody knows its name",
  EAI_AGAIN: "names cannot be looked up now",
  ECONNREFUSED: "it refuses the connection",
  ECONNRESET: "it closed the connection",
  ETIMEDOUT: "it did not answer in time",
  ENETUNREACH: "there is no way to it now",
  EHOSTUNREACH: "there is no way to it now",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for somebody else",
  CERT_HAS_EXPIRED: "its certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: "nobody vouches for its certificate",
  SELF_SIGNED_CERT_IN_CHAIN: "nobody vouches for its certificate",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "nobody vouches for its certificate",
};

function away({ host }: URL, cause: unknown): KithError {
  const { code = "" } = cause as { code?: string };
  const why = reasons[code] ?? "it did not answer as a web server does";
  return new KithError("page-away", `${host} cannot be read: ${why}`, { cause });
}
