import type { Report } from "../report/report.ts";

/** One sort of fault: it brings it about, counts, and puts its figures into the report. */
export interface FaultPart {
  /** As in `--only`; also the first word of its figures: `sweep.lost`. */
  readonly name: string;
  readonly title: string;
  /** It is judged by how long things take: nothing else may run beside it. */
  readonly alone?: true;
  /** Most of it is waiting: it costs what runs beside it little. */
  readonly waits?: true;
  /** `quick`: the small set of CI. Throws only on a defect of the part itself. */
  run(report: Report, options: { readonly quick: boolean }): Promise<void>;
}
