/**
 * What can go wrong, as a stable code with a remedy for the person.
 *
 * `code` is the contract, `message` says what happened, the remedy says what to
 * do next and stands in docs/errors.md under the same code (a test compares).
 */

/** Every code of the product and what its reader can do about it. */
export const remedies = {
  // The wire (docs/protocol.md, "Error codes").
  schema: "Update the older side: one of the two speaks a frame the other does not know.",
  unsupported: "Update the device's agent, or choose a capability that `kith devices` lists.",
  "denied-local":
    "The device's own policy says no. Change it at the device: `kith node --allow CAP=ask`.",
  "denied-person": "Ask again when somebody is at the device, or let it allow this without asking.",
  "os-permission":
    "Give the program its permission in the device's system settings, then ask again.",
  "not-ready":
    "The device cannot do this now; the message says why. `kith devices` shows its state.",
  busy: "The device is doing as much of this as it can. Ask again in a moment.",
  foreground: "Bring the app on that device to the front, then ask again.",
  deadline: "The request reached the device too late to be started. Ask again.",
  timeout:
    "The device started but did not finish in time. Ask again; if it stays, look at the device.",
  cancelled: "It was stopped on request. Ask again if you still want it.",
  fenced: "Another link of the same device is newer. Make sure that its key was not copied.",
  replay: "The device has already forgotten a call that old. Ask again.",
  conflict: "Two different calls came with one id. Ask again; report it if it stays.",
  "too-big": "The content is larger than allowed. Ask for less (a smaller picture, another file).",
  "hash-mismatch": "The content changed on the way and was thrown away. Ask again.",
  gone: "The device no longer holds the content. Ask again.",
  interrupted: "The program on the device ended in the middle. Nothing was kept; ask again.",
  driver: "The part of the device that does this failed; the message says how.",
  rate: "Too much at once. Wait a moment and ask again.",
  internal: "This is a defect of Kith. The log has the details; please report it.",
  "capability-off": "Its owner never turned it on. At the device: `kith node --allow CAP=ask`.",
  "no-camera": "Plug a camera in, or give the node one by name: `kith node --camera test-pattern`.",
  "camera-busy": "Another program uses the camera. Close it, then ask again.",
  "ffmpeg-missing":
    "Install ffmpeg: `apt install ffmpeg` (Debian, Ubuntu), `dnf install ffmpeg-free` (Fedora), `brew install ffmpeg` (macOS), `winget install Gyan.FFmpeg` (Windows); or put its program on the PATH.",
  // Devices and rights.
  "device-unknown": "`kith devices` lists the devices; names match loosely.",
  "device-ambiguous": "Say which one you mean by its name.",
  "device-away": "Wake the device or start its agent (`kith node`), then ask again.",
  "not-offered": "`kith devices` shows what each device offers.",
  "bad-args": "Check the arguments against the capability's schema in docs/capabilities.md.",
  "no-file":
    "A path begins inside the shared folder and does not name it: `/files DEVICE` lists what is there.",
  "bad-result":
    "The device answered with something its capability does not allow. Update its agent.",
  "outside-tailnet":
    "Change `kith.dev/cap/node` or `kith.dev/cap/invoke` in the tailnet's policy, or how it is read: `tailnet` in config.yaml, `kith node --tailnet`.",
  "not-granted": "Ask again and allow it (`/allow once`), or see `kith grants`.",
  "approval-needed": "Allow it with `kith allow ID once` (or 15m, 1h, today), or `kith deny ID`.",
  "approval-unknown": "`kith approvals` lists what waits for an answer.",
  "approval-ambiguous": "Add the id that `kith approvals` shows.",
  "denied-owner": "Ask again if that was a mistake.",
  "owner-silent": "Nobody answered in 15 minutes, which means no. Ask again.",
  revoked: "Pair it, or allow it, again if that was a mistake.",
  "safe-mode": "`kith safe off` ends it; the log and `kith dead` tell why it began.",
  locked: "Lift it with `kith lock --lift` where it was locked.",
  unknown:
    "It may or may not have happened; look at the device before you ask again. `kith why ID` tells what is known.",
  expired: "It waited too long and was dropped; nothing happened. Ask again.",
  "too-many": "Too much waits for an answer already: `kith approvals`.",
  "grant-unknown": "`kith grants` lists the grants with their ids.",
  "skill-unknown": "`kith skills` lists them, and says why one cannot be used.",
  "skill-waits": "The message says what it needs; `kith skills` shows more.",
  "reminder-unknown": "`kith reminders` lists them, with numbers and ids.",
  "chat-unknown": "Say something in that chat first (`kith chat NAME`), or name one that there is.",
  "call-unknown": "`kith audit` lists what was done, with its ids.",
  "id-ambiguous": "Give more of the id; its last six characters are usually enough.",
  "actor-unknown": "`kith actors` lists those that are in memory, with their ids.",
  "letter-unknown": "`kith dead` lists the messages that were put aside, with their numbers.",
  "memory-unknown":
    "`kith memory search WORDS` lists lines with their ids, `kith memory show` the files.",
  // Pairing.
  "pairing-closed":
    "Open pairing at the gateway first: `/pair` in the chat, or `kith pair listen`.",
  "pairing-locked":
    "Three wrong codes closed pairing for 15 minutes. Wait, or look who else is trying.",
  "pairing-full": "All pairing attempts of this window, or of today, are used up. Try again later.",
  "code-mistyped": "Check the code at the device and type it again; this try was not counted.",
  "ticket-mistyped":
    "Copy the whole line that `kith pair invite` printed, or type its ticket again.",
  "ticket-unknown": "`kith pair` lists the tickets that live.",
  "code-unknown":
    "Type the code that the device shows now. If it is right, somebody is in between: stop.",
  "return-code-wrong": "Three wrong return codes ended it. Start again at the device.",
  "pairing-refused": "Start pairing again at both ends.",
  "pairing-unfinished": "Pairing did not finish. Start it again at both ends.",
  "not-accepted": "The gateway does not know this device (any more). Pair it again.",
  // Language models.
  "model-key": "Give the model a key that its service accepts.",
  "model-name":
    "Name a model that the service has (for Ollama: one that `ollama list` shows), and check its address.",
  "model-busy":
    "The service has too much to do, or a limit of the account is reached. Wait, then ask again.",
  "model-refused":
    "The service does not take this request; the message has its words. Ask in other words, or use another model.",
  "model-away": "Check the network, the model's address and that its service runs, then ask again.",
  "budget-spent":
    "`kith usage` shows what was used; `budgets` in config.yaml sets the limits, which begin anew at midnight.",
  // The web.
  "address-refused":
    "Ask for a public page. If the address is yours, write its host and port under `egress: allow:` in config.yaml.",
  "address-unseen":
    "Paste the whole address into the chat yourself: private content was read, and an address could carry it away.",
  "page-away": "Check the address and the network, then ask again.",
  "page-unreadable": "Ask for another page, or open it in a browser.",
  // The program.
  "config-invalid": "Mend the named setting; docs/config.md lists them all.",
  "home-locked":
    "It runs already: `kith chat` opens a chat with it. Or stop it first, or use another home (KITH_HOME, --home).",
  "home-unsafe":
    "Others may write to that folder. Fix its owner and mode (0700), then start again.",
  "store-damaged":
    "Do not delete anything. Restore a backup, or move kith.db aside to start empty.",
  "store-newer": "This home was written by a newer Kith. Start that version.",
  "store-fenced": "Another gateway took over this home; this one stopped.",
  "disk-full": "Free some space. What was accepted is safe; new work is refused until then.",
  "mailbox-full": "Too many messages at once. Wait a moment and send it again.",
  "actor-down": "This part failed too often and was stopped. `kith why ID` tells why.",
  "gateway-away": "Start the gateway with `npm start` or `kith up`.",
  "gateway-unreachable":
    "Check the address, and that the gateway listens there (`listen` in config.yaml).",
  "service-unavailable":
    "The message says what the system's service manager did not do. `kith up` runs without it.",
  "port-taken": "Another program uses the port. Change `listen` in config.yaml or stop it.",
  "not-understood": "Type /help to see what can be said.",
  "install-failed": "Look at npm's words above, check the network and the disk, then start again.",
  usage: "See `kith --help`, or `kith VERB --help`.",
} as const;

export type ErrorCode = keyof typeof remedies;

/** What happened in the world: nothing, a part, or nobody can tell. */
export type FailureEffect = "none" | "partial" | "unknown";

/** A failure as plain data: what actors keep and frames carry. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly effect: FailureEffect;
}

/** Thrown at edges only: drivers, stores, sockets, parsers. */
export class KithError extends Error {
  override readonly name = "KithError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** What to do next, for the person who reads the message. */
  get remedy(): string {
    return remedies[this.code];
  }
}

/**
 * Codes that a node may give for a call or a stream. The others speak of the gateway's own house,
 * and a device has no say in what its owner is told to do there: they read as `internal`.
 */
const wireCodes: ReadonlySet<string> = new Set<ErrorCode>([
  ...([
    "schema",
    "unsupported",
    "denied-local",
    "denied-person",
    "os-permission",
    "not-ready",
  ] as const),
  ...([
    "busy",
    "foreground",
    "deadline",
    "timeout",
    "cancelled",
    "fenced",
    "replay",
    "conflict",
  ] as const),
  ...(["too-big", "hash-mismatch", "gone", "interrupted", "driver", "rate", "internal"] as const),
  ...([
    "capability-off",
    "no-camera",
    "camera-busy",
    "ffmpeg-missing",
    "locked",
    "bad-result",
    "bad-args",
    "disk-full",
    "outside-tailnet",
    "no-file",
  ] as const),
]);

export const fromWire = (code: string): ErrorCode =>
  wireCodes.has(code) ? (code as ErrorCode) : "internal";

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(remedies, code);
}

/**
 * Turns whatever was thrown into plain data. Only a `KithError`'s own words pass:
 * a stranger's message may hold a path or a token, so it stays in the log.
 */
export function toFailure(thrown: unknown, effect: FailureEffect): Failure {
  if (thrown instanceof KithError) return { code: thrown.code, message: thrown.message, effect };
  return { code: "internal", message: "an unexpected error; the log has it", effect };
}
