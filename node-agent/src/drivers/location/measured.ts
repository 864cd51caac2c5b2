/** Where the system says that this machine is, by a small program that is there or not: nothing of it is ours. */
import { KithError } from "@kith/shared/errors";
import type { Desktop } from "../../platform.ts";
import { isThere } from "../session.ts";
import { need, runProgram } from "../program.ts";

export interface Measured {
  readonly latitude: number;
  readonly longitude: number;
  /** What the system thinks it may be off by, in metres, if it says so. */
  readonly accuracy: number | undefined;
}

export interface Source {
  readonly name: "geoclue" | "corelocation";
  measure(signal: AbortSignal): Promise<Measured>;
}

/** GeoClue serves whoever stays connected while it measures; its own example does, and prints what it gets. */
const EXAMPLES = [
  "/usr/libexec/geoclue-2.0/demos/where-am-i",
  "/usr/lib/geoclue-2.0/demos/where-am-i",
];
const SECONDS = "8";

/** @throws KithError not-ready, with what to do */
export async function measuring(desktop: Desktop, examples = EXAMPLES): Promise<Source> {
  const { env, os } = desktop;
  switch (os) {
    case "linux": {
      for (const program of examples)
        if (await isThere(program))
          return { name: "geoclue", measure: (signal) => geoclue(program, env, signal) };
      throw nothing("or install GeoClue with its example (`geoclue-2-demo` on Debian)");
    }
    case "macos": {
      const program = await need(desktop, "CoreLocationCLI").catch(() => undefined);
      if (program === undefined) throw nothing("or `brew install corelocationcli`");
      return { name: "corelocation", measure: (signal) => coreLocation(program, env, signal) };
    }
    default:
      throw nothing("nothing on this system is asked");
  }
}

const nothing = (more: string) =>
  new KithError("not-ready", `no place is set here; say \`kith node --place LAT,LON\`, ${more}`);

type Environment = Readonly<Record<string, string>>;

async function geoclue(program: string, env: Environment, signal: AbortSignal): Promise<Measured> {
  const ran = await runProgram(program, ["-t", SECONDS, "-a", "8"], { signal, env, most: 65_536 });
  const told = Buffer.from(ran.stdout).toString("utf8");
  const last = (field: string) =>
    [...told.matchAll(new RegExp(`^\\s*${field}:\\s+(-?\\d+(?:\\.\\d+)?)`, "gm"))].at(-1)?.[1];
  return checked(last("Latitude"), last("Longitude"), last("Accuracy"));
}

async function coreLocation(
  program: string,
  env: Environment,
  signal: AbortSignal,
): Promise<Measured> {
  const args = ["--format", "%latitude %longitude %h_accuracy"];
  const ran = await runProgram(program, args, { signal, env, most: 65_536 });
  if (/denied|not authorized|disabled/i.test(ran.stderr))
    throw new KithError(
      "os-permission",
      "allow it in System Settings > Privacy & Security > Location Services",
    );
  return checked(...Buffer.from(ran.stdout).toString("utf8").trim().split(/\s+/));
}

/** @throws KithError driver when that is no place on earth */
function checked(latitude?: string, longitude?: string, accuracy?: string): Measured {
  const metres = Number(accuracy ?? NaN);
  const found = {
    ...{ latitude: Number(latitude ?? NaN), longitude: Number(longitude ?? NaN) },
    accuracy: metres >= 0 && metres <= 20_000_000 ? metres : undefined,
  };
  if (Math.abs(found.latitude) <= 90 && Math.abs(found.longitude) <= 180) return found;
  throw new KithError("driver", "the system does not know where it is");
}
