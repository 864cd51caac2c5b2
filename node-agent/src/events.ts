/** What the agent tells the person or program that started it: one line each on stdout. */
import type { Failure, KithError } from "@kith/shared/errors";
import type { Asked } from "./answer.ts";
import type { Found } from "./discover.ts";

export type AgentEvent =
  | { event: "starting"; name: string; home: string }
  /** No gateway is known: who shows itself here? */
  | { event: "looking" }
  | { event: "found"; gateways: readonly Found[] }
  /** What was typed is no number of the list. */
  | { event: "no-such-gateway" }
  /** The socket is open; nobody has proved anything yet. */
  | { event: "connected"; address: string }
  | { event: "code"; code: string; left_ms: number }
  /** The owner typed the code: now the return code is read from stdin. */
  | { event: "approved" }
  | { event: "return-code-wrong"; tries_left: number }
  /** What was typed cannot be a return code; it cost no try. */
  | { event: "return-code-malformed" }
  | { event: "paired"; device: string; gateway: string }
  | { event: "ready"; epoch: number }
  /** A camera, microphone or screen is in use; `on: true` is out before the first frame. */
  | { event: "notice"; what: string; on: boolean }
  /** Somebody at the device may answer, on the terminal or through node.sock. */
  | { event: "asked"; call: string; cap: string; text: string; left_ms: number }
  /** The agent that runs with this home takes the changes over; `drivers`: those at its next start. */
  | { event: "stored"; drivers: boolean }
  /** A question that was put here was answered elsewhere, or is over. */
  | { event: "settled"; call: string }
  /** What is asked on this device now, the oldest first. */
  | { event: "questions"; questions: readonly Asked[] }
  /** Somebody answered by `kith node yes` or `no`. */
  | { event: "answered"; text: string; yes: boolean }
  /** A module of the owner's own does not fit; everything else goes on. */
  | { event: "driver-failed"; file: string; message: string }
  | { event: "locked"; locked: boolean }
  | { event: "settings"; name: string; policy: Readonly<Record<string, string>> }
  | { event: "waiting"; why: string; retry_ms: number }
  | { event: "ended"; why: string }
  | { event: "failed"; error: Pick<Failure, "code" | "message"> & { remedy: string } };

/** Resolves when the line was handed to the system. */
export type Say = (event: AgentEvent) => Promise<void>;

export function failed({ code, message, remedy }: KithError): AgentEvent {
  return { event: "failed", error: { code, message, remedy } };
}

/** What a device may do, in one line. */
export const chosen = (policy: Readonly<Record<string, string>>): string =>
  Object.entries(policy)
    .filter(([, rule]) => rule !== "off")
    .map(([cap, rule]) => `${cap} ${rule}`)
    .join(", ") || "everything stays off";

/** The same for people. `screen`: the tick screen follows an approval. */
export function sentence(event: AgentEvent, screen = false): string {
  switch (event.event) {
    case "starting":
      return `This is ${event.name} (${event.home}).`;
    case "looking":
      return "No gateway is known yet. Looking around...";
    case "found":
      return [
        "Gateways that show themselves:",
        ...event.gateways.map(
          ({ id, addresses, by }, at) =>
            `  ${at + 1}  ${addresses[0]} (${by === "network" ? "this network" : "your tailnet"}; ${id})`,
        ),
      ].join("\n");
    case "no-such-gateway":
      return "That is no number of the list.";
    case "connected":
      return `Connected to ${event.address}.`;
    case "code":
      return `Code: ${event.code}\nType it at the gateway: /approve ${event.code.replaceAll("-", "")} (${Math.round(event.left_ms / 60_000)} min left).`;
    case "approved":
      return screen
        ? "The gateway says: approved. First, what this device may do for you:"
        : "The gateway says: approved. Type the return code it shows (4 digits):";
    case "return-code-wrong":
      return event.tries_left > 0
        ? `That is not the return code (${event.tries_left} left).`
        : "That is not the return code.";
    case "return-code-malformed":
      return "That is not 4 digits.";
    case "paired":
      return `Paired: this device is ${event.device}, its gateway ${event.gateway}.`;
    case "ready":
      return "Ready.";
    case "notice":
      return event.on ? `● in use: ${event.what}` : `○ no longer in use: ${event.what}`;
    case "asked":
      return `${event.text} [y/N] (${Math.round(event.left_ms / 1_000)} s)`;
    case "settled":
      return "That question is over: it was answered elsewhere, or nobody answered.";
    case "stored":
      return `Stored. The agent that runs here takes it over${event.drivers ? ", and the driver when it starts anew" : ""}.`;
    case "questions":
      return (
        event.questions.map(({ code, text }) => `${code}  ${text}`).join("\n") ||
        "Nothing is asked on this device now."
      );
    case "answered":
      return `${event.text} ${event.yes ? "Yes." : "No."}`;
    case "driver-failed":
      return `Left out: ${event.message}`;
    case "locked":
      return event.locked
        ? "Locked: nothing runs on this device until you unlock it."
        : "Unlocked.";
    case "settings":
      return `${event.name}: ${chosen(event.policy)}.`;
    case "waiting":
      return `${event.why}; trying again in ${Math.ceil(event.retry_ms / 1_000)} s.`;
    case "ended":
      return `Ended: ${event.why}.`;
    case "failed":
      return `${event.error.message}\n${event.error.remedy}`;
  }
}
