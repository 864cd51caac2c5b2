/** One world at a time: what still hangs on one that is over would hold all of it in memory. */
import type { Result } from "../runtime/simulate.ts";
import { forget } from "./files.ts";
import { dialers } from "./reach.ts";

interface Simulation {
  run(): Promise<void>;
  broken(what: string): void;
  result(seed: number): Result;
}

export async function alone(simulation: Simulation, seed: number): Promise<Result> {
  try {
    await simulation.run();
  } catch (error) {
    simulation.broken(`it threw: ${error instanceof Error ? error.stack : String(error)}`);
  }
  dialers.clear();
  forget();
  return simulation.result(seed);
}
