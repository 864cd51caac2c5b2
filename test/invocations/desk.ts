/** The table of calls with devices, grants and media as a test wants them; no runtime, no socket. */
import { catalogue } from "@kith/shared/capabilities/index";
import type { ErrorFrame, Result } from "@kith/shared/protocol/call";
import type { Offered } from "@kith/shared/protocol/session";
import type { CeilingMode } from "@kith/shared/tailnet/ceiling";
import type { DeviceRow, OfferedSet } from "@kith/gateway/devices/device";
import type { Call } from "@kith/gateway/invocations/call";
import { type Limits, UsageLedger } from "@kith/gateway/budgets/usage";
import { CAREFUL } from "@kith/gateway/grants/boundaries";
import { Calls } from "@kith/gateway/invocations/calls";
import { type CallsEvent, type Request } from "@kith/gateway/invocations/request";
import { type Outcome } from "@kith/gateway/invocations/outcome";
import { Documents } from "@kith/gateway/runtime/documents";
import type { Effect } from "@kith/gateway/runtime/effect";
import { collect } from "@kith/gateway/runtime/fx";

export const sha256 = new Uint8Array(32).fill(7);
export const snapOut = { taken_at_ms: 1, camera: "cam", width_px: 4, height_px: 4 };
export const image = { stream: "S", role: "image", type: "image/jpeg", size: 10, sha256 };

const offer = (cap: string, change: Partial<Offered> = {}): Offered => ({
  ...{
    cap,
    v: 1,
    effect: catalogue.get(cap)?.effect ?? "once",
    state: "ready",
    policy: "allow",
    foreground: false,
  },
  ...{ parallel: 16, max_ms: 10_000, max_bytes: 0, ...change },
});

type Of<T extends Effect["kind"]> = Extract<Effect, { kind: T }>;

export class Desk {
  readonly #stored = new Map<string, unknown>();
  readonly documents = new Documents({
    openDocuments: () => [],
    document: (table, id) => this.#stored.get(`${table}/${id}`),
  });
  readonly links = new Map<string, number>();
  readonly media = new Set<string>();
  now = 1_000_000;
  settling = false;
  ceiling: CeilingMode = "auto";
  limits: Limits = {};
  boundaries = CAREFUL;
  calls: Calls;
  #turns = 0;
  #newest = 0;
  effects: Effect[] = [];

  constructor() {
    this.documents.reload();
    this.calls = this.#fresh();
    this.device("laptop");
    this.offers(
      "laptop",
      ...["camera.list", "camera.snap", "device.info", "files.read"].map((cap) => offer(cap)),
    );
    this.links.set("laptop", 1);
  }

  #fresh(): Calls {
    return new Calls({
      ...{
        documents: this.documents,
        gateway: "gateway",
        ceiling: this.ceiling,
        boundaries: this.boundaries,
      },
      settling: () => this.settling,
      ledger: new UsageLedger(this.documents, this.limits),
      media: { find: (hash) => (this.media.has(hash) ? `/media/${hash}` : undefined) },
      link: (id) => (this.links.has(id) ? { epoch: this.links.get(id) ?? 0 } : undefined),
      fingerprint: () => "fingerprint",
      latest: (at) => (this.#newest = Math.max(this.#newest, at)),
    });
  }

  /** The process begins anew over the same rows. */
  restart(): void {
    this.calls = this.#fresh();
    this.calls.reload();
  }

  put(
    table: "device" | "grant" | "call" | "setting",
    id: string,
    body: unknown,
    open = true,
  ): void {
    this.#stored.set(`${table}/${id}`, body);
    this.documents.put(table, id, open, body);
  }

  device(id: string, change: Partial<DeviceRow> = {}): void {
    const row: DeviceRow = {
      ...{
        id,
        name: id,
        kind: "laptop",
        os: "linux",
        arch: "x64",
        agent: "",
        key: "00",
        state: "paired",
      },
      ...{
        ceiling: [...catalogue.keys()],
        pairedAt: 1,
        seenAt: 1,
        epoch: 1,
        revocation: 0,
        ledger: "LEDGER",
      },
      ...this.documents.get<DeviceRow>("device", id),
      ...change,
    };
    this.put("device", id, row);
  }

  offers(id: string, ...caps: Offered[]): void {
    const set: OfferedSet = { hash: new Uint8Array(32), caps };
    this.put("device", `caps/${id}`, set);
  }

  /** Changes one offered capability of the laptop. */
  offer(cap: string, change: Partial<Offered>): void {
    const caps = this.documents.get<OfferedSet>("device", "caps/laptop")?.caps ?? [];
    this.offers("laptop", ...caps.filter((one) => one.cap !== cap), offer(cap, change));
  }

  /** One turn; what it asked for is kept and returned. */
  tell(call: string, event: { type: CallsEvent["type"] } & Record<string, unknown>): Effect[] {
    const effects = collect(() =>
      this.calls.receive(
        { to: `invocation/${call}`, event, msg: "m", lane: "normal", durable: false },
        this.now,
        `turn-${++this.#turns}`,
      ),
    );
    for (const effect of effects) {
      if (effect.kind === "put")
        this.put(effect.table as "call", effect.id, effect.body, effect.open);
    }
    this.effects = effects;
    return effects;
  }

  request(call: string, change: Partial<Request> = {}): Outcome {
    this.tell(call, {
      type: "call.requested",
      request: {
        device: "laptop",
        cap: "camera.snap",
        args: {},
        requester: "owner",
        by: "console:owner",
        ...change,
      },
    });
    return this.#of("reply")[0]?.value as Outcome;
  }

  /** The owner's answer to the question about this call. */
  allow(call: string, wish = "once"): void {
    this.tell(call, {
      type: "approval.approved",
      planHash: this.call(call).planHash,
      for: wish,
      by: "console:owner",
    });
  }

  /** Asked and allowed: it left. */
  sent(call: string, change: Partial<Request> = {}): Call {
    this.request(call, { allow: "once", ...change });
    return this.call(call);
  }

  result(call: string, change: Partial<Result> = {}, device = "laptop"): void {
    this.tell(call, {
      type: "node.result",
      device,
      result: { t: "result", call, out: snapOut, streams: [image], ran_ms: 1, ...change },
    });
  }

  error(call: string, change: Partial<ErrorFrame> = {}, device = "laptop"): void {
    this.tell(call, {
      type: "node.error",
      device,
      error: { t: "error", call, code: "driver", text: "broke", effect: "none", ...change },
    });
  }

  ledger(call: string, found: string, more: object = {}): void {
    this.tell(call, {
      type: "ledger.read",
      device: "laptop",
      found,
      ledger: "LEDGER",
      floor: 0,
      epoch: this.links.get("laptop") ?? 0,
      ...more,
    });
  }

  /** The row, also of a call that ended. */
  call(id: string): Call {
    return this.documents.find<Call>("call", id) as Call;
  }
  /** `state code effect`, with `-` where there is no failure. */
  state(id: string): string {
    const { state, failure } = this.call(id);
    return failure ? `${state} ${failure.code} ${failure.effect}` : state;
  }

  #of<T extends Effect["kind"]>(kind: T): Of<T>[] {
    return this.effects.filter((effect): effect is Of<T> => effect.kind === kind);
  }
  /** Orders to the wire of the last turn: `invoke CALL`. */
  steps(): string[] {
    return this.#of("signal").flatMap(({ topic, data }) => {
      const { call, step } = data as { call: string; step: string };
      return topic === "call.step" ? [`${step} ${call}`] : [];
    });
  }
  audit(): string[] {
    return this.#of("audit").map(({ what }) => what);
  }
  tells(): { to: string; event: { type: string } & Record<string, unknown> }[] {
    return this.#of("tell") as never;
  }
}
