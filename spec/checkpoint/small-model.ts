/** A model with parameters and buffers, to be saved and restored. */
import { nn } from "../../lib/index.ts";

export function makeModel(hidden = 5): nn.Sequential {
  return new nn.Sequential(
    new nn.Linear(3, hidden),
    new nn.BatchNorm1d(hidden),
    new nn.ReLU(),
    new nn.Linear(hidden, 2),
  );
}

export const valuesOf = (model: nn.Module) =>
  Object.entries(model.stateDict()).map(([name, tensor]) => [name, tensor.data.toTypedArray()]);
