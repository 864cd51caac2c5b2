/** Between the sockets of strangers and the desk: pairing by approval code, as link.ts states it. */
import { catalogue } from "@kith/shared/capabilities/index";
import { isOwn } from "@kith/shared/capabilities/own";
import { KithError } from "@kith/shared/errors";
import { hex, keyId } from "@kith/shared/ids";
import type { Event } from "../runtime/effect.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { deviceRows } from "./device.ts";
import type { PairingHandlers } from "./link.ts";
import { paired } from "./paired.ts";
import type { Attempt } from "./pairing.machine.ts";
import { freeName } from "./resolve.ts";

const DESK = "pairing/desk";
const ASK = { deadlineMs: 10_000 } as const;
type Answer<T> =
  | T
  | {
      readonly refuse: "pairing-closed" | "pairing-full" | "pairing-locked" | "pairing-refused";
      readonly message?: string;
    };

interface Voice {
  approved(): void;
  refused(why: string): void;
}

export function pairingHandlers(runtime: Runtime): PairingHandlers {
  const voices = new Map<string, Voice>();
  /** A window's end in Unix ms as the desk said it last; closed until it says so. */
  let state: { open: boolean } = { open: false };

  runtime.on<{ attempts: readonly string[]; say: keyof Voice; why: string }>(
    "pairing.speak",
    ({ attempts, say, why }) => {
      for (const id of attempts) voices.get(id)?.[say](why);
    },
  );
  runtime.on<{ open: boolean }>("pairing.window", (now) => {
    state = now;
  });

  const ask = async <T extends object>(event: object): Promise<T> => {
    const answer = await runtime.ask<Answer<T>>(DESK, event as Event, ASK);
    if ("refuse" in answer)
      throw new KithError(answer.refuse, answer.message ?? "pairing was refused");
    return answer;
  };

  return {
    open: () => state.open,
    begin: ({ id, key, about: { name, kind, os, arch, agent, caps }, source }) =>
      ask<{ leftMs: number }>({
        type: "attempt.begun",
        attempt: {
          id,
          device: keyId(key),
          key: hex(key),
          about: {
            name: freeName(name, deviceRows(runtime.documents), keyId(key)),
            kind,
            os,
            arch,
            agent,
          },
          caps: caps.filter((cap) => catalogue.has(cap) || isOwn(cap)),
          source,
        },
      }),
    async revealed(id, { code, returnCode }, speak) {
      voices.set(id, speak);
      await ask({ type: "attempt.revealed", attempt: id, code, returnCode });
    },
    async confirmed(id) {
      const { attempt } = await ask<{ attempt: Attempt }>({
        type: "attempt.confirmed",
        attempt: id,
      });
      voices.delete(id);
      const row = await paired(runtime, attempt.device);
      return { device: row.id, name: row.name, ceiling: [...row.ceiling] };
    },
    abandoned(id) {
      voices.delete(id);
      runtime.tell(DESK, { type: "attempt.abandoned", attempt: id } as Event);
    },
  };
}
