import type { networkInterfaces } from "node:os";
import { ownAddresses, reachOf, reachable, written } from "@kith/gateway/mesh/reachable";
import { expect, test } from "vitest";

const one = (address: string, internal = false) => ({
  ...{ address, internal, netmask: "", mac: "", cidr: null },
  ...(address.includes(":")
    ? { family: "IPv6" as const, scopeid: 0 }
    : { family: "IPv4" as const }),
});
const interfaces: ReturnType<typeof networkInterfaces> = {
  lo: [one("127.0.0.1", true), one("::1", true)],
  ts0: [one("100.101.102.103"), one("fd7a:115c:a1e0::1")],
  eth0: [one("fe80::1"), one("fd00::2"), one("192.168.1.10"), one("169.254.3.4")],
};
const own = ownAddresses(interfaces);

test("this network comes before the tailnet, IPv4 before IPv6; what none can dial is left out", () => {
  expect(own.map(({ host, reach }) => [host, reach])).toEqual([
    ["192.168.1.10", "network"],
    ["fd00::2", "network"],
    ["100.101.102.103", "tailnet"],
    ["fd7a:115c:a1e0::1", "tailnet"],
  ]);
});

test.for([
  ["127.0.0.1", "machine"],
  ["::1", "machine"],
  ["localhost", "machine"],
  ["100.63.255.255", "network"],
  ["100.64.0.0", "tailnet"],
  ["100.127.255.255", "tailnet"],
  ["100.128.0.0", "network"],
  ["10.0.0.1", "network"],
] as const)("%s is of the %s", ([host, reach]) => {
  expect(reachOf(host)).toBe(reach);
});

test("a wildcard stands for what is behind it; loopback counts only where there is nothing else", () => {
  const dial = (...hosts: string[]) =>
    reachable(
      hosts.map((host) => ({ host, port: 5_484 })),
      own,
    ).map(written);
  expect(dial("127.0.0.1")).toEqual(["127.0.0.1:5484"]);
  expect(dial("127.0.0.1", "192.168.1.10")).toEqual(["192.168.1.10:5484"]);
  expect(dial("0.0.0.0")).toEqual(["192.168.1.10:5484", "100.101.102.103:5484"]);
  expect(dial("::")).toHaveLength(4);
  expect(dial("fd00::2")).toEqual(["[fd00::2]:5484"]);
  expect(reachable([{ host: "0.0.0.0", port: 1 }], []).map(written)).toEqual(["0.0.0.0:1"]);
});
