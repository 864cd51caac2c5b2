/**
 * What the node knows about itself: one folder of mode 0700, the only reader of the environment.
 *
 *   node.json      name, gateway (pinned key, addresses), policy, cameras, roots, place, drivers
 *   keys/node.key  32 bytes, 0600: who this device is
 *   epoch          the highest link epoch ever served; fences an older gateway
 *   ledger.log     every call (ledger.ts)         spool/   content the gateway has not yet
 *   locked         there: everything is off       node.sock, agent.lock
 */
import { open, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { KithError } from "@kith/shared/errors";
import { fromHex, keyId } from "@kith/shared/ids";
import { generateStaticKey, importStaticKey, type KeyPair } from "@kith/shared/noise/keys";
import { kinds } from "@kith/shared/protocol/session";
import { key16, list, name, str } from "@kith/shared/protocol/words";
import { modes } from "@kith/shared/tailnet/ceiling";
import * as v from "valibot";
import { crashpoint } from "./crashpoint.ts";
import {
  isMissing,
  privateFile,
  privateFolder,
  readText,
  syncFolder,
  writeDurably,
} from "./disk.ts";

export const DEFAULT_PORT = 5_484;
/** Node ids, capabilities, cameras and folders that a file may name; far more than anybody has. */
const MOST_ENTRIES = 64;

const few = <T extends v.GenericSchema<Record<string, unknown>>>(schema: T) =>
  v.pipe(
    schema,
    v.check(
      (value) => Object.keys(value as object).length <= MOST_ENTRIES,
      `at most ${MOST_ENTRIES} entries`,
    ),
  );

/** `HOST:PORT`; an IPv6 host stands in brackets. */
const address = v.pipe(
  str(300),
  v.regex(/^(?:\[[0-9a-fA-F:.%\w]+\]|[^\s:/?#@[\]]+):\d{1,5}$/, "HOST:PORT"),
);

const degrees = (most: number) => v.pipe(v.number(), v.minValue(-most), v.maxValue(most));

/** Where this machine is, in degrees north and east. */
const placeSchema = v.strictObject({
  latitude: degrees(90),
  longitude: degrees(180),
  name: v.optional(name(64)),
});
export type Place = v.InferOutput<typeof placeSchema>;

const settingsSchema = v.strictObject({
  name: name(64),
  kind: v.picklist(kinds.filter((kind) => kind !== "operator" && kind !== "browser")),
  gateway: v.optional(
    v.strictObject({
      addresses: v.pipe(list(address, 16), v.minLength(1)),
      /** Its public key, pinned at pairing: hex of 32 bytes. */
      key: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "64 hex digits"))),
      id: v.optional(key16),
      /** Pinned, but the gateway has not said yet that it took us. */
      unconfirmed: v.optional(v.boolean()),
    }),
  ),
  /** Capabilities that are not off. */
  policy: few(v.record(name(48), v.picklist(["ask", "allow"]))),
  cameras: list(name(64), 16),
  /** Shared folders: name to absolute path. */
  roots: few(v.record(name(64), str(4_096))),
  place: v.optional(placeSchema),
  /** Absolute paths of modules that its owner wrote; see drivers/own.ts. */
  drivers: v.optional(list(str(4_096), 16), []),
  tailnet: v.optional(
    v.strictObject({
      /** How the policy of the tailnet is read; `auto` if not said. */
      ceiling: v.optional(v.picklist(modes)),
      /** Where its daemon listens, if not in its usual place. */
      socket: v.optional(str(4_096)),
    }),
  ),
});

export type Settings = v.InferOutput<typeof settingsSchema>;
export type Gateway = NonNullable<Settings["gateway"]>;

/** `$KITH_HOME`, where the gateway of this machine lives too. */
export function kithHome(env: NodeJS.ProcessEnv = process.env): string {
  return resolve(env["KITH_HOME"] || join(homedir(), ".kith"));
}

/** HOST[:PORT] as a person types it. @throws KithError usage */
export function readAddress(typed: string): string {
  const bare =
    /^[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.%\w]*$/.test(typed) && !typed.startsWith("[");
  const full = bare
    ? `[${typed}]:${DEFAULT_PORT}`
    : /:\d+$/.test(typed) && !/^\[[^\]]*$/.test(typed)
      ? typed
      : `${typed}:${DEFAULT_PORT}`;
  const port = Number(full.slice(full.lastIndexOf(":") + 1));
  if (!v.is(address, full) || port < 1 || port > 65_535)
    throw new KithError("usage", `--gateway takes HOST or HOST:PORT, not ${JSON.stringify(typed)}`);
  return full;
}

/** LAT,LON[,NAME] as a person types it, in plain degrees. @throws KithError usage */
export function readPlace(typed: string): Place {
  const [, latitude, longitude, called] =
    /^\s*(-?\d{1,3}(?:\.\d{1,15})?)\s*,\s*(-?\d{1,3}(?:\.\d{1,15})?)\s*(?:,\s*(.*?)\s*)?$/.exec(
      typed,
    ) ?? [];
  const place = {
    ...{ latitude: Number(latitude), longitude: Number(longitude) },
    ...(called !== undefined && { name: called }),
  };
  if (!v.is(placeSchema, place))
    throw new KithError(
      "usage",
      `--place takes LAT,LON[,NAME] in degrees, not ${JSON.stringify(typed)}`,
    );
  return place;
}

/** The node's folder, opened. One per process. */
export class Home {
  readonly dir: string;
  #settings: Settings;
  #epoch = 0;

  private constructor(dir: string, settings: Settings) {
    this.dir = dir;
    this.#settings = settings;
  }

  /** @throws KithError home-unsafe, config-invalid */
  static async open(dir: string, fresh: Pick<Settings, "name" | "kind">): Promise<Home> {
    await privateFolder(dir);
    const home = new Home(dir, { ...fresh, policy: {}, cameras: [], roots: {}, drivers: [] });
    await home.reload();
    const epoch = (await readText(home.path("epoch"))) ?? "0";
    if (!/^\d{1,16}\n?$/.test(epoch))
      throw new KithError("config-invalid", `${home.path("epoch")} is no number`);
    home.#epoch = Number(epoch);
    return home;
  }

  get settings(): Settings {
    return this.#settings;
  }

  /** The highest epoch served; 0 before the first link. */
  get epoch(): number {
    return this.#epoch;
  }

  path(...names: string[]): string {
    return join(this.dir, ...names);
  }

  /** Reads node.json again, where there is one. @throws KithError config-invalid that names the field */
  async reload(): Promise<void> {
    const path = this.path("node.json");
    const text = await readText(path);
    if (text === undefined) return;
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      throw new KithError("config-invalid", `${path} is no JSON`);
    }
    const checked = v.safeParse(settingsSchema, json);
    if (!checked.success)
      throw invalid(
        path,
        v.getDotPath(checked.issues[0]) ?? "the whole",
        checked.issues[0].message,
      );
    const { key, id } = checked.output.gateway ?? {};
    if (key !== undefined && id !== keyId(fromHex(key)))
      throw invalid(path, "gateway.id", "not the id of gateway.key");
    this.#settings = checked.output;
  }

  /** Changes settings durably. @throws KithError config-invalid, with nothing changed */
  async save(change: { readonly [K in keyof Settings]?: Settings[K] | undefined }): Promise<void> {
    const path = this.path("node.json");
    const next = Object.fromEntries(
      Object.entries({ ...this.#settings, ...change }).filter(([, value]) => value !== undefined),
    );
    const checked = v.safeParse(settingsSchema, next);
    if (!checked.success)
      throw invalid(
        path,
        v.getDotPath(checked.issues[0]) ?? "the whole",
        checked.issues[0].message,
      );
    await writeDurably(path, `${JSON.stringify(checked.output, undefined, 2)}\n`);
    this.#settings = checked.output;
  }

  /** Durable before it resolves; a lower one changes nothing. */
  async raiseEpoch(epoch: number): Promise<void> {
    if (epoch <= this.#epoch) return;
    crashpoint("node.epoch");
    await writeDurably(this.path("epoch"), `${epoch}\n`);
    crashpoint("node.epoch");
    this.#epoch = epoch;
  }

  /** Who this device is; made at the first start. @throws KithError home-unsafe */
  async key(): Promise<KeyPair> {
    await privateFolder(this.path("keys"));
    const path = this.path("keys", "node.key");
    const raw = await this.#readKey(path);
    const pair = await importStaticKey(raw);
    raw.fill(0);
    return pair;
  }

  async #readKey(path: string): Promise<Uint8Array> {
    try {
      await privateFile(path);
    } catch (error) {
      if (!isMissing(error)) throw error;
      const raw = await generateStaticKey();
      const file = await open(path, "wx", 0o600);
      try {
        await file.writeFile(raw);
        await file.sync();
      } finally {
        await file.close();
      }
      await syncFolder(this.path("keys"));
      await syncFolder(this.dir);
      return raw;
    }
    const raw = new Uint8Array(await readFile(path));
    if (raw.length !== 32)
      throw new KithError(
        "config-invalid",
        `${path} is no key: it has ${raw.length} bytes instead of 32`,
      );
    return raw;
  }
}

const invalid = (path: string, field: string, why: string) =>
  new KithError("config-invalid", `${path}: ${field}: ${why}`);
