/** Parts of a request that several services write alike. */
import type { Item, Picture, ToolCall } from "../provider.ts";

type Result = Extract<Item, { role: "tool" }>;

export function base64({ data }: Picture): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
}

export const dataUrl = (picture: Picture): string =>
  `data:${picture.type};base64,${base64(picture)}`;

/** Where a service has no field for it, the words say that a tool failed. */
export const resultText = ({ text, failed }: Result): string => (failed ? `Failed: ${text}` : text);

export const argsText = ({ args }: ToolCall): string => JSON.stringify(args ?? {});
