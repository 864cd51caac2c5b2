import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { systemClock } from "@kith/shared/clock";
import { LocalApi } from "@kith/shared/tailnet/local-api.node";
import { describe, expect, test } from "vitest";
import { FakeTailscale } from "../support/tailscale.ts";
import { freshFolder, until } from "../support/home.ts";

const laptop = { id: "nLAP", host: "laptop", ip: "100.64.0.2", relay: "fra" };
const signal = AbortSignal.timeout(60_000);

/** Something at a socket that says that to everybody. */
async function saying(words: string) {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on("error", () => {});
    socket.once("data", () => socket.write(words, () => setTimeout(() => socket.destroy(), 20)));
  });
  const path = `${freshFolder()}/said.sock`;
  await once(server.listen(path), "listening");
  return {
    path,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("the daemon of this machine", () => {
  test("tells its state, its names and its peers", async () => {
    await using tail = await FakeTailscale.start((fake) => {
      fake.peers = [
        laptop,
        { ...laptop, id: "nPI", host: "pi", ip: "100.64.0.3", tags: ["tag:kith-node"] },
      ];
    });
    const status = await new LocalApi(systemClock, tail.socket).status();
    expect(status).toMatchObject({
      ...{ state: "Running", tun: true },
      self: { id: "nSELF", dns: "kith-gw.tail1234.ts.net", ips: ["100.64.0.1"] },
      peers: [{ host: "laptop", relay: "fra", direct: "" }, { tags: ["tag:kith-node"] }],
    });
  });

  test("says who is behind an address, and what the policy permits", async () => {
    await using tail = await FakeTailscale.start((fake) => {
      fake.peers = [
        { ...laptop, caps: { "kith.dev/cap/node": [{ may: ["camera"] }], "else/x": [1] } },
      ];
    });
    const api = new LocalApi(systemClock, tail.socket);
    expect(await api.whois("100.64.0.2", 4711)).toEqual({
      ...{
        node: "nLAP",
        ip: "100.64.0.2",
        name: "laptop.tail1234.ts.net",
        login: "anna@example.com",
        tags: [],
      },
      may: { node: ["camera"], invoke: undefined },
    });
    expect(await api.whois("100.64.0.9")).toBe("nobody");
  });

  test("names no person for a tagged machine: all of them share one", async () => {
    await using tail = await FakeTailscale.start((fake) => {
      fake.peers = [{ ...laptop, tags: ["tag:kith-node"] }];
    });
    expect(await new LocalApi(systemClock, tail.socket).whois("100.64.0.2")).toMatchObject({
      ...{ login: "", tags: ["tag:kith-node"] },
    });
  });

  test("knows whose connection it forwarded to loopback, also a moment late", async () => {
    await using tail = await FakeTailscale.start((fake) => {
      fake.peers = [laptop];
    });
    const api = new LocalApi(systemClock, tail.socket);
    const asking = api.whois("127.0.0.1", 4711);
    await until("the first question", () => tail.asked.length > 0);
    tail.forwarded.set(4711, laptop.ip);
    expect(await asking).toMatchObject({ node: "nLAP" });
    expect(await api.whois("127.0.0.1", 4712)).toBe("nobody");
  });

  test("that is not there, hangs, or answers nonsense tells nothing, and nobody fails", async () => {
    const nowhere = new LocalApi(systemClock, `${freshFolder()}/none.sock`);
    expect(await nowhere.status()).toBeUndefined();
    expect(await nowhere.whois("100.64.0.2", 1)).toBeUndefined();
    await using tail = await FakeTailscale.start((fake) => {
      fake.hangs = true;
    });
    expect(await new LocalApi(systemClock, tail.socket).status()).toBeUndefined();
    for (const words of [
      "HTTP/1.1 200 OK\r\n\r\n{",
      // Nobody asked for another protocol.
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "no words of HTTP",
    ]) {
      await using junk = await saying(words);
      expect(await new LocalApi(systemClock, junk.path).status()).toBeUndefined();
      await expect(
        new LocalApi(systemClock, junk.path).dial("100.64.0.2", 1, signal),
      ).rejects.toMatchObject({ code: "gateway-unreachable" });
    }
  });

  test("never hands on control characters of other people's machines", async () => {
    await using tail = await FakeTailscale.start((fake) => {
      fake.peers = [{ ...laptop, host: "lap\u001b[2Jtop\u202e", login: "anna\n@x" }];
    });
    expect(JSON.stringify(await new LocalApi(systemClock, tail.socket).status())).not.toMatch(
      /\\u001b|\u202e/,
    );
    expect(await new LocalApi(systemClock, tail.socket).whois(laptop.ip)).toMatchObject({
      login: "anna@x",
    });
  });
});

describe("a change in the network", () => {
  test("is told, and so is a daemon that went and came", async () => {
    let changes = 0;
    const stop = new AbortController();
    const tail = await FakeTailscale.start();
    new LocalApi(systemClock, tail.socket).watch(() => changes++, stop.signal);
    await until("the first word", () => changes === 1);
    tail.notify();
    await until("the change", () => changes === 2);
    await tail[Symbol.asyncDispose]();
    await until("its end", () => changes === 3);
    stop.abort();
  });
});

test("a daemon that breaks off in the middle is listened to again, once each time", async () => {
  await using broken = await saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
  const stop = new AbortController();
  const waits: (() => void)[] = [];
  // Time that stands still: what would be done later is counted.
  const clock = {
    ...systemClock,
    after: (_: number, fn: () => void) => (waits.push(fn), () => {}),
  };
  new LocalApi(clock, broken.path).watch(() => {}, stop.signal);
  for (let round = 1; round <= 3; round++) {
    await until("the next wait", () => broken.connections === round && waits.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    // One to listen again, and one to tell that something changed.
    expect(waits.length).toBeLessThanOrEqual(2);
    for (const wait of waits.splice(0)) wait();
  }
  stop.abort();
});

describe("ts-dial", () => {
  test("is a stream into the tailnet, bytes that came at once included", async () => {
    const echo = createServer((socket) => {
      socket.write("hello ");
      socket.pipe(socket);
    });
    await once(echo.listen(0, "127.0.0.1"), "listening");
    await using tail = await FakeTailscale.start();
    tail.routes.set("100.64.0.2:5484", (echo.address() as AddressInfo).port);
    const stream = await new LocalApi(systemClock, tail.socket).dial("100.64.0.2", 5484, signal);
    expect(stream).toBeDefined();
    let heard = "";
    stream?.on("data", (part: Buffer) => (heard += part.toString()));
    stream?.write("world");
    await until("the echo", () => heard === "hello world");
    stream?.destroy();
    echo.close();
  });

  test("is left to ourselves where the daemon says so, and fails where it does not get there", async () => {
    await using tail = await FakeTailscale.start();
    const api = new LocalApi(systemClock, tail.socket);
    expect(await api.dial("example.com", 80, signal)).toBeUndefined();
    await expect(api.dial("100.64.0.77", 80, signal)).rejects.toMatchObject({
      code: "gateway-unreachable",
    });
  });
});
