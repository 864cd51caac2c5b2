/** The X11 display of a session: is it there at all? */
import { connect, type NetConnectOpts } from "node:net";
import { KithError } from "@kith/shared/errors";
import type { Desktop } from "../platform.ts";
import { noSession } from "./session.ts";

/** A display on this machine answers at once; one at the far end of a tunnel within that. */
const LOOK_MS = 2_000;

/** Where a display such as `:0`, `unix:0.0` or `localhost:10.0` is reached (X(7), "Display names"). */
function doors(display: string): NetConnectOpts[] {
  const [, host = "", number = ""] = /^(.*):(\d{1,5})(?:\.\d{1,3})?$/.exec(display) ?? [];
  if (number === "") return [];
  const path = `/tmp/.X11-unix/X${number}`;
  if (host !== "" && host !== "unix") return [{ host, port: 6_000 + Number(number) }];
  // With a zero in front a name of the kernel's, which needs no file.
  return [{ path }, { path: `\0${path}` }];
}

const opens = (door: NetConnectOpts): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ ...door, signal: AbortSignal.timeout(LOOK_MS) });
    const settle = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", () => settle(true)).once("error", () => settle(false));
  });

/** The name of the display, which answers. @throws KithError not-ready, with what to do */
export async function display({ draws, env }: Desktop): Promise<string> {
  const name = env["DISPLAY"];
  if (draws !== "x11" || name === undefined) throw noSession("display");
  for (const door of doors(name)) if (await opens(door)) return name;
  throw new KithError(
    "not-ready",
    `the display ${name} does not answer; start this program again in the desktop session of now`,
  );
}
