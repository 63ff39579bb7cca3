/** Saving and restoring: `import { saveCheckpoint } from "thimble/checkpoint"`. */
export { type Json, loadCheckpoint, saveCheckpoint, type Training } from "./checkpoint.ts";
export { readSafetensors, type SavedArray, type Safetensors, writeSafetensors } from "./safetensors.ts";
