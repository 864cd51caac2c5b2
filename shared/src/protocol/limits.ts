/**
 * Every bound on what comes from the wire, once. docs/protocol.md section "Limits" is the
 * same table in words; test/protocol/limits.test.ts meets each at the limit and one above.
 */
export const limits = {
  /** Bytes on the raw socket before authentication, and on a link that is pairing. */
  rawBytesBeforeAuth: 4_096,
  rawBytesWhilePairing: 16_384,
  /** Time to finish the handshake, and from there to a valid `hello`. */
  handshakeMs: 5_000,
  helloMs: 5_000,
  /** Sockets that have not authenticated: per source address, and in all. */
  strangersPerSource: 5,
  strangers: 256,
  /** Failed handshakes of one source in a minute; more pause that source. */
  failuresPerSource: 10,
  failuresWindowMs: 60_000,
  failuresPauseMs: 5 * 60_000,
  failuresPerSecond: 100,
  /** Plaintext of one control message, of one chunk, and the largest sealed message. */
  controlBytes: 65_536,
  chunkBytes: 262_144,
  frameBytes: 262_173,
  /** Channel and offset before a chunk's data. */
  chunkHeadBytes: 12,
  controlFrames: 64,
  /** Messages that may wait for their turn before authentication; bytes afterwards. */
  waitingBeforeAuth: 2,
  waitingBytesPause: 1_048_576,
  waitingBytesResume: 262_144,
  /** Send queue: above the first no chunks leave, above the second the link ends. */
  queueSoftBytes: 1_048_576,
  queueHardBytes: 4_194_304,
  /** Control frames that answer nothing of ours, per second and in a burst. */
  unaskedPerSecond: 200,
  unaskedBurst: 400,
  /** `progress` of open calls, and how much excess in 10 s ends the link. */
  progressPerSecond: 20,
  progressBurst: 40,
  controlBytesPerSecond: 16 * 1_048_576,
  /** Broken frames (`schema`) within a minute that end the link. */
  schemaErrors: 5,
  websocketPingsPer10s: 10,
  /** Frames per direction of a link: the wish to roll over, and the hard stop. Age likewise. */
  rolloverFrames: 2 ** 20,
  hardStopFrames: 2 ** 21,
  rolloverMs: 24 * 3_600_000,
  /** Chunks of one stream that may wait to be written: 1 MiB of credit in honest chunks is 16. */
  waitingChunks: 256,
  callsPerDevice: 64,
  streamsPerLink: 16,
  /** Outstanding credit: first, per stream, per link. */
  creditFirst: 524_288,
  creditPerStream: 1_048_576,
  creditPerLink: 4_194_304,
  /** Terminals watched on one link, and the credit of each of their two live streams. */
  terminalsPerLink: 4,
  creditLive: 131_072,
  /** Latest output of a terminal that its device keeps for whoever comes back. */
  terminalKept: 262_144,
  streamBytesMost: 4 * 1_024 ** 3,
  capabilities: 64,
  capabilityParts: 16,
  /** `ttl_ms`; that of a call which stays open goes by its capability, a day at most. */
  ttlMs: 600_000,
  argsBytes: 32_768,
  outBytes: 49_152,
  eventBytes: 8_192,
  pairFrameBytes: 4_096,
  msgpackDepth: 16,
  msgpackValues: 4_096,
  keyBytes: 31,
  probesPerSecond: 20,
} as const;

/** Times of section 14 of the protocol. */
export const times = {
  pingMs: 20_000,
  pongMs: 10_000,
  busyPingMs: 5_000,
  busyDeadMs: 10_000,
  idleDeadMs: 45_000,
  acceptMs: 5_000,
  /** G's own timer beyond `ttl_ms`, then its grace after `cancel`. */
  ttlSlackMs: 2_000,
  cancelGraceMs: 5_000,
  /** How long after its `seen` ping (plus `ping_ms`) an invoke is still believed. */
  seenSlackMs: 10_000,
  sleepTickMs: 5_000,
  sleepGapMs: 12_500,
  sleepStepMs: 2_000,
  sleepProbeMs: 3_000,
  backoffFirstMs: 250,
  backoffCapMs: 30_000,
  stableMs: 30_000,
  refusedMs: 3_000,
  supersededMs: 30_000,
  keepContentMs: 15 * 60_000,
} as const;
