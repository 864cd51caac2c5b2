/** Web pages in the browser of whoever sits here. */
import { urlOpen, webAddress } from "@kith/shared/capabilities/url";
import { KithError } from "@kith/shared/errors";
import type { Desktop } from "../../platform.ts";
import type { Driver } from "../driver.ts";
import { need, probeOf, runProgram } from "../program.ts";
import { noSession } from "../session.ts";

/** Some openers become the browser: one that runs on after that long has opened the page. */
const LEFT_AFTER_MS = 3_000;

export function urlOpener(desktop: Desktop, leftAfterMs = LEFT_AFTER_MS): Driver<typeof urlOpen> {
  return {
    capability: urlOpen,
    parallel: 1,
    maxMs: 10_000,
    probe: () => probeOf(() => openerOf(desktop)),
    async run({ url: given }, { signal }) {
      const url = webAddress(given);
      if (url === undefined) throw new KithError("bad-args", "not an address of the web");
      const [program, ...args] = await openerOf(desktop);
      const { env } = desktop;
      const ran = await runProgram(program, [...args, url], {
        ...{ signal, env, most: 0, leaves: true, leftAfterMs },
      });
      if (ran.code !== 0 && !ran.left)
        throw new KithError("driver", "no browser of this session opened the page");
      return { url };
    },
  };
}

/** What opens an address that is put behind it. @throws KithError not-ready, with what to do */
async function openerOf(desktop: Desktop): Promise<[program: string, ...args: string[]]> {
  if (desktop.os === "macos") return [await need(desktop, "open")];
  if (desktop.os === "windows")
    return [await need(desktop, "rundll32.exe"), "url.dll,FileProtocolHandler"];
  if (desktop.draws === undefined) throw noSession("display");
  return [await need(desktop, "xdg-open", "xdg-utils")];
}
