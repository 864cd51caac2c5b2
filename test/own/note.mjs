/** A capability of one's own that says what stands in a file: words of a device, which anybody may have written. */
import { readFile } from "node:fs/promises";

export default {
  name: "x.note.read",
  summary: "Read the note of the named device.",
  effect: "read",
  args: { type: "object", properties: {} },
  out: {
    type: "object",
    properties: { text: { type: "string", maxLength: 4096 } },
    required: ["text"],
  },
  run: async () => ({ text: await readFile(process.env.NOTE ?? "", "utf8") }),
};
