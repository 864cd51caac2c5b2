import { execFile } from "node:child_process";
import { once } from "node:events";
import { symlink } from "node:fs/promises";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { decodePicture, type DecodeOptions } from "@kith/gateway/pictures/decode";
import { bomb, folder, foreign, node, png, turned } from "./samples.ts";

const options = { node };
const small = { as: "rgb", width: 64, height: 64 } as const;
const linux = process.platform === "linux";

const red = [255, 0, 0];
const flag = (width = 4, height = 2) =>
  png(width, height, (x) => (x < width / 2 ? red : [0, 0, 255]));

/** A stand-in for the child, to see what it is given and what is believed of it. */
async function stranger(
  files: { put: (name: string, code: string) => Promise<string> },
  code: string,
) {
  return { node, childUrl: pathToFileURL(await files.put("stranger.mjs", code)) };
}

describe("a picture that is one", () => {
  test("comes back as its pixels, never enlarged", async () => {
    await using files = await folder();
    const picture = await decodePicture(await files.put("a.png", flag(2, 1)), small, options);
    expect(picture).toMatchObject({ width: 2, height: 1, original: { width: 2, height: 1 } });
    expect([...picture.bytes]).toEqual([255, 0, 0, 0, 0, 255]);
  });

  test("fits the box and tells its original size", async () => {
    await using files = await folder();
    const wish = { as: "png", width: 30, height: 30 } as const;
    const picture = await decodePicture(await files.put("a.png", flag(120, 60)), wish, options);
    expect(picture).toMatchObject({ width: 30, height: 15, original: { width: 120, height: 60 } });
  });

  test("is turned upright and loses its metadata", async () => {
    await using files = await folder();
    const wish = { ...small, as: "jpeg" } as const;
    const plain = await decodePicture(await files.put("a.png", flag()), wish, options);
    const marked = Buffer.concat([plain.bytes.subarray(0, 2), turned, plain.bytes.subarray(2)]);
    const file = await files.put("b.jpg", marked);

    const upright = await decodePicture(file, wish, options);

    expect(upright).toMatchObject({ width: 2, height: 4, original: { width: 2, height: 4 } });
    expect(Buffer.from(upright.bytes).includes("Exif")).toBe(false);
  });

  test("is found by a name that libvips would take for options", async () => {
    await using files = await folder();
    const picture = await decodePicture(await files.put("a.png[page=9]", flag()), small, options);
    expect(picture.width).toBe(4);
  });
});

describe("a picture that means harm", () => {
  test("is refused when it has 256 megapixels, and the gateway does not grow", async () => {
    await using files = await folder();
    const file = await files.put("bomb.png", bomb());
    const before = process.memoryUsage.rss();
    await expect(decodePicture(file, small, options)).rejects.toMatchObject({ code: "too-big" });
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
  });

  test.each(Object.entries(foreign))(
    "is refused as %s, a format we do not load",
    async (name, content) => {
      await using files = await folder();
      const decoding = decodePicture(await files.put(`a.${name}`, content), small, options);
      await expect(decoding).rejects.toMatchObject({ code: "bad-result" });
    },
  );

  test("is refused when its end is missing", async () => {
    await using files = await folder();
    const wish = { ...small, as: "jpeg" } as const;
    const { bytes } = await decodePicture(await files.put("a.png", flag(64, 64)), wish, options);
    const file = await files.put("b.jpg", bytes.subarray(0, bytes.length - 40));
    await expect(decodePicture(file, small, options)).rejects.toMatchObject({ code: "bad-result" });
  });

  test("is refused when it is none", async () => {
    await using files = await folder();
    const decoding = decodePicture(await files.put("a.jpg", "once upon a time"), small, options);
    await expect(decoding).rejects.toMatchObject({ code: "bad-result" });
  });

  test("is refused above 32 MiB, before any of it is decoded", async () => {
    await using files = await folder();
    const file = await files.put("a.png", Buffer.concat([flag(), Buffer.alloc(32 * 1024 * 1024)]));
    await expect(decodePicture(file, small, options)).rejects.toMatchObject({ code: "too-big" });
  });

  test("is gone when the file is", async () => {
    const decoding = decodePicture("/nowhere/a.png", small, options);
    await expect(decoding).rejects.toMatchObject({ code: "gone" });
  });
});

/** Ends a stranger's work: whatever `text` says comes back as the bytes of a tiny "JPEG". */
const tell = `function tell(text) {
  const size = { width: 1, height: 1 };
  process.stdout.write(JSON.stringify({ ...size, original: size }) + "\\n");
  process.stdout.write(Buffer.concat([Buffer.from("ffd8ff", "hex"), Buffer.from(text)]));
}\n`;

async function toldBy(code: string, more: DecodeOptions = {}): Promise<string> {
  await using files = await folder();
  const told = await stranger(files, tell + code);
  const { bytes } = await decodePicture("a", { ...small, as: "jpeg" }, { ...told, ...more });
  return Buffer.from(bytes.subarray(3)).toString();
}

test.each([0, 4097, 1.5, Number.NaN])("a box of %d pixels is no wish", async (width) => {
  const decoding = decodePicture("a", { ...small, width }, options);
  await expect(decoding).rejects.toMatchObject({ code: "bad-args" });
});

test("a decoder that cannot be started is our defect", async () => {
  const decoding = decodePicture("a", small, { node: "/nowhere/node" });
  await expect(decoding).rejects.toMatchObject({ name: "KithError", code: "internal" });
});

describe("the child", () => {
  test("gets no secret of the gateway's environment", async () => {
    const secrets = { ANTHROPIC_API_KEY: "canary", NODE_OPTIONS: "--help", LD_PRELOAD: "/x.so" };
    const env = { ...secrets, PATH: process.env["PATH"], LANG: "C" };
    const names = Object.keys(
      JSON.parse(await toldBy("tell(JSON.stringify(process.env))", { env })),
    );
    // The shell may add harmless ones of its own; it is in "/".
    const own = names.filter((name) => !["PWD", "OLDPWD", "SHLVL", "_"].includes(name));
    expect(own.sort()).toEqual(["LANG", "PATH"]);
  });

  test.runIf(linux)("gets no more than 512 MiB of memory", async () => {
    const greedy = `let mib = 0;
      const kept = [];
      try {
        for (; mib < 1024; mib += 16) kept.push(Buffer.alloc(16 * 1024 * 1024, 1));
      } catch {}
      tell(String(mib));`;
    expect(Number(await toldBy(greedy))).toBeLessThan(512);
  });

  test.runIf(linux)("writes no file", async () => {
    await using files = await folder();
    const file = await files.put("plan", "");
    const code = `import { writeFileSync } from "node:fs";
      try { writeFileSync(${JSON.stringify(file)}, "x"); tell("written"); }
      catch (error) { tell(error.code); }`;
    expect(await toldBy(code)).toBe("EFBIG");
  });

  test("is not believed when its answer is larger than the wish", async () => {
    await using files = await folder();
    const liar = await stranger(files, tell.replaceAll("1,", "65,") + 'tell("")');
    const decoding = decodePicture("a", { ...small, as: "jpeg" }, liar);
    await expect(decoding).rejects.toMatchObject({ code: "bad-result" });
  });

  test("makes the picture a bad one when it crashes on it", async () => {
    await using files = await folder();
    const crash = await stranger(files, 'process.kill(process.pid, "SIGSEGV");');
    const decoding = decodePicture("a", small, crash);
    await expect(decoding).rejects.toMatchObject({ code: "bad-result" });
  });

  test("is stopped when its answer does not end", async () => {
    await using files = await folder();
    const chatty = await stranger(
      files,
      "const more = () => process.stdout.write(Buffer.alloc(1 << 20), more); more();",
    );
    await expect(decodePicture("a", small, chatty)).rejects.toMatchObject({ code: "too-big" });
  });

  test("is stopped when the time is up", async () => {
    await using files = await folder();
    const hangs = await stranger(files, "setInterval(() => {}, 1000);");
    const decoding = decodePicture("a", small, { ...hangs, limitMs: 100 });
    await expect(decoding).rejects.toMatchObject({ code: "timeout" });
  });

  test(
    "dies with its own children when nobody wants the picture any more",
    { timeout: 30_000 },
    async () => {
      const links = new Set<Socket>();
      await using server = createServer((link) => {
        links.add(link);
        link
          .on("error", () => {})
          .on("close", () => links.delete(link))
          .resume();
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      await using files = await folder();
      const call = `require("net").connect(${port}, "127.0.0.1")`;
      const family = await stranger(
        files,
        `import { createRequire } from "node:module";
       const require = createRequire(import.meta.url);
       require("child_process").spawn(process.execPath, ["--jitless", "-e", ${JSON.stringify(call)}]);
       ${call};`,
      );
      const stop = new AbortController();
      const decoding = decodePicture("a", small, {
        ...family,
        limitMs: 30_000,
        signal: stop.signal,
      });
      const ended = expect(decoding).rejects.toMatchObject({ code: "cancelled" });
      await expect.poll(() => links.size, { timeout: 10_000 }).toBe(2);
      stop.abort();
      await ended;
      await expect.poll(() => links.size, { timeout: 10_000 }).toBe(0);
    },
  );
});

test("two are decoded at once, sixteen wait, the next is told busy", async () => {
  await using files = await folder();
  const hangs = await stranger(files, "setInterval(() => {}, 1000);");
  const stop = new AbortController();
  const hanging = { ...hangs, limitMs: 30_000, signal: stop.signal };
  const crowd = Promise.allSettled(
    Array.from({ length: 18 }, () => decodePicture("a", small, hanging)),
  );

  const file = await files.put("a.png", flag());
  await expect(decodePicture(file, small, options)).rejects.toMatchObject({ code: "busy" });

  stop.abort();
  for (const one of await crowd) expect(one).toMatchObject({ reason: { code: "cancelled" } });
  expect(await decodePicture(file, small, options)).toMatchObject({ width: 4 });
});

test(
  "the bundle finds the child beside it and decodes under the same limits",
  { timeout: 30_000 },
  async () => {
    await using files = await folder();
    const picture = await files.put("a.png", flag());
    const dist = dirname(picture);
    const source = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
    // sharp stays outside of the bundle and is found where the package is installed.
    await symlink(source("node_modules"), join(dist, "node_modules"));
    await build({
      entryPoints: {
        gateway: source("gateway/src/pictures/decode.ts"),
        "decode.child": source("gateway/src/pictures/decode.child.ts"),
      },
      outdir: dist,
      outExtension: { ".js": ".mjs" },
      external: ["sharp"],
      bundle: true,
      platform: "node",
      format: "esm",
    });
    const script = `import { decodePicture } from ${JSON.stringify(join(dist, "gateway.mjs"))};
    const wish = { as: "png", width: 2, height: 2 };
    console.log((await decodePicture(${JSON.stringify(picture)}, wish)).width);`;
    const { stdout } = await promisify(execFile)(node, ["--input-type=module", "-e", script]);
    expect(stdout).toBe("2\n");
  },
);
