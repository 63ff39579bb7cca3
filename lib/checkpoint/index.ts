/** Saving and restoring: `import { saveCheckpoint } from "thimble/checkpoint"`. */
export { type Json, loadCheckpoint, readCheckpointState, saveCheckpoint, type Training } from "./checkpoint.ts";
export { readSafetensors, type SavedArray, type Safetensors, writeSafetensors } from "./safetensors.ts";
