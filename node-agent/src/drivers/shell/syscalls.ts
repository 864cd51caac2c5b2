/**
 * The few system calls that namespaces do not hold in, refused by a seccomp filter (Linux, classic
 * BPF; `seccomp_data` and the return values of linux/seccomp.h).
 *
 *   another architecture's call ─► killed      refused call ─► EPERM
 *   socket of another family ─► EAFNOSUPPORT    all else ─► allowed
 *
 * Sockets: a path in the shared folder may be a socket that somebody outside listens on, and vsock
 * leads to the machine's host; neither asks a network namespace. Key rings are the session's, not
 * the sandbox's. io_uring makes sockets without the call `socket`. The rest is what an ordinary
 * program has no use for and kernels had holes in.
 */
interface Numbers {
  /** AUDIT_ARCH_…, of linux/audit.h. */
  readonly arch: number;
  readonly socket: number;
  readonly refused: readonly number[];
  /** x32: calls from here on are the same ones in another numbering. */
  readonly foreign?: number;
}

/** In `refused`: io_uring_setup, add_key, request_key, keyctl, bpf, perf_event_open, userfaultfd. */
const numbers: Readonly<Record<string, Numbers>> = {
  x64: {
    arch: 0xc000003e,
    socket: 41,
    refused: [425, 248, 249, 250, 321, 298, 323],
    foreign: 0x40000000,
  },
  arm64: { arch: 0xc00000b7, socket: 198, refused: [425, 217, 218, 219, 280, 241, 282] },
};

/** AF_INET, AF_INET6, AF_NETLINK: each belongs to the network namespace, which is empty. */
const FAMILIES = [2, 10, 16];

/** Offsets in `seccomp_data`; the low half of the first argument, since both are little-endian. */
const [NUMBER, ARCH, FIRST_ARGUMENT] = [0, 4, 16];
const [LOAD, IF_EQUAL, IF_AT_LEAST, RETURN] = [0x20, 0x15, 0x35, 0x06];
const [ALLOW, KILL] = [0x7fff0000, 0x80000000];
const [EPERM, EAFNOSUPPORT] = [0x00050001, 0x00050061];

/** The filter for one processor, or undefined where its numbers are not known. */
export function syscallFilter(processor: string): Uint8Array | undefined {
  const known = Object.hasOwn(numbers, processor) ? numbers[processor] : undefined;
  if (!known) return undefined;
  const { arch, socket, refused, foreign } = known;
  return program([
    [LOAD, ARCH],
    // Each condition skips the one line after it when it does not hold.
    [IF_EQUAL, arch, 1, 0],
    [RETURN, KILL],
    [LOAD, NUMBER],
    ...(foreign === undefined ? [] : when(IF_AT_LEAST, foreign, KILL)),
    ...refused.flatMap((number) => when(IF_EQUAL, number, EPERM)),
    [IF_EQUAL, socket, 1, 0],
    [RETURN, ALLOW],
    [LOAD, FIRST_ARGUMENT],
    ...FAMILIES.flatMap((family) => when(IF_EQUAL, family, ALLOW)),
    [RETURN, EAFNOSUPPORT],
  ]);
}

type Line = readonly [code: number, k: number, ifSo?: number, ifNot?: number];

const when = (condition: number, value: number, then: number): Line[] => [
  [condition, value, 0, 1],
  [RETURN, then],
];

/** `struct sock_filter`: u16 code, u8 jt, u8 jf, u32 k. */
function program(lines: readonly Line[]): Uint8Array {
  const bytes = Buffer.alloc(lines.length * 8);
  for (const [at, [code, k, ifSo = 0, ifNot = 0]] of lines.entries()) {
    bytes.writeUInt16LE(code, at * 8);
    bytes.writeUInt8(ifSo, at * 8 + 2);
    bytes.writeUInt8(ifNot, at * 8 + 3);
    bytes.writeUInt32LE(k, at * 8 + 4);
  }
  return bytes;
}
