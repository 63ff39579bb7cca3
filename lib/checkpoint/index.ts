/** Saving and restoring: `import { saveCheckpoint } from "thimble/checkpoint"`. */
export {
  loadCheckpoint,
  type LoadOptions,
  readCheckpointArrays,
  readCheckpointState,
  saveCheckpoint,
  type SavedTraining,
  type Training,
} from "./checkpoint.ts";
export type { Json } from "./content.ts";
export { loadPyTorch, type LoadPyTorchOptions, savePyTorch, type SavePyTorchOptions } from "./pytorch.ts";
export { readSafetensors, type SavedArray, type Safetensors, writeSafetensors } from "./safetensors.ts";
