/** Training loops. */
export {
  type Batches,
  type Classifier,
  epochGeneralCifar10,
  type EpochOptions,
  type EpochResult,
  evaluateCifar10,
  type StepReport,
  trainCifar10,
  type TrainOptions,
} from "./cifar10.ts";
