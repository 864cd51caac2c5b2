/** A capability of one's own that takes its time, and writes down when it begins and when it was told to stop. */
import { appendFile } from "node:fs/promises";

const note = (what) => appendFile(process.env.SLOW ?? "", `${what}\n`);

export default {
  name: "x.slow.do",
  summary: "Do something slow on the named device.",
  effect: "idempotent",
  args: { type: "object", properties: {} },
  out: { type: "object", properties: {} },
  async run(_, { signal }) {
    await note("begun");
    await new Promise((resolve, reject) => {
      const end = setTimeout(resolve, 20_000);
      signal.addEventListener("abort", () => {
        clearTimeout(end);
        void note("stopped").then(() => reject(signal.reason));
      });
    });
    return {};
  },
};
