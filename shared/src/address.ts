/** HOST:PORT as people, links and files have it: an IPv6 host stands in brackets. */
export const hostPort = (host: string, port: number): string =>
  `${host.includes(":") ? `[${host}]` : host}:${port}`;

/** The parts of HOST:PORT, without the brackets. */
export function hostAndPort(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(":");
  return {
    host: address.slice(0, at).replaceAll(/[[\]]/g, ""),
    port: Number(address.slice(at + 1)),
  };
}
