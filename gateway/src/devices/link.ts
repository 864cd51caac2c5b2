/**
 * What the decisions need of a device's live connection. `mesh/` implements the link and calls
 * the handlers; nothing here knows sockets.
 */
import type { KeyId } from "@kith/shared/ids";
import type { ToGateway, ToNode } from "@kith/shared/protocol/frames";
import type { ByeCode, Hello } from "@kith/shared/protocol/session";
import type { PairBegin, TicketBegin } from "@kith/shared/protocol/pairing";
import type { Size } from "@kith/shared/protocol/terminal";
import type { StreamOpen } from "@kith/shared/protocol/stream";
import type { Sink } from "@kith/shared/streams/receiver";
import type { Source } from "@kith/shared/streams/sender";
import type { KithError } from "@kith/shared/errors";
import type { TailnetFacts } from "./device.ts";

/** One live, authenticated connection of one device. It lives as long as its socket. */
export interface DeviceLink {
  readonly device: KeyId;
  /** Committed before `welcome` left; every `invoke` on this link carries it. */
  readonly epoch: number;
  /** Where it comes from, for people only: never identity. */
  readonly source: string;
  /** The node's latest ping that was answered on this link; goes into `invoke.seen`. */
  readonly seen: number;
  send(frame: ToNode): void;
  /** Tells the link that calls are open, so that silence is found in 10 s instead of 45. */
  poke(): void;
  /** How far content of this call is, either way. Undefined: none is under way. */
  moved(call: string): Moved | undefined;
  /** Sends content that this link has not sent yet; the device takes it under credit. */
  give(content: GivenContent): void;
  /**
   * Watches the terminal of a call that was sent on this link or an earlier one, from that byte of its
   * output on (undefined: from the oldest that the device kept). Whoever watched it before is closed.
   * @throws KithError rate
   */
  watch(call: string, size: Size, from: number | undefined, viewer: TerminalViewer): Watched;
  /** Stops the streams of an ended call; what arrives for them later is dropped. */
  forget(call: string): void;
  /** Says `bye`, closes within a second, delivers nothing more. */
  end(code: ByeCode, text: string, retryMs?: number): void;
}

/** Content on its way, as far as it has left or arrived; without `of` its size is not known yet. */
export interface Moved {
  readonly bytes: number;
  readonly of: number | undefined;
}

/** Content on its way to a device, one for each call that takes some. */
export interface GivenContent {
  readonly call: string;
  readonly role: string;
  readonly type: string;
  readonly size: number;
  /** @throws KithError gone when it is not held any more */
  open(): Promise<Source>;
}

/** Whoever watches a terminal hears of it in this order; bytes bypass actors and journal. */
export interface TerminalViewer {
  /** What comes begins at that byte of all that it has written. */
  opened(from: number): void;
  /** Its next output, and its memory. More than the window comes only after `taken`. */
  output(bytes: Uint8Array): void;
  /** No more of it: the device has no such terminal, it is over, or the link is. Not after `close`. */
  closed(): void;
}

export interface Watched {
  /** Something typed, of at most 64 KiB. Resolves when it has left; false: nobody watches any more. */
  type(bytes: Uint8Array): Promise<boolean>;
  resize(size: Size): void;
  /** So many bytes of output have left memory. */
  taken(bytes: number): void;
  close(): void;
}

export type CallFrame = Extract<
  ToGateway,
  {
    t:
      | "accept"
      | "progress"
      | "result"
      | "error"
      | "ledger.answer"
      | "event"
      | "capabilities.advertise";
  }
>;

/** What a link asks and tells. All of it comes from an authenticated peer, checked by schema, and is still only a claim. */
export interface LinkHandlers {
  /** Whether this key may finish an IK handshake: only `paired` gets further than `bye`. */
  standing(device: KeyId, publicKey: Uint8Array): "paired" | "revoked" | "unknown";
  /**
   * A valid `hello`. Resolves after the new epoch is on disk; the link then sends `welcome`.
   * `end` ends an accepted link that lost the race meanwhile. `tailnet`: where it came by one.
   */
  hello(
    device: KeyId,
    hello: Hello,
    source: string,
    tailnet: TailnetFacts | undefined,
  ): Promise<{ epoch: number; wantCaps: boolean } | { refuse: ByeCode }>;
  /** `welcome` was sent: the link may be used. */
  up(link: DeviceLink): void;
  frame(link: DeviceLink, frame: CallFrame): void;
  /** Where the bytes of a stream go; refused streams get `error{code}` and no credit. */
  sink(
    link: DeviceLink,
    open: StreamOpen,
  ): Promise<{ sink: Sink; most: number } | { refuse: KithError }>;
  /** All bytes of a stream are durable, or will never be. */
  stream(link: DeviceLink, call: string, stream: string, failed: KithError | undefined): void;
  /** Whether this device has calls open, for the heartbeat. */
  busy(device: KeyId): boolean;
  /**
   * The socket is gone or was given up; `broke`: by a broken rule of the wire. Called once, also
   * for links that never came up.
   */
  down(link: DeviceLink, why: string, broke: boolean): void;
}

/** Pairing by ticket as the book of tickets decides it. */
export interface TicketHandlers {
  /** Those that live; without one, pattern XXpsk3 is refused before message 2. */
  live(): readonly { readonly id: string; readonly psk: Uint8Array }[];
  /**
   * The bearer of a ticket says who it is. Resolves when its device row is on disk; for the same key
   * again with the same answer.
   * @throws KithError pairing-refused: another key came with it before, or the owner revoked the device since
   */
  redeem(
    ticket: string,
    bearer: { key: Uint8Array; about: TicketBegin; source: string },
  ): Promise<{ device: KeyId; name: string; ceiling: string[] }>;
}

/** Pairing by code as the desk decides it; `mesh/` keeps h, nonces and the socket. */
export interface PairingHandlers {
  /** Whether a window is open at all: without one, pattern XX is refused before message 2. */
  open(): boolean;
  /**
   * A stranger's `pair.begin`. Resolves when its slot is durably spent.
   * @throws KithError pairing-closed, pairing-full, pairing-locked
   */
  begin(attempt: {
    id: string;
    key: Uint8Array;
    about: PairBegin;
    source: string;
  }): Promise<{ leftMs: number }>;
  /** Its code is known now. `approved` and `refused` are how the desk speaks to this attempt later. */
  revealed(
    id: string,
    code: { code: string; returnCode: string },
    speak: { approved(): void; refused(why: string): void },
  ): Promise<void>;
  /** The person at the device typed the return code. Resolves when the device row is on disk. */
  confirmed(id: string): Promise<{ device: KeyId; name: string; ceiling: string[] }>;
  /** The attempt's link is gone before it was accepted. */
  abandoned(id: string): void;
}
