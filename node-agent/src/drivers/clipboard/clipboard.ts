/** The clipboard of whoever sits at this machine. Both uses are shown there. */
import { clipboardRead, clipboardWrite } from "@kith/shared/capabilities/clipboard";
import { tame } from "@kith/shared/protocol/words";
import type { Desktop } from "../../platform.ts";
import type { Driver } from "../driver.ts";
import { probeOf } from "../program.ts";
import { wayOf } from "./ways.ts";

export function clipboard(desktop: Desktop): {
  read: Driver<typeof clipboardRead>;
  write: Driver<typeof clipboardWrite>;
} {
  const probe = () => probeOf(() => wayOf(desktop));
  return {
    read: {
      capability: clipboardRead,
      parallel: 1,
      maxMs: 10_000,
      probe,
      async run(_args, tools) {
        const way = await wayOf(desktop);
        await tools.notice("clipboard: read");
        const bytes = await way.read(tools.signal);
        tools.stream("text", "text/plain", { bytes });
        const text = Buffer.from(bytes).toString("utf8");
        return { size: bytes.length, preview: tame(text.replaceAll(/\s+/g, " ").trim(), 400) };
      },
    },
    write: {
      capability: clipboardWrite,
      parallel: 1,
      maxMs: 10_000,
      probe,
      async run({ text }, tools) {
        const way = await wayOf(desktop);
        await tools.notice("clipboard: a new text");
        await way.write(text, tools.signal);
        return { size: Buffer.byteLength(text) };
      },
    },
  };
}
