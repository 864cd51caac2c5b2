/** A pairing desk that only records, and a device that pairs step by step. */
import { systemRng } from "@kith/shared/clock";
import { keyId } from "@kith/shared/ids";
import { approvalCode, commitment } from "@kith/shared/noise/approval-code";
import type { PairBegin } from "@kith/shared/protocol/pairing";
import type { PairingHandlers } from "@kith/gateway/devices/link";
import { NodeEnd, nodeKeys } from "./world.ts";

type Speak = Parameters<PairingHandlers["revealed"]>[2];

export interface Attempt {
  readonly id: string;
  readonly about: PairBegin;
  readonly key: Uint8Array;
  codes?: { code: string; returnCode: string };
  speak?: Speak;
}

export interface Desk extends PairingHandlers {
  readonly attempts: Attempt[];
  readonly abandonedIds: string[];
  /** The next attempt whose code is known. */
  code(): Promise<Required<Attempt>>;
  /** The next attempt that was abandoned. */
  loss(): Promise<string>;
}

export function fakeDesk(changes: Partial<PairingHandlers> = {}): Desk {
  const attempts: Attempt[] = [];
  const abandonedIds: string[] = [];
  let tell = Promise.withResolvers<Required<Attempt>>();
  let lost = Promise.withResolvers<string>();
  return {
    attempts,
    abandonedIds,
    async code() {
      const attempt = await tell.promise;
      tell = Promise.withResolvers();
      return attempt;
    },
    async loss() {
      const id = await lost.promise;
      lost = Promise.withResolvers();
      return id;
    },
    open: () => true,
    async revealed(id, codes, speak) {
      const attempt = attempts.find((one) => one.id === id);
      if (attempt) tell.resolve(Object.assign(attempt, { codes, speak }));
    },
    confirmed: async (id) => {
      const key = attempts.find((one) => one.id === id)?.key ?? new Uint8Array();
      return { device: keyId(key), name: "laptop", ceiling: ["camera.snap"] };
    },
    abandoned(id) {
      abandonedIds.push(id);
      lost.resolve(id);
    },
    ...changes,
    async begin(attempt) {
      attempts.push(attempt);
      return (await changes.begin?.(attempt)) ?? { leftMs: 900_000 };
    },
  };
}

/** A device in the middle of a pairing. */
export class Pairing {
  readonly end: NodeEnd;
  readonly nN = systemRng.bytes(16);
  nG: Uint8Array = new Uint8Array(16);

  constructor(end: NodeEnd) {
    this.end = end;
  }

  static async start(port: number, keys = nodeKeys): Promise<Pairing> {
    return new Pairing(await new NodeEnd(port).handshake("XX", { keys }));
  }

  /** The first frame, committed to `nN`. */
  opening(changes: Partial<PairBegin> = {}): PairBegin {
    const about = {
      name: "laptop",
      kind: "laptop",
      os: "linux",
      arch: "x64",
      agent: "test",
    } as const;
    const commit = commitment(this.end.hash, this.nN);
    return { t: "pair.begin", how: "code", ...about, caps: ["camera.snap"], commit, ...changes };
  }

  begin(changes: Partial<PairBegin> = {}): this {
    this.end.say(this.opening(changes));
    return this;
  }

  async reveal(nonce: Uint8Array = this.nN): Promise<{ code: string; returnCode: string }> {
    this.nG = (await this.end.hears("pair.nonce")).nonce;
    this.end.say({ t: "pair.reveal", nonce });
    return approvalCode(this.end.hash, this.nN, this.nG);
  }

  [Symbol.dispose](): void {
    this.end[Symbol.dispose]();
  }
}
