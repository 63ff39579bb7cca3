/** Training loops. */
export {
  type Batches,
  type Classifier,
  epochGeneralCifar10,
  type EpochOptions,
  evaluateCifar10,
  trainCifar10,
  type TrainOptions,
} from "./cifar10.ts";
export type { EpochResult, EpochsOptions, LoopOptions, LossFunction, OptimizerClass, StepReport } from "./epoch.ts";
export {
  type ChunkReport,
  chunksOf,
  detachState,
  epochGeneralPtb,
  evaluatePtb,
  type HiddenState,
  type PtbEpochOptions,
  type PtbOptions,
  type PtbTrainOptions,
  type SequenceLoss,
  type SequenceModel,
  tensorsOf,
  trainPtb,
} from "./ptb.ts";
