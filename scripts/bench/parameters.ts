import { NDArray, type Tensor } from "thimble";

import { parameterValues } from "./parameter-values.ts";

/** Gives the parameters of a model, in its order, the numbers that every contestant gives them. */
export function setParameters(parameters: readonly Tensor[]): void {
  parameters.forEach((parameter, i) => {
    const { shape } = parameter;
    parameter.set(NDArray.from(parameterValues(shape, i), { shape }));
  });
}
