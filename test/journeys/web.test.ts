/** A page that the model reads: from the bundle, through a real gateway, at an address that the owner allowed. */
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pairedWorld } from "../support/home.ts";
import { kith } from "../support/kith.ts";
import { chat } from "../support/models/chat.ts";
import { ModelServer } from "../support/models/server.ts";

test("the model reads a page and tells of it; a private one it cannot read; `kith egress` has whom it talked to", async () => {
  const page = createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.end("<title>Opening hours</title><script>no()</script><p>We open at <b>nine</b>.");
  });
  await new Promise<void>((done) => page.listen(0, "127.0.0.1", done));
  const { port } = page.address() as AddressInfo;
  const fetch = (id: string, url: string) => ({
    calls: [{ id, name: "web_fetch", json: JSON.stringify({ url }) }],
  });
  await using server = await ModelServer.start(
    chat,
    fetch("c1", `http://127.0.0.1:${port}/hours`),
    fetch("c2", "http://169.254.169.254/latest/"),
    { text: ["They open at nine."] },
  );
  await using home = await pairedWorld();
  appendFileSync(
    join(home.home, "config.yaml"),
    `model:\n  provider: openai-compatible\n  name: m\n  baseUrl: ${server.baseUrl}\n` +
      `egress:\n  allow: ["127.0.0.1:${port}"]\n`,
  );
  await home.startGateway();
  const owner = await home.owner(undefined, true);
  await owner.say("when do they open?");
  await owner.hear("the answer", ({ text }) => text === "They open at nine.");
  const read = JSON.stringify(server.requests.at(-1)?.body);
  expect(read).toContain("Opening hours");
  expect(read).toContain("We open at nine.");
  expect(read).not.toContain("no()");
  expect(read).toContain("address-refused");
  expect(read).not.toContain("web_search");

  const { json } = await kith(home.home, "egress", "--json");
  const hosts = json.hosts.map(({ host, requests }: any) => [host, requests]);
  expect(hosts).toEqual([
    [new URL(server.baseUrl).host, 3],
    [`127.0.0.1:${port}`, 1],
  ]);
  expect((await kith(home.home, "egress")).stdout).toMatch(/since the gateway started/);
  page.closeAllConnections();
  await new Promise((done) => page.close(done));
});
