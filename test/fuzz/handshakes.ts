/**
 * Handshakes that were recorded and come again, go back to their sender, or to another role,
 * path or gateway; and somebody in between who pairs with both ends with keys of his own, by code
 * and by ticket.
 */
import { systemRng } from "@kith/shared/clock";
import { type KeyId, keyId } from "@kith/shared/ids";
import { approvalCode } from "@kith/shared/noise/approval-code";
import { type Handshake, startHandshake } from "@kith/shared/noise/handshake";
import { type KeyPair, generateKeyPair } from "@kith/shared/noise/keys";
import { type Role, prologue } from "@kith/shared/noise/prologue";
import type { Report } from "../report/report.ts";

type Path = "/v1/mesh" | "/v1/web";

const node = await generateKeyPair();
const gateway = await generateKeyPair();
const other = await generateKeyPair();

function ik(
  initiator: boolean,
  change: { role?: Role; path?: Path; g?: KeyPair; s?: KeyPair } = {},
): Handshake {
  const { role = "node", path = "/v1/mesh", g = gateway, s = initiator ? node : g } = change;
  const id = keyId(g.publicKey) as KeyId;
  return startHandshake({
    pattern: "IK",
    initiator,
    prologue: prologue({ pattern: "IK", role, path, gateway: id }),
    s,
    ...(initiator && { rs: g.publicKey }),
  });
}

/** Whether both ends have the same keys in the end, which is what being accepted means. */
async function meets(first: Uint8Array, g: Handshake, n: Handshake | undefined): Promise<boolean> {
  try {
    await g.read(first);
    const answer = await g.write();
    if (!n) {
      // A replayer holds no ephemeral key: it cannot read the answer, and so never seals a frame.
      const stranger = ik(true);
      await stranger.write();
      await stranger.read(answer);
      return true;
    }
    await n.read(answer);
    await n.split();
    return true;
  } catch {
    return false; // whatever it says, there is no link
  }
}

const attacks: Readonly<Record<string, () => Promise<boolean>>> = {
  replay: async () => meets(await ik(true).write(), ik(false), undefined),
  reflection: async () => {
    const n = ik(true);
    const own = await n.write();
    return n.read(own).then(
      () => true,
      () => false,
    );
  },
  "cross-role": async () => {
    const n = ik(true, { role: "operator" });
    return meets(await n.write(), ik(false), n);
  },
  "cross-path": async () => {
    const n = ik(true, { path: "/v1/web" });
    return meets(await n.write(), ik(false), n);
  },
  "cross-gateway": async () => {
    const n = ik(true);
    return meets(await n.write(), ik(false, { g: other }), n);
  },
};

export async function handshakes(
  report: Report,
  { times, until }: { times: number; until: number },
) {
  const honest = ik(true);
  if (!(await meets(await honest.write(), ik(false), honest)))
    return report.problem("handshakes: an honest one was refused, so nothing below means anything");
  let tried = 0;
  let accepted = 0;
  for (let n = 0; n < times && performance.now() < until; n++)
    for (const [name, attack] of Object.entries(attacks)) {
      tried++;
      if (!(await attack())) continue;
      accepted++;
      report.problem(`handshakes: ${name} was accepted`);
    }
  report.figure("fuzz.handshakes.tried", tried, { unit: "handshakes" });
  report.figure("fuzz.handshakes.accepted", accepted, {
    unit: "handshakes",
    goal: { op: "==", value: 0 },
  });
}

const xx = (initiator: boolean, s: KeyPair) =>
  startHandshake({
    pattern: "XX",
    initiator,
    prologue: prologue({ pattern: "XX", role: "node", path: "/v1/mesh" }),
    s,
  });

async function shaken(a: Handshake, b: Handshake): Promise<Uint8Array> {
  await b.read(await a.write());
  await a.read(await b.write());
  await b.read(await a.write());
  return (await a.split()).hash;
}

const ticketed = (initiator: boolean, s: KeyPair, psk: Uint8Array) =>
  startHandshake({
    pattern: "XXpsk3",
    initiator,
    prologue: prologue({ pattern: "XXpsk3", role: "node", path: "/v1/mesh" }),
    s,
    psks: [psk],
  });

/**
 * Tickets with somebody in between who has not seen them: he swaps keys, replays a message of an earlier
 * pairing, or passes one on. Success is a finished handshake with either end.
 */
export async function tickets(report: Report, { times, until }: { times: number; until: number }) {
  const psk = systemRng.bytes(32);
  await shaken(ticketed(true, node, psk), ticketed(false, gateway, psk));
  // What he recorded of an honest pairing with the same ticket.
  const [n, g] = [ticketed(true, node, psk), ticketed(false, gateway, psk)];
  const first = await n.write();
  await g.read(first);
  await n.read(await g.write());
  const last = await n.write();
  const finishes = async (end: Handshake, work: () => Promise<unknown>): Promise<boolean> => {
    await work().catch(() => {});
    return end.done;
  };
  const tries: Readonly<Record<string, () => Promise<boolean>>> = {
    "a swapped key towards the gateway": async () => {
      const end = ticketed(false, gateway, psk);
      return finishes(end, () => shaken(ticketed(true, other, systemRng.bytes(32)), end));
    },
    "a replayed last message": async () => {
      const end = ticketed(false, gateway, psk);
      return finishes(end, async () => {
        await end.read(first);
        await end.write();
        await end.read(last);
      });
    },
    "the device's own message given back to it": async () => {
      const end = ticketed(true, node, psk);
      return finishes(end, async () => end.read(await end.write()));
    },
    "the last message of another ticket": async () => {
      const [mine, theirs] = [systemRng.bytes(32), ticketed(false, gateway, psk)];
      return finishes(theirs, () => shaken(ticketed(true, node, mine), theirs));
    },
  };
  let tried = 0;
  let accepted = 0;
  while (tried < times && performance.now() < until)
    for (const [name, attack] of Object.entries(tries)) {
      tried++;
      if (!(await attack())) continue;
      accepted++;
      report.problem(`tickets: ${name} was accepted`);
    }
  report.figure("fuzz.tickets.tried", tried, { unit: "handshakes" });
  report.figure("fuzz.tickets.accepted", accepted, {
    unit: "handshakes",
    goal: { op: "==", value: 0 },
  });
}

/** Ceremonies with somebody in between; a code that fits both ends would be his success. */
export async function swapped(report: Report, { times, until }: { times: number; until: number }) {
  let tried = 0;
  let fitting = 0;
  const h = await shaken(xx(true, node), xx(false, gateway));
  const [nN, nG] = [systemRng.bytes(16), systemRng.bytes(16)];
  if (approvalCode(h, nN, nG).code !== approvalCode(h, nN, nG).code)
    report.problem("swapped: honest ends do not see the same code");
  for (; tried < times && performance.now() < until; tried++) {
    const [left, right] = [
      await shaken(xx(true, node), xx(false, other)),
      await shaken(xx(true, other), xx(false, gateway)),
    ];
    // He passes the nonces on, the best that he can do: the hashes are not his to choose.
    const [a, b] = [systemRng.bytes(16), systemRng.bytes(16)];
    if (approvalCode(left, a, b).code === approvalCode(right, a, b).code) fitting++;
  }
  report.figure("fuzz.swapped.ceremonies", tried, { unit: "ceremonies" });
  report.figure("fuzz.swapped.fitting", fitting, { unit: "codes", goal: { op: "==", value: 0 } });
}
