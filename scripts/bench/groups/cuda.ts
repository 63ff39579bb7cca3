/** The models and their products on cuda:0, against PyTorch there, whose products are cuBLAS's. */
import { cuda } from "thimble";

import type { Group } from "../workload.ts";
import { languageModel, SIZES } from "./language-model.ts";
import { MODELS, product } from "./matmul.ts";
import { trainCase } from "./resnet9.ts";

export const onCuda: Group = {
  name: "cuda",
  title: "On the graphics card",
  cases: () => {
    const device = cuda();
    return [
      trainCase(128, device),
      trainCase(1024, device),
      ...SIZES.map((size) => languageModel(size, device)),
      ...[64, 256, 1024, 4096].map((n) => product({ m: n, n, k: n, quick: n === 64 }, undefined, device)),
      ...MODELS.map(([title, m, n, k]) => product({ m, n, k }, title, device)),
    ];
  },
};
