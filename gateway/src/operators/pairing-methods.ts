/**
 * Methods that let a device in: by a ticket to carry there, or by a code that it shows.
 * A ticket is the owner's word given beforehand, so it needs no answer.
 */
import { catalogue } from "@kith/shared/capabilities/index";
import { ANY_OWN, isOwn } from "@kith/shared/capabilities/own";
import { type ErrorCode, KithError } from "@kith/shared/errors";
import { fromHex, hex, newId } from "@kith/shared/ids";
import { readCode } from "@kith/shared/noise/approval-code";
import { TICKET_BYTES, formatTicket, ticketKey } from "@kith/shared/noise/ticket";
import { formatInvitation } from "@kith/shared/protocol/invitation";
import { id26, list, name, str } from "@kith/shared/protocol/words";
import * as v from "valibot";
import type { Attempt, Desk } from "../devices/pairing.machine.ts";
import { type Book, ticketLimits } from "../devices/ticket.machine.ts";
import { ownAddresses, reachOfAddress } from "../mesh/reachable.ts";
import { ASK, NOTHING, event } from "./lookup.ts";
import { type Caller, type Method, type MethodsOptions, method } from "./method.ts";
import { approved, invited, listening, time, unreachable, ways } from "./text.ts";

const TICKET_MS = 600_000;
/** A pairing link names so many addresses at most. */
const MOST_ADDRESSES = 8;

const invitation = v.strictObject({
  /** Capabilities, or the first part of their names, that the device turns on. */
  caps: v.optional(list(name(48), 64), []),
  ttl_s: v.optional(
    v.pipe(
      v.number(),
      v.integer(),
      v.minValue(ticketLimits.leastMs / 1_000, "a ticket lives for a minute at least"),
      v.maxValue(ticketLimits.mostMs / 1_000, "a ticket lives for a day at most"),
    ),
    TICKET_MS / 1_000,
  ),
});

export function pairingMethods(options: MethodsOptions): [string, Method][] {
  const { runtime, clock, rng, gateway } = options;

  /** A device shows its code a moment before we know it: whoever types faster than that is not wrong. */
  const revealed = async (): Promise<void> => {
    for (let tries = 0; tries < 20; tries++) {
      const desk = await runtime.ask<Desk>("pairing/desk", event({ type: "desk.read" }), ASK);
      if (desk.pending.every(({ code }) => code !== undefined)) return;
      await new Promise<void>((resolve) => clock.after(50, resolve));
    }
  };

  const told = async <T extends object>(to: `${string}/${string}`, asked: object): Promise<T> => {
    const answer = await runtime.ask<T | Refused>(to, event(asked as { type: string }), ASK);
    if ("refuse" in answer) throw new KithError(answer.refuse, answer.message);
    return answer;
  };

  const listen = (by: string) =>
    told<{ until: number }>("pairing/desk", { type: "owner.listened", by });

  const invite = async (
    { caps: said, ttl_s }: v.InferOutput<typeof invitation>,
    { by }: Caller,
  ) => {
    const caps = chosen(said);
    const ticket = rng.bytes(TICKET_BYTES);
    const id = newId(clock, rng);
    const { until } = await told<{ until: number }>("ticket/book", {
      type: "owner.invited",
      // Whoever names nothing decides at the device, and at each first use.
      ticket: {
        id,
        until: clock.now() + ttl_s * 1_000,
        ceiling: caps.length > 0 ? caps : [...catalogue.keys(), ANY_OWN],
      },
      secret: hex(ticketKey(ticket)),
      by,
    });
    const sha256 = await options.agentHash();
    const addresses = options.addresses().slice(0, MOST_ADDRESSES);
    const link = formatInvitation({ gateway: fromHex(gateway.key), ticket, addresses, caps });
    return {
      ...{ id, link, until, caps, listen: addresses },
      line: `npx kith node '${link}'`,
      ...(sha256 === undefined ? {} : { bare: bare(addresses[0] ?? "", sha256, link) }),
      ticket: formatTicket(ticket),
    };
  };

  const lonely = () => options.addresses().every((one) => reachOfAddress(one) === "machine");
  const hint = () => (lonely() ? [unreachable(ownAddresses())] : []);

  return [
    [
      "pair.invite",
      method(invitation, async (wish, caller) => {
        const out = await invite(wish, caller);
        return { out: { ...out, only_here: lonely() }, text: [invited(out), ...hint()].join("\n") };
      }),
    ],
    [
      "pair.withdraw",
      method(v.strictObject({ ticket: id26 }), async ({ ticket }, { by }) => {
        await told("ticket/book", { type: "owner.withdrew", ticket, by });
        return { out: { ticket }, text: "It lets nobody in any more." };
      }),
    ],
    [
      "pair.listen",
      method(NOTHING, async (_, { by }) => {
        const { until } = await listen(by);
        const addresses = options.addresses();
        return {
          out: { until, listen: addresses, id: gateway.id },
          text: [listening(until, addresses), ...hint()].join("\n"),
        };
      }),
    ],
    [
      // What a person in a chat gets: the ticket first, and the code for whom it cannot be carried to.
      "pair.offer",
      method(NOTHING, async (_args, caller) => {
        // The line for a machine without Kith is long; `kith pair invite` prints it.
        const { bare: _, ...ticket } = await invite({ caps: [], ttl_s: TICKET_MS / 1_000 }, caller);
        const { until } = await listen(caller.by);
        return {
          out: { ...ticket, window: until },
          text: [
            invited(ticket),
            "",
            `Or by a code. ${listening(until, ticket.listen)}`,
            ...hint(),
          ].join("\n"),
        };
      }),
    ],
    [
      "pair.open",
      method(v.strictObject({ address: v.optional(str(64)) }), async ({ address }, { by }) => {
        const own = ownAddresses();
        if (address === undefined) {
          const out = {
            listen: options.addresses(),
            own: own.map(({ host, reach }) => ({ host, reach })),
          };
          return { out, text: ways(out.listen, own) };
        }
        const host = own.find((one) => one.host === address || one.reach === address)?.host;
        if (host === undefined)
          throw new KithError(
            "bad-args",
            `${address} is no address of this machine; there is ${own.map((one) => one.host).join(", ") || "none that others reach"}`,
          );
        const opened = await options.open(host, by);
        runtime.tell("pairing/desk", event({ type: "owner.opened", address: opened, by } as never));
        return {
          out: { listen: options.addresses(), opened },
          text: `Devices reach this gateway at ${opened} now, and after every start.`,
        };
      }),
    ],
    [
      "pair.approve",
      method(v.strictObject({ code: str(64) }), async ({ code }, { by }) => {
        const typed = readCode(code);
        await revealed();
        const found = await runtime.ask<{ attempt: Attempt } | Refused>(
          "pairing/desk",
          event({ type: "owner.typed", code: typed, by } as never),
          ASK,
        );
        if ("refuse" in found) throw new KithError(found.refuse, found.message);
        const { attempt } = found;
        const out = {
          device: attempt.device,
          name: attempt.about.name,
          platform: `${attempt.about.os} ${attempt.about.arch}`.trim(),
          role: "node",
          source: attempt.source,
          caps: attempt.caps,
          returnCode: attempt.returnCode ?? "",
        };
        return { out, text: approved(out) };
      }),
    ],
    [
      "pair.list",
      method(NOTHING, async () => {
        const desk = await runtime.ask<Desk>("pairing/desk", event({ type: "desk.read" }), ASK);
        const { tickets } = await runtime.ask<Book>(
          "ticket/book",
          event({ type: "book.read" }),
          ASK,
        );
        const open = desk.until > clock.now();
        const out = {
          open,
          ...(open ? { until: desk.until } : {}),
          slots_left: open ? Math.max(0, 5 - desk.slotsHere) : 0,
          pending: desk.pending.map((one) => ({
            name: one.about.name,
            platform: `${one.about.os} ${one.about.arch}`,
            source: one.source,
            since: one.since,
          })),
          tickets: tickets.map(({ id, until, ceiling, usedBy }) => ({
            id,
            until,
            caps: ceiling,
            ...(usedBy === undefined ? {} : { used_by: usedBy }),
          })),
        };
        const waitingText = out.pending
          .map((one) => `  ${one.name} (${one.platform}, from ${one.source})`)
          .join("\n");
        const ticketText = out.tickets.map(
          ({ id, until, used_by }) =>
            `Ticket ${id}, until ${time(until)}${used_by === undefined ? "" : `, used by ${used_by}`}.`,
        );
        const said = open
          ? `Pairing by code is open until ${time(desk.until)}.${waitingText ? `\nWaiting for /approve CODE:\n${waitingText}` : ""}`
          : "Pairing by code is closed. /pair opens it.";
        return { out, text: [said, ...ticketText].join("\n") };
      }),
    ],
  ];
}

/**
 * For a machine that has Node and nothing of Kith. The file comes over a line that anybody may
 * have changed, so its hash, which came with the ticket, is compared before it runs.
 */
const bare = (address: string, sha256: string, link: string): string =>
  [
    `curl -fsSo kith-node.mjs http://${address}/agent`,
    `node -e 'if(require("crypto").createHash("sha256").update(require("fs").readFileSync("kith-node.mjs")).digest("hex")!=="${sha256}")throw "this is another file"'`,
    `node kith-node.mjs '${link}'`,
  ].join(" && ");

/** `camera` means all that begin so. @throws KithError bad-args */
function chosen(said: readonly string[]): string[] {
  const caps = said.flatMap((word) => {
    if (isOwn(word)) return [word];
    // What is powerful (tier 3) is turned on by its whole name only.
    const fitting = [...catalogue.values()]
      .filter(({ name: cap, tier }) => cap === word || (tier < 3 && cap.startsWith(`${word}.`)))
      .map(({ name: cap }) => cap);
    if (fitting.length === 0)
      throw new KithError(
        "bad-args",
        `there is no capability ${word}; there are ${[...catalogue.keys()].join(", ")}`,
      );
    return fitting;
  });
  return [...new Set(caps)];
}

interface Refused {
  readonly refuse: ErrorCode;
  readonly message: string;
}
