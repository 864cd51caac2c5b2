/** What a socket must do for a link: the WebSocket of `ws`, of a browser, or a simulated one. */
export interface Transport {
  /** `bytes` and their memory are the socket's from here on. */
  send(bytes: Uint8Array): void;
  /** Bytes accepted by `send` and not yet given to the network. */
  readonly buffered: number;
  /** Says goodbye with a close code; the peer may never see it. */
  close(code: number): void;
  /** Drops the socket now. Never wait for `close`: it may not fire for minutes. */
  terminate(): void;
  /** Stops and restarts reading, for back pressure. */
  pause(): void;
  resume(): void;
}
