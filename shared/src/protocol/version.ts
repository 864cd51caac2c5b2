/** The wire's version: the major in the handshake, the minor agreed in hello and welcome. */
export const WIRE_MAJOR = 1;
export const WIRE_MINOR = 0;

/** One dated line for each raise. */
export const history = [{ minor: 0, date: "2026-11", change: "first" }] as const;
