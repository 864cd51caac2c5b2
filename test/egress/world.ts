/** A web on loopback: names have the public addresses that a test gives them, and every dialled connection ends here. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { systemClock } from "@kith/shared/clock";
import { KithError } from "@kith/shared/errors";
import { Egress, type EgressOptions, type Wanted } from "@kith/gateway/egress/egress";
import { Register } from "@kith/gateway/egress/register";
import { expect } from "vitest";

export const PUBLIC = "93.184.215.14";
export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** What a request got that reached the server. */
export interface Hit {
  readonly host: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingMessage["headers"];
}

export async function web(answer: Answer, options: Partial<EgressOptions> = {}) {
  const hits: Hit[] = [];
  const dialled: string[] = [];
  const server = createServer((request, response) => {
    hits.push({ host: request.headers.host, path: request.url, headers: request.headers });
    answer(request, response);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const register = new Register(systemClock);
  const egress = new Egress({
    ...{ allow: [], clock: systemClock, register },
    resolve: () => Promise.resolve([PUBLIC]),
    dial(address, to) {
      dialled.push(`${address} ${to}`);
      return connect(port, "127.0.0.1");
    },
    ...options,
  });
  return {
    ...{ egress, hits, dialled, port, register },
    get: (url: string, more: Partial<Wanted> = {}, signal = new AbortController().signal) =>
      egress.get({ url, accept: "*/*", ...more }, signal),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** The code that it failed with. */
export async function code(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(KithError);
  return (error as KithError).code;
}
