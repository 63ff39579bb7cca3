/** Parts of the benchmark that are not cases against peers: a table of figures of their own. */
import type { Effort } from "./rounds.ts";
import type { Plot } from "./plot.ts";
import type { Cell } from "./table.ts";

export interface ReportContext {
  threads: number;
  effort: Effort;
  quick: boolean;
}

export interface Report {
  readonly name: string;
  readonly title: string;
  run(context: ReportContext): Promise<ReportResult>;
}

export interface ReportResult {
  header: string[];
  rows: Cell[][];
  /** What the figures mean, below the table. */
  note: string;
  plots?: Plot[];
}
