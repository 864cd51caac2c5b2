/**
 * Who may do what, now. Pure: everything it looks at comes in as an argument, and there is no
 * other way to a device. First rule that hits wins; deny on doubt.
 *
 *   1 device known  2 capability offered and on  3 within the tailnet's ceiling  4 not locked, not in safe mode
 *   5 not denied by the owner's lines  6 live grant → allow  7 allowed by them → allow  8 harmless (tier 0) → allow
 *   9 the owner may be asked → ask  10 → deny
 */
import type { Capability } from "@kith/shared/capabilities/capability";
import type { ErrorCode } from "@kith/shared/errors";
import type { Offered } from "@kith/shared/protocol/session";
import { type DeviceRow, beyond } from "../devices/device.ts";
import type { Boundary } from "./boundaries.ts";
import { type Grant, type Kept, isSameKept } from "./grant.ts";

export interface Question {
  readonly device: DeviceRow | undefined;
  readonly capability: Capability | undefined;
  readonly offered: Offered | undefined;
  /** It offers that, but was paired without: nothing beyond what was agreed then is ever asked. */
  readonly unagreed?: boolean;
  /** `owner` acts for themselves and may be asked; anybody else needs a grant. */
  readonly requester: string;
  /** It read what others may have written, and may do what they want: no standing permission counts but for a few. */
  readonly tainted?: boolean;
  /** What the owner's lines in config.yaml say of it: boundaries.ts. */
  readonly boundary?: Boundary | undefined;
  /** Of its arguments, those that a permission keeps. */
  readonly kept?: Kept | undefined;
  readonly grants: readonly Grant[];
  /** What the policy of the tailnet permits of this device; undefined: no ceiling. See devices/device.ts. */
  readonly ceiling: readonly string[] | undefined;
  readonly locked: boolean;
  /** After three crashes nothing is sent until the owner says so: invocations/boots.ts. */
  readonly safe: boolean;
  /** Unix ms, never earlier than any time already seen: a clock set back revives nothing. */
  readonly now: number;
}

export interface Step {
  readonly rule: string;
  readonly verdict: "pass" | "allow" | "ask" | "deny";
}

export type Decision = { readonly steps: readonly Step[]; readonly rule: string } & (
  | { readonly verdict: "allow"; readonly grant?: Grant }
  | { readonly verdict: "ask" }
  | { readonly verdict: "deny"; readonly code: ErrorCode; readonly message: string }
);

export function decide(question: Question): Decision {
  const steps: Step[] = [];
  const pass = (rule: string) => void steps.push({ rule, verdict: "pass" });
  const deny = (rule: string, code: ErrorCode, message: string): Decision => {
    steps.push({ rule, verdict: "deny" });
    return { verdict: "deny", rule, code, message, steps };
  };
  const { device, capability, offered, grants, requester, now } = question;

  if (!device) return deny("device-known", "device-unknown", "there is no such device");
  if (device.state === "revoked")
    return deny("device-known", "revoked", `${device.name} was revoked`);
  if (device.state === "held")
    return deny(
      "device-known",
      "fenced",
      `${device.name} is kept out: its key may have been copied`,
    );
  pass("device-known");

  if (!capability)
    return deny("capability-known", "unsupported", "Kith does not know that capability");
  if (!offered)
    return deny(
      "capability-offered",
      "not-offered",
      question.unagreed
        ? `${device.name} was paired without ${capability.name}: \`kith devices widen "${device.name}" ${capability.name}\` lets it be asked for that`
        : `${device.name} does not offer ${capability.name}`,
    );
  if (offered.v !== capability.version || weaker(offered.effect, capability.effect)) {
    return deny(
      "capability-offered",
      "unsupported",
      `${device.name} offers another version of ${capability.name}`,
    );
  }
  if (offered.state === "off")
    return deny("capability-on", "capability-off", `${capability.name} is off at ${device.name}`);
  if (offered.policy === "deny")
    return deny(
      "capability-on",
      "denied-local",
      `${device.name} does not allow ${capability.name}`,
    );
  if (offered.state === "denied" || offered.state === "needs-permission") {
    return deny(
      "capability-on",
      "os-permission",
      because(`the system of ${device.name} does not permit ${capability.name}`, offered),
    );
  }
  pass("capability-on");

  if (beyond(question.ceiling, capability.name))
    return deny(
      "tailnet-ceiling",
      "outside-tailnet",
      `the tailnet's policy does not permit ${capability.name} of ${device.name}`,
    );
  pass("tailnet-ceiling");

  if (question.locked) return deny("lock", "locked", "everything is locked");
  pass("lock");
  if (question.safe)
    return deny("safe-mode", "safe-mode", "nothing is sent to devices: Kith crashed three times");
  pass("safe-mode");

  const { boundary, tainted = false } = question;
  if (boundary?.word === "deny")
    return deny(boundary.rule, "not-granted", `${boundary.rule} denies ${capability.name}`);
  pass("boundaries");

  // What is powerful (tier 3) is asked each time: no permission outlasts the call that it was given for.
  const standing =
    capability.tier < 3 && boundary?.word !== "ask"
      ? grants.find((one) => matches(one, device, capability, requester, now, question.kept))
      : undefined;
  const grant = !tainted || capability.tainted === "allowed" ? standing : undefined;
  if (grant) {
    steps.push({ rule: "grant", verdict: "allow" });
    return { verdict: "allow", rule: `grant ${grant.id}`, grant, steps };
  }
  pass("grant");

  if (boundary?.word === "allow" && requester === "owner" && capability.tier < 3 && !tainted) {
    steps.push({ rule: boundary.rule, verdict: "allow" });
    return { verdict: "allow", rule: boundary.rule, steps };
  }
  if (capability.tier === 0 && boundary?.word !== "ask") {
    steps.push({ rule: "harmless", verdict: "allow" });
    return { verdict: "allow", rule: "harmless", steps };
  }
  pass("harmless");

  if (requester === "owner") {
    const rule =
      boundary?.word === "ask" ? boundary.rule : standing ? "words-of-others-read" : "owner-asked";
    steps.push({ rule, verdict: "ask" });
    return { verdict: "ask", rule, steps };
  }
  return deny(
    "owner-asked",
    "not-granted",
    `${requester} has no grant for ${capability.name} of ${device.name}`,
  );
}

/** Whether this grant covers that use now. One-use grants are bound to their call when minted. */
export function matches(
  grant: Grant,
  device: DeviceRow,
  { name: cap, own, kept: keeps }: Pick<Capability, "name" | "own" | "kept">,
  requester: string,
  now: number,
  kept?: Kept,
): boolean {
  return (
    grant.state === "live" &&
    grant.device === device.id &&
    grant.cap === cap &&
    grant.shape === own?.shape &&
    grant.requester === requester &&
    (keeps === undefined ||
      (grant.kept !== undefined && kept !== undefined && isSameKept(grant.kept, kept))) &&
    grant.call === undefined &&
    grant.revocation === device.revocation &&
    grant.since <= now &&
    (grant.notAfter === undefined || now < grant.notAfter) &&
    (grant.uses === undefined || grant.uses > 0)
  );
}

const STRICTNESS = { read: 0, idempotent: 1, once: 2 } as const;
const weaker = (offered: keyof typeof STRICTNESS, known: keyof typeof STRICTNESS) =>
  STRICTNESS[offered] < STRICTNESS[known];

const because = (what: string, { reason }: Offered) => (reason ? `${what}: ${reason}` : what);
