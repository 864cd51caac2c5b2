/** Which addresses are everybody's, so that a page or a model may name them. All others are somebody's own. */
import { BlockList, isIPv4, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";

/** IPv4 with a purpose of its own: RFC 6890 and what was added since. */
const SPECIAL = [
  ["0.0.0.0", 8], // this machine
  ["10.0.0.0", 8], // private
  ["100.64.0.0", 10], // behind a carrier's NAT; tailnets; metadata of Alibaba
  ["127.0.0.0", 8],
  ["168.63.129.16", 32], // metadata of Azure
  ["169.254.0.0", 16], // link-local; metadata of most others
  ["172.16.0.0", 12], // private
  ["192.0.0.0", 24],
  ["192.0.2.0", 24], // documentation
  ["192.88.99.0", 24], // 6to4 relays
  ["192.168.0.0", 16], // private
  ["198.18.0.0", 15], // measurements
  ["198.51.100.0", 24], // documentation
  ["203.0.113.0", 24], // documentation
  ["224.0.0.0", 3], // multicast, reserved, broadcast
] as const;

/** Of 2000::/3, which alone is given out to the public: protocols with Teredo, documentation, 6to4. */
const SPECIAL_6 = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
] as const;

const special = new BlockList();
for (const [net, bits] of SPECIAL) special.addSubnet(net, bits);
for (const [net, bits] of SPECIAL_6) special.addSubnet(net, bits, "ipv6");
const given = new BlockList();
given.addSubnet("2000::", 3, "ipv6");

/** False for whatever is not the text of an address, too. Mapped IPv4, private and local IPv6 are outside 2000::/3. */
export function isPublic(address: string): boolean {
  if (isIPv4(address)) return !special.check(address) && !own().check(address);
  if (!isIPv6(address) || address.includes("%")) return false;
  const behind = nat64(address);
  if (behind !== undefined) return isPublic(behind);
  return (
    given.check(address, "ipv6") && !special.check(address, "ipv6") && !own().check(address, "ipv6")
  );
}

/** The IPv4 address in one of 64:ff9b::/96: networks without IPv4 give every name such a one. */
function nat64(address: string): string | undefined {
  const plain = new URL(`http://[${address}]`).hostname;
  const found = /^\[64:ff9b::(?:([0-9a-f]+):)?([0-9a-f]*)\]$/.exec(plain);
  if (!found) return undefined;
  const [high, low] = [found[1], found[2]].map((group) => Number.parseInt(group || "0", 16));
  return [high, low].flatMap((group = 0) => [group >> 8, group & 255]).join(".");
}

/** Networks that this machine is part of, whatever their addresses: IPv6 at home is public in form only. */
function own(): BlockList {
  const networks = new BlockList();
  for (const { address, cidr, family } of Object.values(networkInterfaces()).flatMap(
    (found) => found ?? [],
  )) {
    const kind = family === "IPv4" ? "ipv4" : "ipv6";
    const bits = Number(cidr?.split("/")[1]);
    if (bits > 0) networks.addSubnet(address, bits, kind);
    else networks.addAddress(address, kind);
  }
  return networks;
}
