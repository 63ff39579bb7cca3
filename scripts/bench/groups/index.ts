/** Everything that `bun run bench` measures, in the order of its output. */
import { cuda } from "thimble";

import { messageOf } from "../../../datasets/download.ts";
import type { Report } from "../report.ts";
import type { Group } from "../workload.ts";
import { conv } from "./conv.ts";
import { onCuda } from "./cuda.ts";
import { elementwise, reduction } from "./elementwise.ts";
import { memory, startup } from "./fresh.ts";
import { lmTrain } from "./language-model.ts";
import { loss, norm, optimizer, pool, small } from "./layers.ts";
import { matmul } from "./matmul.ts";
import { loading, scaling } from "./own.ts";
import { resnet9Infer, resnet9Train } from "./resnet9.ts";
import { attention, recurrent } from "./sequence.ts";

export const parts: readonly (Group | Report)[] = [
  resnet9Train,
  resnet9Infer,
  lmTrain,
  matmul,
  conv,
  loss,
  optimizer,
  norm,
  pool,
  attention,
  recurrent,
  elementwise,
  reduction,
  small,
  loading,
  startup,
  memory,
  scaling,
  ...(cuda.isAvailable() ? [onCuda] : []),
];

/** Why the group "cuda" is not among them; null where it is. */
export function whyNoCuda(): string | null {
  try {
    cuda();
    return null;
  } catch (error) {
    return messageOf(error);
  }
}
