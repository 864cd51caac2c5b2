/** The gateway as a process: what it refuses to start with, how it ends, and who knocks at its port. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { kith } from "../support/kith.ts";
import {
  freshFolder,
  freshWorld,
  pairedWorld,
  root,
  Running,
  until,
  world,
} from "../support/home.ts";

const alive = (pid: number): boolean => {
  try {
    // A zombie has ended; only its parent has not looked yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);

describe("a gateway does not start", () => {
  test("on a home that another one has, and names that one's process", async () => {
    await using home = await freshWorld();
    const first = await home.startGateway();
    const second = new Running(join(root, "dist/gateway.mjs"), ["--home", home.home, "--json"]);
    expect(await second.ended).toMatchObject({ code: 75 });
    expect(second.events.at(-1)).toMatchObject({
      event: "failed",
      error: { code: "home-locked", message: expect.stringContaining(String(first.pid)) },
    });
    expect((await home.call("status")).out.pid).toBe(first.pid);
  });

  test.for([
    ["name: a\nname: b\n", 2, "not YAML"],
    ["# fine\nname: kith\nlisten: 12 monkeys\n", 3, "listen"],
    ["# fine\nnmae: kith\n", 2, "nmae"],
    ["name: kith\n\nlisten: 127.0.0.1:99999\n", 3, "port"],
  ] as const)("with the configuration %j, and names line %d", async ([text, line, word]) => {
    await using home = await freshWorld();
    writeFileSync(join(home.home, "config.yaml"), text);
    const gateway = home.spawnGateway();
    expect(await gateway.ended).toMatchObject({ code: 78 });
    const { error } = gateway.events.at(-1);
    expect(error).toMatchObject({ code: "config-invalid", message: expect.stringContaining(word) });
    expect(error.message).toContain(`config.yaml:${line}:`);
    expect(gateway.stderr).toBe("");
    expect(existsSync(join(home.home, "kith.db"))).toBe(false);
  });

  test("in a folder that others may write to", async () => {
    await using home = await freshWorld();
    chmodSync(home.home, 0o777);
    const gateway = home.spawnGateway();
    expect(await gateway.ended).toMatchObject({ code: 78 });
    expect(gateway.events.at(-1)).toMatchObject({
      error: { code: "home-unsafe", message: expect.stringContaining(home.home) },
    });
  });

  test("on a port that is taken, and leaves the home free", async () => {
    await using home = await freshWorld();
    const other = createServer();
    await new Promise<void>((done) => other.listen(home.port, "127.0.0.1", done));
    const gateway = home.spawnGateway();
    expect(await gateway.ended).toMatchObject({ code: 75 });
    expect(gateway.events.at(-1)).toMatchObject({
      error: { code: "port-taken", message: expect.stringContaining(String(home.port)) },
    });
    await new Promise((done) => other.close(done));
    await home.startGateway();
  });
});

test("a start that fails after a crash leaves the crash for the next one to see", async () => {
  await using home = await freshWorld();
  await home.startGateway();
  await home.gateway?.end("SIGKILL");
  const key = join(home.home, "keys", "audit.key");
  chmodSync(key, 0o644);
  expect(await home.spawnGateway().ended).toMatchObject({ code: 78 });
  chmodSync(key, 0o600);
  await home.startGateway();
  const logs = readdirSync(join(home.home, "logs")).map((name) =>
    readFileSync(join(home.home, "logs", name), "utf8"),
  );
  const starts = [...logs.join("").matchAll(/"ready".*?"clean":(true|false)/g)];
  expect(starts.map(([, clean]) => clean)).toEqual(["true", "false"]);
});

describe("a gateway ends within two seconds", () => {
  test.for(["SIGINT", "SIGTERM"] as const)(
    "of %s, with a device, a chat and a question open",
    async (signal) => {
      await using home = await world();
      const owner = await home.owner();
      await owner.say("grab a photo from my laptop camera");
      await owner.hear("the question", ({ question }) => question);
      const began = performance.now();
      expect(await home.gateway?.end(signal)).toEqual({ code: 0, signal: null });
      expect(performance.now() - began).toBeLessThan(2_000);
      await home.startGateway();
      expect((await home.audit()).length).toBeGreaterThan(0);
    },
  );

  test("of SIGINT while a camera works", async () => {
    await using home = await world();
    const photo = home
      .call("invoke", {
        device: "laptop",
        cap: "camera.snap",
        args: { max_edge_px: 4_096 },
        allow: "once",
      })
      .catch((error: unknown) => error);
    await home.nodes.get("laptop")?.event("notice", ({ on }) => on);
    const began = performance.now();
    expect(await home.gateway?.end("SIGINT")).toEqual({ code: 0, signal: null });
    expect(performance.now() - began).toBeLessThan(2_000);
    await photo;
  });

  test.for(["SIGINT", "SIGTERM"] as const)(
    "of %s to `kith up` without a terminal, which takes its children along",
    async (signal) => {
      await using home = await freshWorld();
      const node = join(home.home, "node");
      await new Running(join(root, "dist/kith-node.mjs"), [
        "setup",
        "--home",
        node,
        "--name",
        "laptop",
        "--camera",
        "test-pattern",
        "--allow",
        "camera.snap=allow",
        "--json",
      ]).ended;
      const up = new Running(join(root, "gateway/bin/kith.mjs"), ["up", "--json"], {
        env: { KITH_HOME: home.home },
      });
      let children: number[] = [];
      try {
        await until(
          "both to be ready",
          () =>
            ["gateway", "node"].every((from) =>
              up.events.some((one) => one.from === from && one.event === "ready"),
            ),
          () => up.words,
        );
        // A build may have left its own helper there.
        children = childrenOf(up.pid).filter((pid) =>
          /dist\/(gateway|kith-node)\.mjs/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8")),
        );
        expect(children).toHaveLength(2);
        const began = performance.now();
        const end = await up.end(signal);
        expect(performance.now() - began).toBeLessThan(2_000);
        expect(end, up.words).toEqual({ code: 0, signal: null });
        expect(children.filter(alive)).toEqual([]);
      } finally {
        // Killed, the launcher could not take them along.
        for (const pid of children.filter(alive)) process.kill(pid, "SIGKILL");
        up.child.kill("SIGKILL");
      }
    },
  );
});

describe("a gateway starts all the same", () => {
  test("where a dead one left its control socket", async () => {
    await using home = await freshWorld();
    writeFileSync(join(home.home, "control.sock"), "left behind");
    await home.startGateway();
    expect((await kith(home.home, "devices", "--json")).json).toEqual({ ok: true, devices: [] });
  });

  const deepFolder = (): string => {
    const deep = join(
      freshFolder(),
      ...Array.from({ length: 12 }, (_, n) => `a-folder-with-a-long-name-${n}`),
    );
    mkdirSync(deep, { recursive: true, mode: 0o700 });
    return deep;
  };

  test("in a home whose path is longer than a socket's may be, and its node pairs there", async () => {
    await using home = await freshWorld(deepFolder());
    await home.startGateway();
    const args = [
      "--home",
      join(home.home, "node"),
      "--local",
      "--name",
      "laptop",
      "--camera",
      "test-pattern",
      "--allow",
      "camera.snap=allow",
      "--json",
    ];
    const node = new Running(join(root, "dist/kith-node.mjs"), args, {
      env: { KITH_HOME: home.home },
    });
    await node.event("ready");
    await home.offers("laptop", (caps) => caps.length > 0);
    const { code, json } = await kith(
      home.home,
      "invoke",
      "laptop",
      "camera.snap",
      "--allow",
      "once",
      "--json",
    );
    expect(code).toBe(0);
    expect(existsSync(json.streams[0].path)).toBe(true);
    await node.end("SIGTERM");
  });

  test("a node in such a home, too", async () => {
    await using home = await pairedWorld(["laptop"], deepFolder());
    await home.startGateway();
    await home.startNode("laptop");
  });
});

describe("strangers at the port", () => {
  /** Sends bytes and returns what came back until the end. */
  const knock = (port: number, bytes: string | Uint8Array) =>
    new Promise<string>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      let said = "";
      socket.on("data", (data) => (said += data.toString("latin1")));
      socket.on("error", () => {}); // Refusing hard is fine too.
      socket.on("close", () => resolve(said));
      socket.on("connect", () => socket.write(bytes));
    });

  test("disturb nobody", async () => {
    await using home = await world();
    const node = home.nodes.get("laptop");
    const get = (path: string) =>
      knock(home.port, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${home.port}\r\n\r\n`);
    expect(await get("/")).toMatch(/^HTTP\/1\.1 404 /);
    expect(await get("/v1/mesh")).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(await get("/.well-known/kith")).toContain('{"v":1,"id":"');
    await knock(home.port, crypto.getRandomValues(new Uint8Array(4_096)));
    await knock(home.port, `GET / HTTP/1.1\r\n${"x: y\r\n".repeat(4_000)}\r\n`);

    const closed = (send: (socket: WebSocket) => void, headers: Record<string, string> = {}) =>
      new Promise<number>((resolve) => {
        const socket = new WebSocket(`ws://127.0.0.1:${home.port}/v1/mesh`, "kith.v1", { headers });
        socket.on("open", () => send(socket));
        socket.on("unexpected-response", (_, response) => resolve(response.statusCode ?? 0));
        socket.on("error", () => {});
        socket.on("close", (code) => resolve(code));
      });
    expect(await closed((socket) => socket.send("hello"))).toBeGreaterThanOrEqual(1_002);
    expect(
      await closed((socket) => socket.send(crypto.getRandomValues(new Uint8Array(300)))),
    ).toBeGreaterThanOrEqual(1_002);
    expect(await closed(() => {}, { origin: "http://evil.example" })).toBe(403);

    expect(
      (await home.call("invoke", { device: "laptop", cap: "camera.snap", allow: "once" })).out
        .streams,
    ).toHaveLength(1);
    expect(node?.events.filter(({ event }) => event === "ready")).toHaveLength(1);
    expect(await home.devices()).toHaveLength(1);
    expect(home.gateway?.over).toBeUndefined();
  });

  test("listen to nothing but loopback", async () => {
    await using home = await freshWorld();
    const gateway = await home.startGateway();
    const sockets = execFileSync(
      "sh",
      ["-c", `ls -l /proc/${gateway.pid}/fd | sed -n 's/.*socket:\\[\\(.*\\)\\]/\\1/p'`],
      { encoding: "utf8" },
    ).split("\n");
    const listening = ["/proc/net/tcp", "/proc/net/tcp6"]
      .flatMap((file) => (existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(1) : []))
      .map((row) => row.trim().split(/\s+/))
      .filter((fields) => fields[3] === "0A" && sockets.includes(fields[9] ?? ""));
    expect(listening.map((fields) => fields[1]?.split(":")[0])).toEqual(["0100007F"]);
  });
});
