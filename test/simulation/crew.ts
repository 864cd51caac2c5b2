/** As many processes as there are cores, each with one job at a time; results come back in the order of the jobs. */
import { type ChildProcess, fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import type { Done, Job } from "./job.child.ts";

const CHILD = fileURLToPath(new URL("job.child.ts", import.meta.url));

/** @throws Error when one of them died: its job cannot be told from a defect */
export async function crew(jobs: readonly Job[], each: (done: Done) => void): Promise<Done[]> {
  const results: Done[] = [];
  let next = 0;
  const children: ChildProcess[] = [];
  const work = (child: ChildProcess) =>
    new Promise<void>((resolve, reject) => {
      let at = -1;
      const give = () => {
        at = next++;
        const job = jobs[at];
        if (job) child.send(job);
        else resolve();
      };
      child.on("message", (done: Done) => {
        results[at] = done;
        each(done);
        give();
      });
      child.once("exit", (code, signal) =>
        reject(new Error(`a part of the simulation ended with ${code ?? signal}`)),
      );
      give();
    });
  for (let n = Math.min(jobs.length, availableParallelism()); n > 0; n--)
    children.push(fork(CHILD));
  try {
    await Promise.all(children.map(work));
  } finally {
    for (const child of children) if (child.connected) child.disconnect();
  }
  return results;
}
