/** Tailscale's ranges. They are no proof of anything: an address is a way to dial, never identity. */
const RANGES = /^(?:100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|fd7a:115c:a1e0:)/i;

/** Whether an IP address is one of a tailnet. */
export const isTailnet = (address: string): boolean => RANGES.test(address);
