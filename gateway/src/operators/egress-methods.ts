/** What an operator may ask about whom the gateway talked to. */
import type { Clock } from "@kith/shared/clock";
import type { Register } from "../egress/register.ts";
import { NOTHING } from "./lookup.ts";
import { type Method, method } from "./method.ts";
import { ago, dayTime, table } from "./text.ts";

export interface EgressMethodsOptions {
  readonly register: Pick<Register, "list" | "since">;
  readonly clock: Pick<Clock, "now">;
}

export function egressMethods({ register, clock }: EgressMethodsOptions): [string, Method][] {
  return [
    [
      "egress.list",
      method(NOTHING, () => {
        const hosts = register.list();
        const lines = hosts.map(({ host, requests, bytes, last }) => [
          host,
          `${requests} requests`,
          `${bytes} bytes`,
          ago(last, clock.now()),
        ]);
        const began = `since the gateway started, ${dayTime(register.since)}`;
        return {
          out: { since: register.since, hosts },
          text:
            lines.length > 0 ? `Asked ${began}:\n${table(lines)}` : `Nobody was asked ${began}.`,
        };
      }),
    ],
  ];
}
