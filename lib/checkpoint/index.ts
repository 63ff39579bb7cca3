/** Saving and restoring: `import { saveCheckpoint } from "thimble/checkpoint"`. */
export {
  type Json,
  loadCheckpoint,
  readCheckpointArrays,
  readCheckpointState,
  saveCheckpoint,
  type SavedTraining,
  type Training,
} from "./checkpoint.ts";
export { readSafetensors, type SavedArray, type Safetensors, writeSafetensors } from "./safetensors.ts";
