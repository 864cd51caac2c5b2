/** Content of calls, on both ways, as rows name it. */

/** Content in the gateway's media folder. */
export interface StoredContent {
  /** Hex. */
  readonly sha256: string;
  readonly type: string;
  readonly bytes: number;
}

/** Content of a result. */
export interface StoredStream extends StoredContent {
  readonly role: string;
  readonly path: string;
}
