import type { Report } from "../report/report.ts";

/** One group of figures, as `--only` names it. Each figure stands beside its physical limit of the same run. */
export interface BenchPart {
  readonly name:
    | "invoke"
    | "transfer"
    | "start"
    | "memory"
    | "scale"
    | "wake"
    | "recovery"
    | "turns"
    | "assistant";
  readonly title: string;
  run(report: Report): Promise<void>;
}
