/**
 * A device in a network of its own, behind a router, by namespaces of Linux: what no proxy can do, since the
 * addresses, the links and the loss are the kernel's.
 *
 *   gateway, here  10.66.N.1 ── 10.66.N.2  router  10.67.N.1 ── 10.67.N.2  the device
 */
import { ip } from "../support/ip.ts";

export class OwnNetwork implements Disposable {
  static #made = 0;
  readonly #id: string;
  /** Of its addresses: no two networks of a run have the same, since the kernel lets go of one when it has time. */
  readonly #n: number;
  #host = 2;

  private constructor(n: number) {
    this.#n = n;
    this.#id = `${process.pid % 100_000}x${n}`;
  }

  /** @throws Error with the words of `ip`, where this process may not make networks */
  static open(): OwnNetwork {
    const network = new OwnNetwork(++OwnNetwork.#made);
    try {
      network.#make();
    } catch (error) {
      network[Symbol.dispose]();
      throw error;
    }
    return network;
  }

  /** Where the gateway listens for it. */
  get gateway(): string {
    return `10.66.${this.#n}.1`;
  }

  /** What starts a program inside. */
  get through(): readonly string[] {
    return ["ip", "netns", "exec", this.#device];
  }

  /** The cable is pulled, and plugged in again. */
  linkDown(): void {
    ip("-n", this.#device, "link", "set", "inner", "down");
  }
  linkUp(): void {
    ip("-n", this.#device, "link", "set", "inner", "up");
    this.#route();
  }

  /** Another network: the old address is gone. */
  changeAddress(): void {
    ip("-n", this.#device, "addr", "flush", "dev", "inner");
    this.#host++;
    ip("-n", this.#device, "addr", "add", `${this.#address}/24`, "dev", "inner");
    this.#route();
  }

  /** The router drops everything both ways, and tells nobody. */
  silence(): void {
    ip("-n", this.#router, "route", "add", "blackhole", `${this.#address}/32`);
    ip("-n", this.#router, "route", "add", "blackhole", `${this.gateway}/32`);
  }
  speak(): void {
    ip("-n", this.#router, "route", "del", "blackhole", `${this.#address}/32`);
    ip("-n", this.#router, "route", "del", "blackhole", `${this.gateway}/32`);
  }

  get #device(): string {
    return `kithd${this.#id}`;
  }
  get #router(): string {
    return `kithr${this.#id}`;
  }
  get #outer(): string {
    return `kg${this.#id}`;
  }
  get #address(): string {
    return `10.67.${this.#n}.${this.#host}`;
  }

  #make(): void {
    const [outer, device, router] = [this.#outer, this.#device, this.#router];
    ip("netns", "add", device);
    ip("netns", "add", router);
    ip("link", "add", outer, "type", "veth", "peer", "name", "outer", "netns", router);
    ip(
      "-n",
      router,
      "link",
      "add",
      "inner",
      "type",
      "veth",
      "peer",
      "name",
      "inner",
      "netns",
      device,
    );
    ip("addr", "add", `${this.gateway}/30`, "dev", outer);
    ip("link", "set", outer, "up");
    ip("-n", router, "addr", "add", `10.66.${this.#n}.2/30`, "dev", "outer");
    ip("-n", router, "addr", "add", `10.67.${this.#n}.1/24`, "dev", "inner");
    for (const link of ["outer", "inner"]) ip("-n", router, "link", "set", link, "up");
    ip("netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward");
    ip("-n", device, "addr", "add", `${this.#address}/24`, "dev", "inner");
    for (const link of ["lo", "inner"]) ip("-n", device, "link", "set", link, "up");
    this.#route();
    ip("route", "add", `10.67.${this.#n}.0/24`, "via", `10.66.${this.#n}.2`);
  }

  #route(): void {
    ip("-n", this.#device, "route", "replace", "default", "via", `10.67.${this.#n}.1`);
  }

  /** Links and routes go with their namespaces. */
  [Symbol.dispose](): void {
    for (const name of [this.#device, this.#router]) {
      try {
        ip("netns", "del", name);
      } catch {
        // It was never made.
      }
    }
  }
}
