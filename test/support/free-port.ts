import { createServer } from "node:net";

/** A loopback port that is free now. */
export async function freePort(): Promise<number> {
  for (;;) {
    // Below the ports that the system deals out by itself: one of those may be taken by an
    // outgoing connection before the gateway gets to it. Above 10,080, where `fetch` would not ask.
    const port = 10_100 + Math.floor(Math.random() * 20_000);
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer().on("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}
