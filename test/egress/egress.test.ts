import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createSecure } from "node:https";
import { type Socket, connect, createServer as createPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { Egress } from "@kith/gateway/egress/egress";
import { Register } from "@kith/gateway/egress/register";
import { Secret } from "@kith/gateway/secret";
import { type Clock, systemClock } from "@kith/shared/clock";
import { afterAll, describe, expect, test } from "vitest";
import { PUBLIC, code, web } from "./world.ts";

const MIB = 1_048_576;
const CANARY = "canary-4711";
const key = { header: "x-subscription-token", value: new Secret(CANARY) };
const held = (): Clock & { pass(): void } => {
  const due: (() => void)[] = [];
  return {
    ...systemClock,
    after(_, fn) {
      due.push(fn);
      return () => {};
    },
    pass: () => due.forEach((fn) => fn()),
  };
};

test("a page comes with its status, its type and its time", async () => {
  await using there = await web((_, response) => {
    response.writeHead(404, { "content-type": "text/plain" });
    response.end("no such page");
  });
  const page = await there.get("http://public.example/a?b#c");
  expect(page).toMatchObject({ status: 404, type: "text/plain", at: expect.any(Number) });
  expect(page.body.toString()).toBe("no such page");
  const [{ headers, path } = {}] = there.hits;
  expect(path).toBe("/a?b");
  expect(headers).toEqual({
    ...{ host: "public.example", accept: "*/*", "accept-encoding": "gzip, br" },
    ...{ "user-agent": "Kith", connection: "close" },
  });
});

describe("a name", () => {
  test("that changes is asked for once, and connected to as it was checked", async () => {
    const answers = [[PUBLIC], ["127.0.0.1"]];
    await using there = await web((_, response) => response.end(), {
      resolve: () => Promise.resolve(answers.shift() ?? []),
    });
    await there.get("http://flips.example/");
    expect([there.dialled, answers]).toEqual([[`${PUBLIC} 80`], [["127.0.0.1"]]]);
    expect(await code(there.get("http://flips.example/"))).toBe("address-refused");
    expect(there.dialled).toHaveLength(1);
  });

  test("that changes between two redirects is refused", async () => {
    const answers = [[PUBLIC], ["10.0.0.1"]];
    await using there = await web(
      (_, response) => void response.writeHead(302, { location: "/again" }).end(),
      { resolve: () => Promise.resolve(answers.shift() ?? []) },
    );
    expect(await code(there.get("http://flips.example/"))).toBe("address-refused");
    expect(there.hits).toHaveLength(1);
  });

  test.for([
    ["nobody knows", () => Promise.reject(Object.assign(new Error("x"), { code: "ENOTFOUND" }))],
    ["has no address", () => Promise.resolve([])],
  ] as const)("that %s is told so", async ([, resolve]) => {
    await using there = await web((_, response) => response.end(), { resolve });
    await expect(there.get("http://none.example/")).rejects.toThrow(
      "none.example cannot be read: nobody knows its name",
    );
  });
});

describe("redirects", () => {
  test("are followed five times, and not a sixth", async () => {
    await using there = await web(({ url = "" }, response) => {
      const left = Number(url.slice(1));
      if (left > 0) response.writeHead(307, { location: `/${left - 1}` });
      response.end("there");
    });
    const { url } = await there.get("http://public.example/5");
    expect(url.href).toBe("http://public.example/0");
    expect(await code(there.get("http://public.example/6"))).toBe("page-away");
    expect(there.hits).toHaveLength(12);
  });

  test("take no key to another host, port or scheme, nor back again", async () => {
    await using there = await web(({ headers: { host }, url }, response) => {
      const to = {
        "one.example/": "http://one.example/same",
        "one.example/same": "http://one.example:8080/",
        "one.example:8080/": "http://two.example/",
        "two.example/": "http://one.example/back",
      }[`${host}${url}`];
      if (to) response.writeHead(302, { location: to });
      response.end();
    });
    await there.get("http://one.example/", { key });
    const sent = there.hits.map(({ host, path, headers }) => [
      `${host}${path}`,
      JSON.stringify(headers).includes(CANARY),
    ]);
    expect(sent).toEqual([
      ["one.example/", true],
      ["one.example/same", true],
      ["one.example:8080/", false],
      ["two.example/", false],
      ["one.example/back", false],
    ]);
  });

  test("carry no cookie, which nobody keeps", async () => {
    await using there = await web(({ url }, response) => {
      response.setHeader("set-cookie", "a=b");
      if (url === "/") response.writeHead(302, { location: "/next" });
      response.end();
    });
    await there.get("http://public.example/");
    await there.get("http://public.example/");
    expect(there.hits.filter(({ headers }) => "cookie" in headers)).toEqual([]);
  });

  test("do not lead to what the owner allowed: that is asked for itself", async () => {
    await using there = await web(
      (_, response) => void response.writeHead(302, { location: "http://10.0.0.1:8080/" }).end(),
      { allow: ["10.0.0.1:8080"] },
    );
    expect(await code(there.get("http://public.example/"))).toBe("address-refused");
    expect(there.dialled).toEqual([`${PUBLIC} 80`]);
    expect(await code(there.get("http://10.0.0.1:8080/"))).toBe("page-away"); // in a circle
    expect(there.dialled).toContain("10.0.0.1 8080");
  });

  test("of a page that says no place are the page", async () => {
    await using there = await web((_, response) => void response.writeHead(302).end("x"));
    expect((await there.get("http://public.example/")).status).toBe(302);
  });
});

test("an address of the owner's config needs to be neither public nor at a usual port, for that request", async () => {
  await using there = await web((_, response) => response.end());
  const url = "http://192.168.1.5:8888/search";
  expect((await there.get(url, { owners: true })).status).toBe(200);
  expect(await code(there.get(url))).toBe("address-refused");
});

describe("a body", () => {
  test.for<[string, (bytes: Buffer) => Buffer]>([
    ["gzip", gzipSync],
    ["GZIP", gzipSync],
    ["br", brotliCompressSync],
    ["deflate", deflateSync],
    ["identity", (bytes) => bytes],
  ])("in %s is unpacked; one that unpacks to more than 10 MiB is not", async ([encoding, pack]) => {
    let bytes = 10 * MIB;
    await using there = await web((_, response) => {
      response.writeHead(200, { "content-encoding": encoding });
      response.end(pack(Buffer.alloc(bytes)));
    });
    expect((await there.get("http://public.example/")).body).toHaveLength(10 * MIB);
    bytes += 1;
    expect(await code(there.get("http://public.example/"))).toBe("too-big");
  });

  test.for([1, 2])("that is a bomb of 1 GiB costs its 10 MiB (%d)", async (members) => {
    const bomb = gzipSync(Buffer.alloc(512 * MIB), { level: 1 });
    await using there = await web((_, response) => {
      response.writeHead(200, { "content-encoding": "gzip" });
      for (let n = 0; n < members; n++) response.write(bomb);
      response.end();
    });
    const before = process.memoryUsage().arrayBuffers;
    expect(await code(there.get("http://public.example/"))).toBe("too-big");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * MIB);
  });

  test("that unpacks to nothing without end is given up after 10 MiB", async () => {
    const nothing = Buffer.concat(Array.from({ length: 4_096 }, () => gzipSync("")));
    await using there = await web((_, response) => {
      response.writeHead(200, { "content-encoding": "gzip" });
      const more = () => {
        while (!response.destroyed && response.write(nothing));
        response.once("drain", more);
      };
      more();
    });
    expect(await code(there.get("http://public.example/"))).toBe("too-big");
  });

  test.for(["zstd", "gzip, gzip", "x", "constructor", "__proto__"])(
    "in an encoding that was not asked for (%s) is none",
    async (encoding) => {
      await using there = await web(
        (_, response) => void response.writeHead(200, { "content-encoding": encoding }).end("x"),
      );
      expect(await code(there.get("http://public.example/"))).toBe("page-away");
    },
  );

  test.for<[string, Record<string, string>, Buffer]>([
    ["by its length", { "content-length": "100" }, Buffer.from("half")],
    ["in a chunk", {}, Buffer.from("half")],
    ["inside of gzip", { "content-encoding": "gzip" }, gzipSync("a whole page").subarray(0, 20)],
    ["by nonsense", { "content-encoding": "gzip" }, Buffer.from("not gzip")],
  ])("that is cut %s is none", async ([, headers, bytes]) => {
    await using there = await web((_, response) => {
      response.writeHead(200, headers);
      response.write(bytes, () => response.socket?.end());
    });
    expect(await code(there.get("http://public.example/"))).toBe("page-away");
  });
});

describe("a server", () => {
  test.for<[string, string]>([
    ["says nothing", ""],
    ["says a line and no more", "HTTP/1.1 200 OK\r\n"],
    ["stops in the middle", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"],
  ])("that %s is given up after 30 s, and at once when nobody waits", async ([, words]) => {
    const clock = held();
    const sockets = new Set<Socket>();
    let closed = 0;
    const silent = createPlain((socket) => {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => (closed += 1));
      socket.on("data", () => socket.write(words));
    });
    await new Promise<void>((done) => silent.listen(0, "127.0.0.1", done));
    const { port } = silent.address() as { port: number };
    const register = new Register(clock);
    const egress = new Egress({ clock, register, allow: [`127.0.0.1:${port}`] });
    const get = (signal: AbortSignal) =>
      code(egress.get({ url: `http://127.0.0.1:${port}/`, accept: "*/*" }, signal));

    const late = get(new AbortController().signal);
    await expect.poll(() => sockets.size).toBe(1);
    clock.pass();
    expect(await late).toBe("page-away");

    const stop = new AbortController();
    const stopped = get(stop.signal);
    await expect.poll(() => sockets.size).toBe(2);
    stop.abort();
    expect(await stopped).toBe("cancelled");
    expect(await get(AbortSignal.abort())).toBe("cancelled");
    await expect.poll(() => closed).toBe(2);
    silent.close();
  });

  test("whose name is looked up for ever is given up", async () => {
    const clock = held();
    await using there = await web(() => {}, { clock, resolve: () => new Promise(() => {}) });
    const late = code(there.get("http://public.example/"));
    clock.pass();
    expect(await late).toBe("page-away");
    expect(there.dialled).toEqual([]);
  });

  test("that refuses, speaks no HTTP, or becomes something else is away", async () => {
    await using none = await web((request) => request.socket.destroy());
    expect(await code(none.get("http://public.example/"))).toBe("page-away");
    await using other = await web(({ socket }) => socket.end("SSH-2.0-OpenSSH_9\r\n"));
    expect(await code(other.get("http://public.example/"))).toBe("page-away");
    const upgrade = "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    await using changed = await web(({ socket }) => void socket.write(upgrade));
    expect(await code(changed.get("http://public.example/"))).toBe("page-away");
    await using plain = await web((_, response) => response.end());
    expect(await code(plain.get("https://public.example/"))).toBe("page-away");
    expect(plain.hits).toEqual([]);
  });
});

describe("a certificate", () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-egress-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("that nobody vouches for ends it before anything is asked; the name is said, the key is not", async () => {
    const [keyFile, certFile] = [join(folder, "key"), join(folder, "cert")];
    execFileSync(
      "openssl",
      [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
        ...["-keyout", keyFile, "-out", certFile, "-days", "2", "-subj", "/CN=public.example"],
      ],
      { stdio: "ignore" },
    );
    const names: unknown[] = [];
    let hits = 0;
    const server = createSecure({
      ...{ key: readFileSync(keyFile), cert: readFileSync(certFile) },
      SNICallback: (name, use) => {
        names.push(name);
        use(null);
      },
    });
    server.on("connection", () => (hits += 1)).on("tlsClientError", () => {});
    server.on("request", () => names.push("asked"));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as { port: number };
    await using there = await web(() => {}, { dial: () => connect(port, "127.0.0.1") });
    await expect(there.get("https://public.example/", { key })).rejects.toThrow(
      "public.example cannot be read: nobody vouches for its certificate",
    );
    expect(names).toEqual(["public.example"]);
    expect(await code(there.get("https://[2606:4700:4700::1111]/"))).toBe("page-away");
    expect(hits).toBe(2);
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
});

test("the register has every host that was asked, and none that was refused", async () => {
  await using there = await web((_, response) => response.end("12345"));
  await there.get("http://one.example/");
  await there.get("http://two.example:8080/");
  await there.get("http://one.example/");
  await code(there.get("http://10.0.0.1/"));
  expect(there.register.list()).toMatchObject([
    { host: "one.example", requests: 2, bytes: 10 },
    { host: "two.example:8080", requests: 1, bytes: 5 },
  ]);
  for (let n = 0; n < 1_200; n++) there.register.count(`h${n}`, 1, 0);
  expect(there.register.list()).toHaveLength(1_000);
  expect(there.register.list()[0]?.host).toBe("h1199");
});
