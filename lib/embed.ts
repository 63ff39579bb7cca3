/**
 * For programs that `bun build` makes into one file: `import "thimble/embed"` takes the native library along, into the
 * executable with `--compile`, else beside the bundle. Linux only.
 */
/// <reference path="./native/shared-library.d.ts" />
import { resolve } from "node:path";

import library from "../build/libthimble_cpu.so" with { type: "file" };

process.env["THIMBLE_LIBRARY"] ??= resolve(import.meta.dir, library); // a bundle names it relative to itself
