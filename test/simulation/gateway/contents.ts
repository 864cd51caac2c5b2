/** Content of results, in memory: what is not whole when the gateway dies is lost. */
import { createHash } from "node:crypto";
import type { Contents } from "@kith/gateway/core";
import { KithError } from "@kith/shared/errors";
import { hex } from "@kith/shared/ids";
import type { Sink } from "@kith/shared/streams/receiver";
import type { Mortal, World } from "../../support/world.ts";

type Given = Parameters<Contents["sink"]>[0];

export class Media {
  /** Whole and durable, over all crashes: type and size by hash. */
  readonly #whole = new Map<string, number>();
  stored = 0;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** As one process sees it. */
  of(process: Mortal): Contents {
    const partial = new Map<string, Sink>();
    return {
      find: (sha256, type, bytes) =>
        this.#whole.get(`${sha256} ${type}`) === bytes ? `/media/${sha256}` : undefined,
      sink: async (content) => {
        const name = `${content.call}.${content.role}.${content.stream}`;
        const known = partial.get(name) ?? this.#sink(content, process, () => partial.delete(name));
        partial.set(name, known);
        return known;
      },
      // No capability of the simulation takes content.
      source: () => Promise.reject(new KithError("gone", "the content is not held")),
      put: () => Promise.reject(new KithError("gone", "there are no files here")),
      drop: async () => {},
      sweep: async () => {},
    };
  }

  #sink({ type }: Given, process: Mortal, over: () => void): Sink {
    const hash = createHash("sha256");
    const world = this.#world;
    let length = 0;
    return {
      get length() {
        return length;
      },
      async write(parts) {
        for (const part of parts) {
          hash.update(part);
          length += part.length;
        }
      },
      finish: async (size, sha256) => {
        over();
        await new Promise<void>((resolve) =>
          world.in(world.rng.below(20), "media", resolve, process),
        );
        const found = hash.digest("hex");
        if (size !== length || found !== hex(sha256))
          throw new KithError("hash-mismatch", "the content changed on the way");
        this.#whole.set(`${found} ${type}`, length);
        this.stored++;
      },
      close: async () => {},
      discard: async () => over(),
    };
  }
}
