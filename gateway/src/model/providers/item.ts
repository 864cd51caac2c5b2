/** Parts of a request that several services write alike. */
import type { Item, Picture, ToolCall } from "../provider.ts";

/** Of a text that a model reads whole. */
const TEXT_FILE_BYTES = 256 * 1_024;
/** Below what each service takes as one request. */
const PDF_BYTES = 16 * 1_048_576;

export function base64({ data }: Picture): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
}

export const dataUrl = (picture: Picture): string =>
  `data:${picture.type};base64,${base64(picture)}`;

/** What of an item goes as words, and what as itself. */
export interface Shown {
  readonly text: string;
  readonly pictures: readonly Picture[];
  readonly pdfs: readonly Picture[];
}

/** Texts are among the words, and what cannot be shown is named there. */
export function shown(
  { text, pictures = [] }: Exclude<Item, { role: "assistant" }>,
  takesPdf: boolean,
): Shown {
  const words = text === "" ? [] : [text];
  const images: Picture[] = [];
  const pdfs: Picture[] = [];
  for (const one of pictures) {
    const { type, data, name = "a file" } = one;
    const size = `${Math.ceil(data.length / 1_024)} KiB`;
    if (type.startsWith("image/")) images.push(one);
    else if (type.startsWith("text/"))
      words.push(
        data.length <= TEXT_FILE_BYTES
          ? `${name} (${type}):\n${new TextDecoder().decode(data)}`
          : `(${name} of ${size} is too long to be shown: ${type})`,
      );
    else if (type !== "application/pdf")
      words.push(`(${name} cannot be shown to this model: ${type})`);
    else if (!takesPdf) words.push(`(${name} cannot be shown to this model, which takes no PDF)`);
    else if (data.length > PDF_BYTES) words.push(`(${name} of ${size} is too big to be shown)`);
    else pdfs.push(one);
  }
  return { text: words.join("\n\n"), pictures: images, pdfs };
}

/** Where a service has no field for it, the words say that a tool failed. */
export const resultText = (failed: boolean | undefined, text: string): string =>
  failed ? `Failed: ${text}` : text;

export const argsText = ({ args }: ToolCall): string => JSON.stringify(args ?? {});
