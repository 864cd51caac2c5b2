/**
 * What both ends must agree on before a handshake, and the four bytes that say it.
 *
 *   first message of N = 0x4B 'K' ‖ wire major ‖ pattern ‖ role ‖ Noise message 1
 *
 * The prefix travels in clear, but both ends mix the prologue into the handshake's hash:
 * with another prefix, role, path or gateway the handshake fails. So nobody in between can
 * talk the two down, or carry one's message to another door.
 */
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { KithError } from "../errors.ts";
import type { KeyId } from "../ids.ts";
import type { Pattern } from "./handshake.ts";

export type Role = "node" | "operator";

/** The logical path, whatever a proxy shows: native clients, browsers. */
export type MeshPath = "/v1/mesh" | "/v1/web";

/** What the prefix says. */
export interface Opening {
  readonly pattern: Pattern;
  readonly role: Role;
}

export const PREFIX_BYTES = 4;
const MAGIC = 0x4b;
/** Other majors cannot talk to us. */
const WIRE_MAJOR = 1;
/** 4 is reserved for IKpsk2. */
const patternIds: Readonly<Record<Pattern, number>> = { IK: 1, XXpsk3: 2, XX: 3 };
const roleIds: Readonly<Record<Role, number>> = { node: 1, operator: 2 };

export function prefix({ pattern, role }: Opening): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(MAGIC, WIRE_MAJOR, patternIds[pattern], roleIds[role]);
}

/**
 * Reads the first 4 bytes of N's first message; the Noise part follows them.
 * @throws KithError `unsupported` for another wire major (close 4426), `schema` for anything else (4400)
 */
export function readPrefix(message: Uint8Array): Opening {
  const [magic, major, patternId, roleId] = message;
  if (message.length < PREFIX_BYTES || magic !== MAGIC)
    throw new KithError("schema", "no Kith link");
  if (major !== WIRE_MAJOR) throw new KithError("unsupported", "another major version of the wire");
  const pattern = nameOf(patternIds, patternId);
  const role = nameOf(roleIds, roleId);
  if (!pattern || !role) throw new KithError("schema", "an unknown pattern or role");
  return { pattern, role };
}

function nameOf<Name extends string>(ids: Readonly<Record<Name, number>>, id: number | undefined) {
  for (const name in ids) if (ids[name] === id) return name;
  return undefined;
}

/**
 * `gateway` is the id that N means to reach, respectively G's own: with IK, and only then.
 * @throws RangeError when it is missing with IK or given without
 */
export function prologue(
  opening: Opening & { readonly path: MeshPath; readonly gateway?: KeyId },
): Uint8Array<ArrayBuffer> {
  const { pattern, path, gateway = "" } = opening;
  if (gateway.length !== (pattern === "IK" ? 16 : 0))
    throw new RangeError("gateway id: wrong or missing");
  return concatBytes(
    utf8ToBytes("kith-mesh-v1"),
    prefix(opening),
    utf8ToBytes(`${path}\0${gateway}`),
  );
}
