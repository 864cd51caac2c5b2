/** How devices reach this gateway, step by step: what `kith doctor mesh` shows. */
import { lookup as resolveName } from "node:dns/promises";
import { reachOf, reachOfAddress } from "../mesh/reachable.ts";
import { NOTHING, lookup } from "./lookup.ts";
import { type Method, type MethodsOptions, method } from "./method.ts";

/** As those of `kith doctor`: `note` is true and harmless, but worth knowing. */
interface Check {
  readonly name: string;
  readonly state: "ok" | "note" | "wrong";
  readonly text: string;
  readonly fix?: string;
}

export function meshMethods(options: MethodsOptions): [string, Method][] {
  return [
    [
      "mesh.check",
      method(NOTHING, async () => {
        const checks = [...(await tailnetChecks(options)), ...deviceChecks(options)];
        const text = checks
          .map(({ name, text: said, fix }) => `${name}: ${said}${fix ? ` ${fix}` : ""}`)
          .join("\n");
        return { out: { checks }, text };
      }),
    ],
  ];
}

async function tailnetChecks({ tailnet, addresses }: MethodsOptions): Promise<Check[]> {
  const check = (state: Check["state"], text: string, fix?: string): Check => ({
    ...{ name: "tailnet", state, text },
    ...(fix === undefined ? {} : { fix }),
  });
  if (!tailnet) return [check("note", "not looked at: `tailnet: off` in config.yaml")];
  const status = await tailnet.look();
  if (!status)
    return [
      check(
        "note",
        "no Tailscale daemon answers on this machine",
        "Devices come by this network or the internet; with Tailscale they find it from anywhere.",
      ),
    ];
  const { state, tun, self } = status;
  if (state !== "Running" || !self)
    return [check("wrong", `the Tailscale daemon is ${state}`, "Run `tailscale up`.")];
  const [first = "no address"] = self.ips;
  const checks = [
    check("ok", `this machine is ${self.dns || self.host}, ${first}`),
    tun
      ? check("ok", "kernel mode: a peer's own address is seen")
      : check(
          "note",
          "userspace mode: every peer that the policy lets in reaches what listens on loopback, and arrives from 127.0.0.1",
          "Kith trusts no address, so that is no door; other programs on this machine may.",
        ),
  ];
  const ways = addresses().filter(
    (one) => one.startsWith(`${self.dns}:`) || reachOfAddress(one) === "tailnet",
  );
  checks.push(
    ways.length > 0
      ? check("ok", `devices dial ${ways.join(" or ")}`)
      : check("note", "this gateway does not listen in the tailnet", `kith pair open ${first}`),
  );
  if (tun && self.dns && ways.length > 0) checks.push(await nameCheck(self.dns, self.ips, check));
  return checks;
}

async function nameCheck(
  name: string,
  ips: readonly string[],
  check: (state: Check["state"], text: string, fix?: string) => Check,
): Promise<Check> {
  try {
    const { address } = await resolveName(name);
    return ips.includes(address)
      ? check("ok", `${name} leads to ${address}`)
      : check("wrong", `${name} leads to ${address}, which is another machine`);
  } catch {
    return check(
      "note",
      `${name} is not known to this machine's name service`,
      "Devices with MagicDNS know it; the others dial the address.",
    );
  }
}

function deviceChecks(options: MethodsOptions): Check[] {
  const { presence, tailnet } = options;
  return lookup(options)
    .rows()
    .flatMap((row): Check[] => {
      const link = presence.get(row.id);
      if (!link) return [];
      const here = row.tailnet?.epoch === link.epoch ? row.tailnet : undefined;
      const way = here
        ? `by the tailnet as ${here.name || here.node}, ${tailnet?.route(here) ?? "path not known yet"}`
        : { machine: "from this machine", network: "by the network", tailnet: "by the tailnet" }[
            reachOf(link.source)
          ];
      const may = row.tailnet?.may;
      return [
        {
          ...{ name: row.name, state: "ok" },
          text: `${way}${may ? `; the policy permits ${may.join(", ") || "nothing"}` : ""}`,
        },
      ];
    });
}
