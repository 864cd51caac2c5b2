/**
 * Group commit. One commit is in flight at a time; what turns want meanwhile gathers in the
 * next batch, so the batch grows with load and waits for nothing when idle.
 */
import { KithError } from "@kith/shared/errors";
import { crashpoint } from "@kith/gateway/runtime/crashpoint";
import type { Write } from "@kith/gateway/runtime/store";

/** What one turn, or one change without a turn, adds to a batch. */
export interface Part {
  readonly writes: readonly Write[];
  /** Runs when the batch is on disk, in order. */
  readonly after: () => void;
  /** Runs when the batch was rolled back, newest first, so that queues get their order back. */
  readonly undo: (error: KithError) => void;
}

const MAX_WRITES = 2_048;

export interface CommitterOptions {
  readonly commit: (writes: readonly Write[]) => Promise<void>;
  /** After every part was undone: drop what memory believes and read it from disk. */
  readonly rolledBack: (error: KithError) => void;
  /** The outcome is not known, or somebody else took over: the process must end. */
  readonly fatal: (error: unknown) => void;
}

export class Committer {
  readonly #options: CommitterOptions;
  #gathering: Part[] = [];
  #flying: readonly Part[] = [];
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  get busy(): boolean {
    return this.#flying.length > 0 || this.#gathering.length > 0;
  }

  add(part: Part): void {
    if (this.#stopped) return;
    this.#gathering.push(part);
  }

  /** Starts a commit when none is in flight. Call it at the end of a pump. */
  flush(): void {
    if (this.#stopped || this.#flying.length > 0 || this.#gathering.length === 0) return;
    const parts: Part[] = [];
    let count = 0;
    for (const part of this.#gathering) {
      if (parts.length > 0 && count + part.writes.length > MAX_WRITES) break;
      count += part.writes.length;
      parts.push(part);
    }
    this.#gathering = this.#gathering.slice(parts.length);
    this.#flying = parts;
    const writes = parts.flatMap((part) => part.writes);
    crashpoint("turn.commit");
    // A batch of nothing but replies has nothing to make durable.
    const commit = writes.length > 0 ? this.#options.commit(writes) : Promise.resolve();
    commit.then(
      () => this.#done(parts),
      (error: unknown) => this.#failed(error),
    );
  }

  /** Resolves when nothing gathers or flies. */
  async settled(): Promise<void> {
    if (this.busy && !this.#stopped) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  stop(): void {
    this.#stopped = true;
    this.#release();
  }

  #done(parts: readonly Part[]): void {
    if (this.#stopped) return;
    this.#flying = [];
    crashpoint("turn.effects");
    for (const part of parts.toReversed()) part.after();
    this.flush();
    if (!this.busy) this.#release();
  }

  #failed(error: unknown): void {
    if (this.#stopped) return;
    if (!(error instanceof KithError) || error.code !== "disk-full") {
      this.stop();
      return this.#options.fatal(error);
    }
    // Turns of the gathering batch may build on what was rolled back: they go too.
    const parts = [...this.#flying, ...this.#gathering];
    this.#flying = [];
    this.#gathering = [];
    for (const part of parts.toReversed()) part.undo(error);
    this.#options.rolledBack(error);
    this.#release();
  }

  #release(): void {
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }
}
