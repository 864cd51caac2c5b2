/** `liar-mdns.child.ts HOST PORT`: answers every question with gateways that are none, as anybody in a network may. */
import multicastDns from "multicast-dns";

const [host = "", port = ""] = process.argv.slice(2);
const SERVICE = "_kith._tcp.local";
const mdns = multicastDns();
mdns.on("query", () => {
  const lies = Array.from({ length: 40 }, (_, at) => ({
    name: `kith-lie${at}.${SERVICE}`,
    target: `lie${at}.local`,
    port: at === 0 ? Number(port) : 1 + at,
  }));
  mdns.respond([
    ...lies.map(({ name }) => ({ name: SERVICE, type: "PTR" as const, data: name })),
    ...lies.map(({ name, target, port: at }) => ({
      ...{ name, type: "SRV" as const },
      data: { port: at, target },
    })),
    ...lies.map(({ name }) => ({
      name,
      type: "TXT" as const,
      data: ["v=1", "id=0000000000000000"],
    })),
    ...lies.map(({ target }) => ({ name: target, type: "A" as const, data: host })),
    { name: `evil.${SERVICE}`, type: "SRV" as const, data: { port: 0, target: "\u001b[2J" } },
  ]);
});
mdns.on("ready", () => process.stdout.write(`${JSON.stringify({ event: "lying" })}\n`));
