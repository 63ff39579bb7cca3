/** What a module knows to be its own: parameters, buffers and submodules, wherever its properties hold them. */
import { expect, test } from "bun:test";
import { init, NDArray, nn, noGrad, ops, type Tensor, tensor, tidy } from "thimble";

import { onEachDevice } from "../support/devices.ts";

onEachDevice("what belongs to a module", (device) => {
  const options = { device };
  class Everywhere extends nn.Module {
    scales = [new nn.Parameter(NDArray.ones([2], options))];
    blocks = [[new nn.Linear(2, 2, options)], [new nn.Linear(2, 2, { bias: false, device })]];
    heads = { left: new nn.Linear(2, 1, options), names: ["a", "b"] };
    experts = new Map([["first", new nn.Dropout(1)]]);
    override forward(x: Tensor): Tensor {
      return this.experts.get("first")!.forward(this.blocks[0]![0]!.forward(x));
    }
  }
  const x = (): Tensor => tensor([[1, 2]], options); // prettier-ignore

  test("is found in lists, lists of lists, plain objects and maps, and named by its path", () => {
    const model = new Everywhere();
    expect(Object.keys(model.namedParameters())).toEqual([
      "scales.0",
      "blocks.0.0.weight",
      "blocks.0.0.bias",
      "blocks.1.0.weight",
      "heads.left.weight",
      "heads.left.bias",
    ]);
    expect(model.forward(x()).toArray()).toEqual([[0, 0]]); // prettier-ignore
    model.eval();
    expect(model.experts.get("first")!.training).toBe(false);
    expect(model.forward(x()).toArray()).not.toEqual([[0, 0]]); // prettier-ignore
  });

  test("is found in sets and in objects without a prototype", () => {
    class Model extends nn.Module {
      layers = new Set([new nn.Linear(2, 2, options), new nn.Linear(2, 2, { bias: false, device })]);
      heads: Record<string, nn.Linear> = Object.assign(Object.create(null), { left: new nn.Linear(2, 1, options) });
      override forward(): void {}
    }
    const names = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "heads.left.weight", "heads.left.bias"];
    expect(Object.keys(new Model().namedParameters())).toEqual(names);
  });

  test("names that two tensors share are refused: one of them would be neither trained nor saved", () => {
    class Model extends nn.Module {
      parts = new Map<unknown, unknown>();
      override forward(): void {}
    }
    const linear = (): nn.Linear => new nn.Linear(2, 2, options);
    for (const entries of [
      [["a.b", linear()], ["a", { b: linear() }]], // prettier-ignore
      [[1, linear()], ["1", linear()]], // prettier-ignore
    ] as [unknown, unknown][][]) {
      const model = new Model();
      for (const [key, part] of entries) model.parts.set(key, part);
      expect(() => model.parameters()).toThrow("two of its tensors are named 'parts.");
      expect(() => model.stateDict()).toThrow("two of its tensors are named 'parts.");
    }
    const shared = linear();
    const model = new Model(); // the same module under both names
    model.parts.set(1, shared).set("1", shared);
    expect(model.parameters().length).toBe(2);
  });

  test("a result put where a parameter was is refused, by TypeScript too", () => {
    class Scale extends nn.Module {
      weight = new nn.Parameter(NDArray.ones([2], options));
      override forward(input: Tensor): Tensor {
        return input.mul(this.weight);
      }
    }
    const model = new Scale();
    model.parameters();
    // @ts-expect-error: a tensor is no parameter
    model.weight = model.weight.mul(0.5);
    expect(() => model.parameters()).toThrow("'weight' was a Parameter, and is now a tensor that would not be trained");
    expect(() => new nn.Sequential(model).stateDict()).toThrow("'weight' was a Parameter");
    model.weight = new nn.Parameter(NDArray.ones([3], options));
    expect(model.parameters()[0]!.shape).toEqual([3]);
  });

  test("a module's own come before those of its submodules, as PyTorch has them", () => {
    class Own extends nn.Module {
      encoder = new nn.Linear(2, 2, options);
      scale = new nn.Parameter(NDArray.ones([2], options));
      override forward(input: Tensor): Tensor {
        return this.encoder.forward(input).mul(this.scale);
      }
    }
    expect(Object.keys(new Own().namedParameters())).toEqual(["scale", "encoder.weight", "encoder.bias"]);
  });

  test("train calls the submodules' own: one may keep itself frozen", () => {
    class Frozen extends nn.BatchNorm1d {
      override train(_mode = true): this {
        return super.train(false);
      }
    }
    const model = new nn.Sequential(new nn.Linear(2, 2, options), new Frozen(2, options));
    expect([model.train().training, model.modules[1]!.training]).toEqual([true, false]);
  });

  test("a million numbers in a property cost a moment, and so do linked objects", () => {
    class Plain extends nn.Module {
      numbers = Array.from({ length: 1_000_000 }, (_, i) => i);
      links: object = Array.from({ length: 20_000 }).reduce<object>((next) => ({ next }), {});
      layer = new nn.Linear(1, 1, options);
      override forward(input: Tensor): Tensor {
        return this.layer.forward(input);
      }
    }
    expect(new Plain().eval().parameters().length).toBe(2);
  });

  test("a child that knows its parent, and a module in two places, end no walk", () => {
    class Child extends nn.Module {
      parent: nn.Module | null = null;
      readonly layer = new nn.Linear(1, 1, options);
      override forward(input: Tensor): Tensor {
        return this.layer.forward(input);
      }
    }
    class Parent extends nn.Module {
      readonly child = new Child();
      readonly again = this.child;
      override forward(input: Tensor): Tensor {
        return this.again.forward(this.child.forward(input));
      }
    }
    const model = new Parent();
    model.child.parent = model;
    expect(model.parameters().length).toBe(2);
    expect(Object.keys(model.stateDict())).toContain("again.layer.weight");
    expect(model.eval().child.training).toBe(false);
  });

  test("a tensor that a module remembers is no part of its state; a Buffer is", () => {
    class Remembers extends nn.Module {
      readonly layer = new nn.Linear(2, 2, options);
      readonly mean = new nn.Buffer(NDArray.zeros([2], options));
      last: Tensor | null = null;
      override forward(input: Tensor): Tensor {
        return (this.last = this.layer.forward(input));
      }
    }
    const model = new Remembers();
    model.forward(x());
    expect(Object.keys(model.stateDict())).toEqual(["mean", "layer.weight", "layer.bias"]);
    expect(Object.keys(model.namedParameters())).toEqual(["layer.weight", "layer.bias"]);
    class Replaces extends nn.Module {
      mean: Tensor = this.buffer(init.zeros([2], options));
      override forward(input: Tensor): Tensor {
        return (this.mean = this.mean.mul(0.9).add(input));
      }
    }
    const replaces = new Replaces();
    expect(Object.keys(replaces.stateDict())).toEqual(["mean"]);
    replaces.forward(x());
    expect(() => replaces.stateDict()).toThrow(/^Replaces: 'mean' was a Buffer.*set\(\)/);
    const other = new Remembers();
    other.loadStateDict(model.stateDict());
    expect(other.layer.weight.toArray()).toEqual(model.layer.weight.toArray());
  });

  test("loadStateDict writes nothing unless all of it fits, dtypes and disposed arrays included", () => {
    const model = new nn.Linear(1, 2, options);
    const before = model.weight.toArray();
    const gone = NDArray.zeros([2]);
    gone.dispose();
    expect(() => model.loadStateDict({ weight: NDArray.zeros([1, 2]), bias: gone })).toThrow(/disposed/);
    expect(model.weight.toArray()).toEqual(before);
    class Counter extends nn.Module {
      readonly scale = new nn.Parameter(NDArray.ones([1], options));
      readonly count = new nn.Buffer(NDArray.zeros([1], { dtype: "int32", device }));
      override forward(input: Tensor): Tensor {
        return input.mul(this.scale);
      }
    }
    const counter = new Counter();
    expect(() => counter.loadStateDict({ scale: tensor([5]), count: tensor([1.5]) })).toThrow(/count is int32/);
    expect(counter.scale.item()).toBe(1);
    counter.loadStateDict({ scale: tensor([5], { dtype: "int32" }), count: tensor([2]) });
    expect([counter.scale.item(), counter.count.item(), counter.count.dtype]).toEqual([5, 2, "int32"]);
  });

  test("a parameter made of a tensor shares its elements, as PyTorch's", () => {
    const values = init.ones([2], options);
    const parameter = new nn.Parameter(values);
    parameter.set([3, 4]);
    expect([values.toArray(), parameter.requiresGrad, parameter.device]).toEqual([[3, 4], true, device]);
    expect(new nn.Parameter(values, { requiresGrad: false }).requiresGrad).toBe(false);
    parameter.dispose();
    expect(values.toArray()).toEqual([3, 4]);
  });

  test("a forward that was replaced on the object itself is called, and what it keeps is left alone", () => {
    const kept: Tensor[] = [];
    const watch = <L extends nn.Layer>(layer: L): L => {
      const forward = layer.forward.bind(layer);
      layer.forward = (input: Tensor) => {
        const y = forward(input);
        kept.push(y);
        return y;
      };
      return layer;
    };
    const model = new nn.Sequential(
      watch(new nn.Conv(1, 2, 3, options)),
      watch(new nn.BatchNorm2d(2, options)),
      new nn.ReLU(),
      new nn.Residual(watch(new nn.Conv(2, 2, 3, options))),
    );
    const image = init.normal([2, 1, 4, 4], options);
    const run = (): number[] => [model.forward(image).size, ...kept.splice(0).map((y) => y.toTypedArray().length)];
    expect(run()).toEqual([64, 64, 64, 64]);
    model.eval();
    expect(run()).toEqual([64, 64, 64, 64]);
    expect(noGrad(run)).toEqual([64, 64, 64, 64]);
  });
});

test("a parameter whose gradient was assigned in a tidy keeps it", () => {
  const layer = new nn.Linear(2, 2);
  ops.sum(layer.forward(tensor([[1, 2]]))).backward(); // prettier-ignore
  tidy(() => {
    layer.weight.grad = layer.weight.grad!.mul(0.5);
  });
  expect(layer.weight.grad!.toArray()).toEqual([[0.5, 0.5], [1, 1]]); // prettier-ignore
  ops.sum(layer.weight).backward();
  expect(layer.weight.grad!.toArray()).toEqual([[1.5, 1.5], [2, 2]]); // prettier-ignore
});

test("Sequential names its modules by their place, as PyTorch, and a subclass's own beside them", () => {
  class Net extends nn.Sequential {
    readonly head = new nn.Linear(1, 1);
  }
  const net = new Net(new nn.Linear(2, 1), new nn.ReLU(), new nn.Sequential(new nn.Linear(1, 1, { bias: false })));
  const names = ["0.weight", "0.bias", "2.0.weight", "head.weight", "head.bias"];
  expect(Object.keys(net.stateDict())).toEqual(names);
});
