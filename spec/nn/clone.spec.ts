import { expect, test } from "bun:test";
import { ArgumentError, DisposedError, NDArray, nn, ops, optim, type Tensor, tensor, tidy } from "thimble";
import { LanguageModel, ResNet9 } from "thimble/models";

import { onEachDevice } from "../support/devices.ts";
import { liveBytes } from "../support/live-bytes.ts";

onEachDevice("clone", (device) => {
  const options = { device };
  const values = (module: nn.Module): Record<string, unknown> =>
    Object.fromEntries(Object.entries(module.stateDict()).map(([name, value]) => [name, value.toArray()]));

  class Net extends nn.Module {
    readonly list = [new nn.Linear(2, 2, options), [new nn.BatchNorm1d(2, options)]] as const;
    readonly map = new Map<string, nn.Module | number>([["a", new nn.Linear(1, 1, options)], ["size", 3]]); // prettier-ignore
    readonly set = new Set([new nn.Linear(2, 1, options)]);
    readonly named = { inner: { scale: new nn.Parameter(NDArray.ones([2], options)) } };
    readonly tied = this.named.inner.scale;
    readonly frozen = new nn.Parameter(NDArray.ones([1], options), { requiresGrad: false });
    readonly count = this.buffer(NDArray.from([7], { dtype: "int32", device }));
    readonly activation = ops.relu;
    private readonly sizes = [1, 2];
    last: Tensor | null = null;

    override forward(x: Tensor): Tensor {
      const [first, [norm]] = this.list;
      this.last = norm.forward(first.forward(x)).mul(this.tied);
      return this.activation(this.last).mul(this.sizes.length);
    }
    get width(): number {
      return this.sizes.length;
    }
  }
  const input = (): Tensor => tensor([[1, 2], [3, -4]], { device }); // prettier-ignore

  test("has equal values of its own, the same structure, modes and flags, and computes the same", () => {
    const net = new Net();
    net.list[1][0].eval();
    const copy = net.clone();
    expect(copy).toBeInstanceOf(Net);
    expect(copy.constructor).toBe(Net);
    expect(values(copy)).toEqual(values(net));
    expect(Object.keys(copy)).toEqual(Object.keys(net));
    expect([copy.training, copy.list[0].training, copy.list[1][0].training]).toEqual([true, true, false]);
    expect([copy.map.get("size"), copy.width, copy.activation]).toEqual([3, 2, ops.relu]);
    expect([copy.frozen.requiresGrad, copy.tied.requiresGrad, copy.count.dtype]).toEqual([false, true, "int32"]);
    const own = new Set<object>(Object.values(net.stateDict()));
    for (const [name, value] of Object.entries(copy.stateDict())) {
      expect(own.has(value)).toBe(false);
      expect(value.data.storage).not.toBe(net.stateDict()[name]!.data.storage);
      expect(value.constructor).toBe(net.stateDict()[name]!.constructor);
      expect(value.device).toBe(device);
    }
    expect(copy.forward(input()).toArray()).toEqual(net.forward(input()).toArray());
  });

  test("what is shared within stays shared; training the copy leaves the original alone", () => {
    const net = new Net();
    const copy = net.clone();
    expect(copy.tied).toBe(copy.named.inner.scale);
    expect(copy.parameters().length).toBe(net.parameters().length);
    const before = values(net);
    const opt = new optim.SGD(copy.parameters(), { lr: 0.5 });
    copy.forward(input()).sum().backward();
    opt.step();
    expect(values(net)).toEqual(before);
    expect(values(copy)).not.toEqual(before);
    expect(net.parameters().map((p) => p.grad)).toEqual(net.parameters().map(() => null));
    expect(copy.clone().parameters().map((p) => p.grad)).toEqual(net.parameters().map(() => null)); // prettier-ignore
  });

  test("what a module remembers is copied without its history, unless it is gone", () => {
    const net = new Net();
    net.forward(input());
    const copy = net.clone();
    expect(copy.last!.toArray()).toEqual(net.last!.toArray());
    expect([copy.last!.isLeaf, copy.last!.requiresGrad, net.last!.requiresGrad]).toEqual([true, false, true]);
    tidy(() => void net.forward(input()));
    expect(net.clone().last).toBe(net.last);
  });

  test("children that know their parent, and modules in two places", () => {
    class Child extends nn.Module {
      parent: nn.Module | null = null;
      readonly layer = new nn.Linear(1, 1, options);
      override forward(x: Tensor): Tensor {
        return this.layer.forward(x);
      }
    }
    class Parent extends nn.Module {
      readonly child = new Child();
      readonly again = { child: this.child };
      override forward(x: Tensor): Tensor {
        return this.again.child.forward(this.child.forward(x));
      }
    }
    const model = new Parent();
    model.child.parent = model;
    const copy = model.clone();
    expect([copy.child.parent, copy.again.child]).toEqual([copy, copy.child]);
    expect(copy.child).not.toBe(model.child);
    expect(copy.child.clone().parent).not.toBe(copy);
  });

  test("a class may have its own way, also inside of others, and shares what they share", () => {
    class Counted extends nn.Module {
      made = 0;
      readonly weight: nn.Parameter;
      constructor(weight: nn.Parameter) {
        super();
        this.weight = weight;
      }
      override forward(x: Tensor): Tensor {
        return x.mul(this.weight);
      }
      override clone(): this {
        const copy = super.clone();
        copy.made = this.made + 1;
        return copy;
      }
    }
    const weight = new nn.Parameter(NDArray.ones([1], options));
    const copy = new nn.Sequential(new Counted(weight), new Counted(weight)).clone();
    const [a, b] = copy.modules as readonly Counted[];
    expect([a!.made, b!.made]).toEqual([1, 1]);
    expect(a!.weight).toBe(b!.weight);
    expect(a!.weight).not.toBe(weight);
  });

  test("a forward that was replaced on the object is refused, and a disposed parameter", () => {
    const net = new nn.Sequential(new nn.Linear(1, 1, options));
    const layer = net.modules[0] as nn.Linear;
    const forward = layer.forward.bind(layer);
    layer.forward = (x) => forward(x).mul(2);
    expect(() => net.clone()).toThrow(ArgumentError);
    expect(() => net.clone()).toThrow(/^clone: forward of this Linear was replaced/);
    const gone = new nn.Linear(1, 1, options);
    gone.weight.dispose();
    expect(() => gone.clone()).toThrow(DisposedError);
    expect(new nn.Linear(1, 1, options).clone().parameters().length).toBe(2); // nothing is left over from those
  });

  test("a million numbers and many linked objects cost a moment", () => {
    class Plain extends nn.Module {
      numbers = Array.from({ length: 1_000_000 }, (_, i) => i);
      links: object = Array.from({ length: 20_000 }).reduce<object>((next) => ({ next }), {});
      override forward(x: Tensor): Tensor {
        return x;
      }
    }
    const [model, copy] = [new Plain(), new Plain().clone()];
    expect(copy.numbers.length + copy.numbers[999_999]!).toBe(1_999_999);
    expect(copy.numbers).not.toBe(model.numbers);
    const depth = (links: object): number => {
      let count = 0;
      for (let at: object | undefined = links; at !== undefined; at = "next" in at ? (at.next as object) : undefined)
        count++;
      return count;
    };
    expect(depth(copy.links)).toBe(20_001);
  });

  test("no tidy frees a copy, and a forgotten one is collected", () => {
    const net = new nn.Linear(2, 2, options);
    const copy = tidy(() => ({ module: net.clone() })).module;
    expect(copy.weight.toArray()).toEqual(net.weight.toArray());
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) new nn.Linear(512, 512, options).clone();
    expect(liveBytes(device) - before).toBeLessThan(4 * 512 * 512 * 6); // of ten: the collector may miss the last ones
  });

  test("models of the library", () => {
    const tied = new LanguageModel(4, 9, 4, { device, seqModel: "lstm", tieWeights: true });
    const resnet = new ResNet9({ device }).eval();
    for (const model of [tied, resnet]) expect(values(model.clone())).toEqual(values(model));
    expect(tied.clone().parameters().length).toBe(tied.parameters().length);
    const words = tensor([1, 2, 3, 4], { shape: [2, 2], dtype: "int32", device });
    expect(tied.eval().clone().forward(words)[0].toArray()).toEqual(tied.forward(words)[0].toArray());
    const images = tensor(new Float32Array(3072).fill(0.5), { shape: [1, 3, 32, 32], device });
    expect(resnet.clone().forward(images).toArray()).toEqual(resnet.forward(images).toArray());
  });
});
