/** What a chat puts off: words that a durable timer says again. */

export interface PutOff {
  readonly id: string;
  /** Unix ms. */
  readonly at: number;
  readonly text: string;
  /** Whose words they are: nobody else lists them or takes them back, but an owner. */
  readonly by: string;
}

/** Those whose time has not come, the next one first. */
export const open = (later: readonly PutOff[] | undefined, now: number): readonly PutOff[] =>
  (later ?? []).filter(({ at }) => at > now).toSorted((a, b) => a.at - b.at);

const when = (at: number): string => new Date(at).toLocaleString("sv").slice(0, 16);

export const promised = ({ at, text }: PutOff): string => `At ${when(at)}: ${text}`;

export const list = (waiting: readonly PutOff[]): string =>
  waiting.length === 0
    ? "Nothing is put off. Say it as in /later 1h /photo laptop."
    : waiting.map((one, at) => `  ${at + 1}  ${promised(one)}`).join("\n");
