/** SEC-15: whatever a private address is written as, nobody connects to it. */
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { systemClock } from "@kith/shared/clock";
import { Egress } from "@kith/gateway/egress/egress";
import { Register } from "@kith/gateway/egress/register";
import { expect, test } from "vitest";
import { PUBLIC, code, web } from "./world.ts";

const hosts = [
  // 127.0.0.1 in every spelling that some parser takes.
  ...["127.0.0.1", "127.1", "127.0.1", "2130706433", "017700000001", "0177.0.0.1", "0177.0.0.01"],
  ...[
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7F.1",
    "0x7f.0x0.0x0.0x1",
    "127.0.0.1.",
    "127.0x1",
    "127.000.000.001",
  ],
  ...[
    "127.127.127.127",
    "127.0.0.2",
    "0",
    "0.0.0.0",
    "0x0",
    "00.0.0.0",
    "4294967295",
    "%31%32%37.0.0.1",
  ],
  ...["１２７.0.0.1", "①②⑦.⓪.⓪.①", "127。0。0。1", "127．0．0．1", "0x7f。1", "%30x7f.1"],
  // Private, carriers', link-local, metadata, documentation, multicast, reserved.
  ...["10.0.0.1", "10.1", "0xa000001", "167772161", "012.0.0.1", "10.255.255.255"],
  ...["172.16.0.1", "172.31.255.255", "0xac100001", "2886729729", "0254.020.0.1"],
  ...["192.168.0.1", "192.168.1", "0xc0a80001", "3232235521", "0300.0250.0.1", "192.168.255.255"],
  ...["100.64.0.1", "100.100.100.100", "100.100.100.200", "100.127.255.254", "1681915905"],
  ...[
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
  ],
  ...["168.63.129.16", "192.0.0.192", "192.0.0.1", "192.0.2.1", "198.51.100.7", "203.0.113.9"],
  ...["198.18.0.1", "198.19.255.255", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1"],
  ...["255.255.255.255", "0xffffffff"],
  // IPv6, and IPv4 inside of it.
  ...["[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::127.0.0.1]", "[::7f00:1]"],
  ...["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]", "[::ffff:10.0.0.1]"],
  ...[
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:192.168.0.1]",
    "[::ffff:0:127.0.0.1]",
  ],
  ...["[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::10.0.0.1]"],
  ...["[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a00:1::1]", "[2002:c0a8:1::1]", "[2001::1]"],
  ...["[2001:0:7f00:1::]", "[2001:db8::1]", "[3fff::1]", "[100::1]", "[fe80::1]", "[febf::1]"],
  ...[
    "[fc00::1]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[fd7a:115c:a1e0::53]",
    "[fec0::1]",
    "[ff02::1]",
  ],
  ...["[ff0e::1]", "[5f00::1]", "[4000::1]", "[::2]"],
];
/** Names, each with what the resolver says of it. */
const names: Readonly<Record<string, readonly string[]>> = {
  localhost: ["127.0.0.1"],
  "localhost.": ["::1"],
  LOCALHOST: ["127.0.0.1"],
  "127.0.0.1.nip.example": ["127.0.0.1"],
  "printer.local": ["192.168.1.20"],
  "metadata.google.internal": ["169.254.169.254"],
  "machine.tail1234.ts.net": ["100.101.102.103"],
  "six.tail1234.ts.net": ["fd7a:115c:a1e0::1"],
  "both.example": [PUBLIC, "10.0.0.1"],
  "mapped.example": ["::ffff:10.0.0.1"],
  "sixtofour.example": ["2002:7f00:1::1"],
  "zone.example": ["fe80::1%lo"],
  "nonsense.example": ["not an address"],
};
/** Whole addresses that are refused for what they are. */
const urls = [
  ...[
    "file:///etc/passwd",
    "ftp://public.example/",
    "gopher://public.example/",
    "data:text/html,x",
  ],
  ...["javascript:1", "blob:http://public.example/x", "ws://public.example/", "about:blank"],
  ...["http://user@public.example/", "http://:secret@public.example/", "http://a:b@127.0.0.1/"],
  ...[
    "http://public.example@127.0.0.1/",
    "http://127.0.0.1\\@public.example/",
    "http://127.0.0.1#@public.example/",
  ],
  ...[
    "http://127.0.0.1?@public.example/",
    "http:127.0.0.1",
    "http:\\\\127.0.0.1\\",
    "ht\ntp://127.0.0.1/",
  ],
  ...["http://127.0.0.1:8080/", "https://127.0.0.1/", "https://[::1]:8443/", "http://\t127.0.0.1/"],
  ...["http://public.example:22/", "http://public.example:25/", "http://public.example:6379/"],
  ...["http://public.example:0/", "http://public.example:65535/", "http://public.example:5484/"],
  ...[
    "http://public.example:99999/",
    "http://[fe80::1%25eth0]/",
    "http://[::1/",
    "//127.0.0.1/",
    "",
  ],
  ...["http://", "http:///", "http://256.256.256.256/", "http://1.2.3.4.5/", "http://0x1ffffffff/"],
];
const all = [...[...hosts, ...Object.keys(names)].map((host) => `http://${host}/`), ...urls];

test("there are more than 120 forms, and a public address is no such form", async () => {
  expect(new Set(all).size).toBeGreaterThan(150);
  await using there = await web((_, response) => response.end("hello"));
  expect((await there.get("http://public.example/")).body.toString()).toBe("hello");
  expect(there.dialled).toEqual([`${PUBLIC} 80`]);
});

test("none of them is connected to", async () => {
  await using there = await web((_, response) => response.end(), {
    resolve: (host) => Promise.resolve(names[host] ?? names[host.toUpperCase()] ?? [PUBLIC]),
  });
  const codes = [];
  for (const url of all) codes.push([url, await code(there.get(url))]);
  // A host that is no host at all is `1.2.3.4.5`: refused as an address, never looked up.
  expect(codes.filter(([, why]) => why !== "address-refused")).toEqual([]);
  expect([there.dialled, there.hits]).toEqual([[], []]);
});

test("none of them is connected to when a page sends there", async () => {
  let to = "";
  await using there = await web(
    ({ headers }, response) => {
      if (headers.host === "public.example") response.writeHead(302, { location: to });
      response.end();
    },
    { resolve: (host) => Promise.resolve(names[host] ?? names[host.toUpperCase()] ?? [PUBLIC]) },
  );
  // What is relative, or has no form, stays with the page; so does what a header cannot carry.
  const elsewhere = all.filter(
    (url) =>
      /^[!-~]+$/.test(url) &&
      URL.parse(url)?.href === URL.parse(url, "http://public.example/")?.href,
  );
  expect(elsewhere.length).toBeGreaterThan(120);
  const codes = [];
  for (const url of elsewhere) {
    to = url;
    codes.push([url, await code(there.get("http://public.example/"))]);
  }
  expect(codes.filter(([, why]) => why !== "address-refused")).toEqual([]);
  expect(new Set(there.hits.map(({ host }) => host))).toEqual(new Set(["public.example"]));
  expect(there.hits).toHaveLength(elsewhere.length);
});

test("with the system's own resolver and sockets: an exact host and port of the owner, and no other", async () => {
  let hits = 0;
  const trap = createServer((_, response) => void response.end());
  trap.on("connection", () => (hits += 1));
  await new Promise<void>((done) => trap.listen(0, "127.0.0.1", done));
  const { port } = trap.address() as AddressInfo;
  const options = { clock: systemClock, register: new Register(systemClock) };
  const get = (egress: Egress, place: string) =>
    egress.get({ url: `http://${place}/`, accept: "*/*" }, new AbortController().signal);
  const egress = new Egress({ ...options, allow: [`localhost:${port}`, "127.0.0.1:1"] });
  for (const place of [
    "127.0.0.1",
    `127.0.0.1:${port}`,
    "localhost",
    `localhost.:${port}`,
    "127.1:80",
  ])
    expect([place, await code(get(egress, place))]).toEqual([place, "address-refused"]);
  expect(hits).toBe(0);
  expect((await get(egress, `LOCALHOST:${port}`)).status).toBe(200);
  const written = new Egress({ ...options, allow: [`127.0.0.1:${port}`] });
  expect((await get(written, `2130706433:${port}`)).status).toBe(200);
  expect(hits).toBe(2);
  trap.closeAllConnections();
  await new Promise((done) => trap.close(done));
});
