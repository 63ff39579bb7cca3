/** The tensors that belong to modules: parameters, which are trained, and buffers, which are only saved. */
import { Tensor, type TensorOptions } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { untracked } from "../ndarray/scope.ts";

/** A tensor that belongs to a module and is trained. No tidy frees it. */
export class Parameter extends Tensor {
  /** For TypeScript: an ordinary tensor, which would be neither trained nor saved, is no Parameter. */
  declare protected readonly nominal: "Parameter";

  /**
   * @param values an array, which belongs to the parameter from now on, or a tensor, whose elements are shared, as PyTorch's.
   * @param options.requiresGrad default true.
   */
  constructor(values: NDArray | Tensor, options: Pick<TensorOptions, "requiresGrad"> = {}) {
    const { requiresGrad = true } = checkOptions("Parameter", options, ["requiresGrad"]);
    super(ownArray("Parameter", values), { requiresGrad });
  }
}

/** A tensor that belongs to a module and is saved with it, not trained; written with `set`. No tidy frees it. */
export class Buffer extends Tensor {
  /** As {@link Parameter}'s. */
  declare protected readonly nominal: "Buffer";

  /** @param values an array, which belongs to the buffer from now on, or a tensor, whose elements are shared. */
  constructor(values: NDArray | Tensor) {
    super(ownArray("Buffer", values));
  }
}

/** The array of a parameter or buffer that is made of `values`. */
function ownArray(name: string, values: NDArray | Tensor): NDArray {
  const data = values instanceof Tensor ? untracked(() => values.data.alias()) : values;
  if (data instanceof NDArray) return data.keep();
  throw new ArgumentError(name, `takes an array or a tensor, not ${describe(values)}`);
}

/** Makes a parameter outside of every tidy. */
export function parameter(make: () => Tensor): Parameter {
  return untracked(() => new Parameter(make().data));
}
