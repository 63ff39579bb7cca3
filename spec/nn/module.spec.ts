/** The class Module: what it finds by walking its properties, its modes, and its state. */
import { describe, expect, test } from "bun:test";
import { init, NDArray, nn, ops, Tensor, tensor, tidy } from "thimble";

class Nested extends nn.Module {
  readonly first = new nn.Linear(3, 2);
  readonly blocks = [new nn.Linear(2, 2, { bias: false }), new nn.BatchNorm1d(2)];
  readonly again = this.first; // shared
  readonly scale = new nn.Parameter(NDArray.ones([1]));
  readonly name = "not a tensor";

  override forward(x: Tensor): Tensor {
    return ops.mul(
      this.blocks.reduce((y, block) => block.forward(y), this.first.forward(x)),
      this.scale,
    );
  }
}

describe("Module", () => {
  test("finds parameters by walking its properties, each once", () => {
    const module = new Nested();
    const names = Object.keys(module.namedParameters());
    expect(names.sort()).toEqual(
      ["blocks.0.weight", "blocks.1.bias", "blocks.1.weight", "first.bias", "first.weight", "scale"].sort(),
    );
    expect(module.parameters().length).toBe(6);
    expect(module.parameters().every((p) => p.requiresGrad && p instanceof Tensor)).toBe(true);
    expect(Object.keys(module.stateDict())).toEqual(
      expect.arrayContaining(["blocks.1.runningMean", "blocks.1.runningVar"]),
    );
  });

  test("prints as a tree of modules with the shapes of their tensors", () => {
    const tree = `Nested(
  scale (1,)
  (first): Linear(weight (3, 2), bias (2,))
  (blocks.0): Linear(weight (2, 2))
  (blocks.1): BatchNorm1d(weight (2,), bias (2,), runningMean (2,), runningVar (2,))
  (again): Linear(weight (3, 2), bias (2,))
)`;
    expect(String(new Nested())).toBe(tree);
    expect(Bun.inspect(new Nested())).toBe(tree);
    expect(String(new nn.Tanh())).toBe("Tanh()");
    class Child extends nn.Module {
      parent: nn.Module | null = null;

      override forward(x: Tensor): Tensor {
        return x;
      }
    }
    const child = new Child();
    child.parent = new nn.Sequential(child);
    expect(String(child)).toBe("Child(\n  (parent): Sequential(\n    (0): Child(…)\n  )\n)");
  });

  test("train and eval reach everything inside", () => {
    const module = new Nested();
    expect(module.training).toBe(true);
    module.eval();
    expect([module.training, module.first.training, ...module.blocks.map((b) => b.training)]).toEqual([
      false,
      false,
      false,
      false,
    ]);
    module.train();
    expect([module.training, module.first.training, ...module.blocks.map((b) => b.training)]).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });

  test("loadStateDict copies values, from another module or from plain arrays, and ties nothing", () => {
    const [a, b] = [new Nested(), new Nested()];
    b.loadStateDict(a.stateDict());
    const x = tensor([[1, 2, 3], [3, 1, 2]]); // prettier-ignore
    expect(b.eval().forward(x).toArray()).toEqual(a.eval().forward(x).toArray());
    a.first.weight.set(new Float32Array(6));
    expect(b.first.weight.toTypedArray().some((value) => value !== 0)).toBe(true);
    const arrays = Object.fromEntries(
      Object.entries(a.stateDict()).map(([name, t]) => [name, NDArray.full(t.shape, 2)]),
    );
    b.loadStateDict(arrays);
    expect(b.first.weight.toArray()).toEqual([[2, 2], [2, 2], [2, 2]]); // prettier-ignore
    expect(b.first.weight.requiresGrad).toBe(true);
  });

  test("loadStateDict refuses what does not fit, names it, and changes nothing", () => {
    const module = new Nested();
    const before = module.first.weight.toArray();
    const dict = module.stateDict();
    const { scale, ...missing } = dict;
    expect(() => module.loadStateDict(missing)).toThrow(/missing scale/);
    expect(() => module.loadStateDict({ ...dict, extra: scale! })).toThrow(/unknown extra/);
    const wrong = { ...dict, "first.weight": init.zeros([3, 2]), scale: init.zeros([2]) };
    expect(() => module.loadStateDict(wrong)).toThrow(/scale.*\(1,\).*\(2,\)/);
    expect(module.first.weight.toArray()).toEqual(before);
  });

  test("loadStateDict knows PyTorch's names of a norm's statistics, strictly or not, and its counts of batches", () => {
    const model = new nn.Sequential(new nn.BatchNorm2d(2));
    const of = (value: number) => NDArray.full([2], value);
    const given = { "0.weight": of(1), "0.bias": of(0), "0.running_mean": of(5), "0.running_var": of(9) };
    const counted = { ...given, "0.num_batches_tracked": NDArray.from(3, { dtype: "int32" }) };
    for (const dict of [given, counted])
      for (const strict of [true, false]) {
        model.loadStateDict({ ...model.stateDict(), "0.runningMean": of(0), "0.runningVar": of(1) });
        expect(model.loadStateDict(dict, { strict })).toEqual({ missing: [], unexpected: [] });
        expect(model.stateDict()["0.runningMean"]!.toArray()).toEqual([5, 5]);
        expect(model.stateDict()["0.runningVar"]!.toArray()).toEqual([9, 9]);
      }
  });

  test("loadStateDict says how a weight of PyTorch's must be turned", () => {
    const [linear, conv] = [new nn.Linear(3, 2, { bias: false }), new nn.Conv(3, 4, 5, { bias: false })];
    expect(() => linear.loadStateDict({ weight: NDArray.ones([2, 3]) })).toThrow("permute([1, 0]) turns this one");
    expect(() => conv.loadStateDict({ weight: NDArray.ones([4, 3, 5, 5]) })).toThrow("permute([2, 3, 1, 0]) turns");
    linear.loadStateDict({ weight: NDArray.ones([2, 3]).permute([1, 0]) });
    conv.loadStateDict({ weight: NDArray.ones([4, 3, 5, 5]).permute([2, 3, 1, 0]) });
    expect(() => linear.loadStateDict({ weight: NDArray.ones([4, 3]) })).not.toThrow("permute");
  });

  test("loadStateDict with strict: false leaves alone what one side lacks, and names it; shapes must fit", () => {
    const module = new Nested();
    const { scale, ...dict } = module.stateDict();
    const ones = Object.fromEntries(Object.entries(dict).map(([name, t]) => [name, NDArray.ones(t.shape)]));
    const before = scale!.toArray();
    const given = { ...ones, extra: scale!, toString: scale! };
    expect(module.loadStateDict(given, { strict: false })).toEqual({
      missing: ["scale"],
      unexpected: ["extra", "toString"],
    });
    expect(module.first.weight.toArray()).toEqual(NDArray.ones(module.first.weight.shape).toArray());
    expect(module.scale.toArray()).toEqual(before);
    expect(module.loadStateDict(module.stateDict())).toEqual({ missing: [], unexpected: [] });
    const wrong = { "first.bias": init.zeros([3]), "first.weight": init.zeros([7]) };
    expect(() => module.loadStateDict(wrong, { strict: false })).toThrow(
      /first.weight.*has the first of these shapes.*\(7,\)/,
    );
    expect(module.first.weight.toArray()).toEqual(NDArray.ones(module.first.weight.shape).toArray());
    expect(() => module.loadStateDict(wrong, { strict: true })).toThrow(/missing/);
    // @ts-expect-error: no boolean
    expect(() => module.loadStateDict(dict, { strict: 0 })).toThrow(/strict must be true or false/);
    // @ts-expect-error: PyTorch's positional argument
    expect(() => module.loadStateDict(dict, false)).toThrow(/options must be an object/);
  });

  test("parameters survive a tidy in which the module was made", () => {
    const module = tidy(() => ({ model: new Nested() })).model;
    expect(module.first.weight.toTypedArray().length).toBe(6);
    expect(module.blocks[1]!.stateDict()["runningVar"]!.toArray()).toEqual([1, 1]);
  });

  test("bias: false leaves the parameter out", () => {
    expect(Object.keys(new nn.Linear(2, 3, { bias: false }).namedParameters())).toEqual(["weight"]);
    expect(Object.keys(new nn.Conv(2, 3, 3, { bias: false }).namedParameters())).toEqual(["weight"]);
  });
});
