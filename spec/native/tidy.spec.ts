import { describe, expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { DisposedError, NDArray, nn, ops, tensor, ThimbleError, tidy } from "thimble";

const dead = (...arrays: (NDArray | Tensor)[]): void => {
  for (const array of arrays) expect(() => array.toTypedArray()).toThrow(DisposedError);
};

describe("tidy", () => {
  test("frees what was made inside, and keeps what it returns", () => {
    let inner: Tensor[] = [];
    const result = tidy(() => {
      inner = [tensor([1, 2]), tensor([3, 4])];
      return ops.add(inner[0]!, inner[1]!);
    });
    expect(result.toArray()).toEqual([4, 6]);
    dead(...inner);
  });

  test("returned handles survive inside arrays, objects, maps and sets, however deep", () => {
    const make = (): Tensor => tensor([7]);
    const { list, deep, map, set, array } = tidy(() => ({
      list: [make(), [make()]] as const,
      deep: { a: { b: [make()] }, none: null, text: "x", missing: undefined },
      map: new Map([["k", make()]]),
      set: new Set([make()]),
      array: NDArray.from([7]),
    }));
    const survivors = [list[0], list[1][0]!, deep.a.b[0]!, map.get("k")!, [...set][0]!, array];
    for (const survivor of survivors) expect(survivor.toArray()).toEqual([7]);
  });

  test("a result that refers to itself does not hang it", () => {
    const result = tidy(() => {
      const cycle: { self?: unknown; value: Tensor } = { value: tensor([1]) };
      cycle.self = cycle;
      return cycle;
    });
    expect(result.value.toArray()).toEqual([1]);
  });

  test("what an inner tidy returns belongs to the outer one", () => {
    let first: Tensor | undefined;
    const second = tidy(() => {
      first = tidy(() => tensor([1]));
      expect(first.toArray()).toEqual([1]);
      return tidy(() => ops.add(first!, 1));
    });
    dead(first!);
    expect(second.toArray()).toEqual([2]);
  });

  test("arrays from outside are not freed, even when they are returned", () => {
    const outside = tensor([1]);
    expect(tidy(() => outside)).toBe(outside);
    tidy(() => ops.add(outside, 1));
    expect(outside.toArray()).toEqual([1]);
    const enclosing = tidy(() => {
      const a = tensor([1]);
      tidy(() => a); // returned by a scope that did not make it
      return [a.toArray(), a] as const;
    });
    expect(enclosing[1].toArray()).toEqual([1]);
  });

  test("keep exempts an array from every enclosing tidy", () => {
    let kept: Tensor | undefined;
    let other: NDArray | undefined;
    tidy(() =>
      tidy(() => {
        kept = tensor([1]).keep();
        other = NDArray.from([2]).keep();
      }),
    );
    expect([kept!.toArray(), other!.toArray()]).toEqual([[1], [2]]); // prettier-ignore
  });

  test("a promise is refused, and what was made is freed", () => {
    let inner: Tensor | undefined;
    const start = (): unknown =>
      tidy(async () => {
        inner = tensor([1]);
        return inner;
      });
    expect(start).toThrow(/tidy.*promise/);
    expect(start).toThrow(ThimbleError);
    dead(inner!);
  });

  test("an error passes through, and what was made is freed; later scopes work", () => {
    let inner: Tensor | undefined;
    expect(() =>
      tidy(() => {
        inner = tensor([1]);
        throw new RangeError("inside");
      }),
    ).toThrow(RangeError);
    dead(inner!);
    expect(tensor([1]).toArray()).toEqual([1]);
    expect(tidy(() => tensor([2])).toArray()).toEqual([2]);
  });

  test("a result can be used for backward after its tidy", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const loss = tidy(() => ops.sum(ops.mul(ops.mul(x, x), 0.5)));
    tidy(() => loss.backward());
    expect(x.grad!.toArray()).toEqual([1, 2]);
    loss.dispose();
    expect(x.grad!.toArray()).toEqual([1, 2]);
  });

  test("gradients that backward makes inside survive", () => {
    const layer = new nn.Linear(2, 2);
    tidy(() => ops.sum(layer.forward(tensor([[1, 2]]))).backward());
    expect(layer.bias!.grad!.toArray()).toEqual([1, 1]);
    tidy(() => ops.sum(layer.forward(tensor([[1, 2]]))).backward());
    expect(layer.bias!.grad!.toArray()).toEqual([2, 2]);
  });

  test("a returned tensor's gradient survives with it", () => {
    const x = tidy(() => {
      const leaf = tensor([3], { requiresGrad: true });
      ops.sum(ops.mul(leaf, leaf)).backward();
      return leaf;
    });
    expect([x.toArray(), x.grad!.toArray()]).toEqual([[3], [6]]); // prettier-ignore
  });

  test("views of freed arrays that are returned keep the memory valid", () => {
    const view = tidy(() => tensor([[1, 2], [3, 4]]).transpose().slice(1)); // prettier-ignore
    for (let i = 0; i < 20; i++) tidy(() => tensor([[9, 9], [9, 9]])); // prettier-ignore
    expect(view.toArray()).toEqual([2, 4]);
  });

  test("results that are no arrays pass through", () => {
    expect(tidy(() => 5)).toBe(5);
    expect(tidy(() => undefined)).toBeUndefined();
    expect(tidy(() => null)).toBeNull();
    expect(tidy(() => "text")).toBe("text");
  });
});
