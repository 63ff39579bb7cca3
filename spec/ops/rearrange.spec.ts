import { expect, test } from "bun:test";
import { NDArray, ops, ShapeError, Tensor, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { product } from "../support/oracle.ts";
import { Random } from "../support/random.ts";
import { thrown } from "../support/thrown.ts";

interface Options {
  diagonal?: number;
  shifts?: number | number[];
  axes?: number | number[];
  repeats?: number[];
}

checkFamily<Options>(
  "rearrange",
  {
    tril: ({ diagonal }, x) => ops.tril(x, diagonal),
    triu: ({ diagonal }, x) => ops.triu(x, diagonal),
    roll: ({ shifts = NaN, axes }, x) => ops.roll(x, shifts, axes),
    repeat: ({ repeats = [] }, x) => ops.repeat(x, repeats),
  },
  { rtol: 1e-6, atol: 1e-6 },
);

onEachDevice("triangles, rolls and repetitions", (device) => {
  const counting = (...shape: number[]): Tensor =>
    tensor(
      Float32Array.from({ length: product(shape) }, (_, at) => at + 1),
      { shape, device, requiresGrad: true },
    );

  test("a triangle leaves nothing of what is outside, be it NaN", () => {
    const x = tensor([[NaN, NaN], [3, Infinity]], { device }); // prettier-ignore
    expect([ops.tril(x, -1).toArray(), ops.triu(x, 1).toArray()]).toEqual([[[0, 0], [3, 0]], [[0, NaN], [0, 0]]]); // prettier-ignore
    expect([ops.tril(x, 2 ** 40).toArray(), ops.triu(x, -(2 ** 40)).toArray()]).toEqual([x.toArray(), x.toArray()]);
    expect(ops.tril(x, -(2 ** 40)).toArray()).toEqual([[0, 0], [0, 0]]); // prettier-ignore
  });

  test("int32 stays int32, to the ends of its range", () => {
    const x = tensor([[-(2 ** 31), 2 ** 31 - 1], [7, 5]], { dtype: "int32", device }); // prettier-ignore
    for (const [y, expected] of [
      [
        ops.tril(x),
        [
          [-(2 ** 31), 0],
          [7, 5],
        ],
      ],
      [
        ops.roll(x, 1),
        [
          [5, -(2 ** 31)],
          [2 ** 31 - 1, 7],
        ],
      ],
      [ops.repeat(x, [1, 2]).slice([0, 1]), [[-(2 ** 31), 2 ** 31 - 1, -(2 ** 31), 2 ** 31 - 1]]],
    ] as const)
      // prettier-ignore
      expect([y.dtype, JSON.stringify(y.toArray())]).toEqual(["int32", JSON.stringify(expected)]);
  });

  test("arrays have them too", () => {
    const { data } = counting(2, 3);
    expect(data.triu(1).toArray()).toEqual([[0, 2, 3], [0, 0, 6]]); // prettier-ignore
    expect(data.tril().toArray()).toEqual([[1, 0, 0], [4, 5, 0]]); // prettier-ignore
    expect(data.roll([1, 1], [1, 0]).toArray()).toEqual([[6, 4, 5], [3, 1, 2]]); // prettier-ignore
    expect(data.slice(0).repeat([2, 2]).toArray()).toEqual([[1, 2, 3, 1, 2, 3], [1, 2, 3, 1, 2, 3]]); // prettier-ignore
  });

  test("a roll back takes back a roll, however far", () => {
    const x = counting(3, 4, 2);
    for (const shift of [0, 1, -5, 1000003, -(2 ** 40)]) {
      expect(x.roll(shift).roll(-shift).toArray()).toEqual(x.toArray());
      expect(x.roll([shift, 1], [2, 0]).roll([-1, -shift], [0, -1]).toArray()).toEqual(x.toArray());
    }
  });

  test("repetitions of many axes", () => {
    const x = tensor([1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap((v) => [v, -v]), { shape: [1, 3, 1, 1, 3, 1, 1, 2, 1], device }); // prettier-ignore
    const y = x.repeat([2, 2, 1, 2, 2, 1, 1, 2, 1]);
    expect(y.shape).toEqual([2, 6, 1, 2, 6, 1, 1, 4, 1]);
    for (const [i, j] of [[0, 0], [1, 0], [1, 1]] as const) // prettier-ignore
      expect(y.slice(i, [3, 6], 0, j, [0, 3], 0, 0, [2, 4], 0).toArray()).toEqual(x.slice(0, null, 0, 0, null, 0, 0, null, 0).toArray()); // prettier-ignore
  });

  test("gradients agree with finite differences", () => {
    const inputs = [{ shape: [3, 4], values: new Random(6).uniform(12) }];
    checkGradients((a) => ops.tril(a.mul(a), 1), inputs, { device });
    checkGradients((a) => ops.roll(a.mul(a).transpose(), [1, 2], [0, 1]), inputs, { device });
    checkGradients((a) => ops.repeat(a.mul(a), [2, 1, 3]), inputs, { device });
  });

  test("lists that the caller writes into later do not change the gradient", () => {
    const x = counting(3);
    const [shifts, axes] = [[1], [0]];
    const y = ops.roll(x, shifts, axes);
    [shifts[0], axes[0]] = [2, 5];
    y.backward(tensor([1, 2, 3], { device }));
    expect(x.grad!.toArray()).toEqual([2, 3, 1]);
  });

  test("what does not fit is refused, with the shape", () => {
    const x = counting(2, 3);
    const wrong: [run: () => unknown, message: RegExp][] = [
      [() => ops.tril(counting(3)), /^tril: takes at least two axes; given \(3,\)/],
      [() => ops.triu(x, 0.5), /^triu: the diagonal must be an integer, not 0.5; given \(2, 3\)/],
      [() => ops.roll(x, [1, 2], 0), /^roll: takes a shift for each of 1 axes, not 2; given \(2, 3\)/],
      [() => ops.roll(x, 1, [0, 1]), /^roll: takes a shift for each of 2 axes, not 1/],
      [() => ops.roll(x, [1, 2]), /^roll: takes a shift for each of 1 axes, not 2/],
      [() => ops.roll(x, 0.5), /^roll: a shift must be an integer, not 0.5/],
      // @ts-expect-error: no shifts
      [() => ops.roll(x, "1"), /^roll: takes a shift for each of 1 axes, not "1"/],
      [() => ops.roll(x, 1, 2), /^roll: axis 2 .*\(2, 3\)/],
      [() => ops.roll(x, [1, 1], [0, -2]), /^roll: .*name an axis twice/],
      [() => ops.repeat(x, [2]), /^repeat: takes a count for each of 2 axes, not 1; given \(2, 3\)/],
      [() => ops.repeat(x, [2, -1]), /^repeat: .*non-negative integers, not -1/],
      [() => ops.repeat(x, [2 ** 20, 2 ** 10]), /^repeat: .*2\^31 - 1 elements.*given \(2, 3\)/],
      // @ts-expect-error: counts are a list
      [() => ops.repeat(x, 2, 2), /^repeat: .*a list of integers, not 2/],
    ];
    for (const [run, message] of wrong) {
      const error = thrown(run);
      expect(error).toBeInstanceOf(ShapeError);
      expect(String((error as Error).message)).toMatch(message);
    }
  });

  test("nothing is left behind", () => {
    const x = new Tensor(NDArray.ones([8, 16], { device }), { requiresGrad: true });
    const run = () => {
      for (const y of [x.tril(), x.triu(1), x.roll(3), x.roll([1, 2], [0, 1]), x.repeat([2, 2]), x.chunk(3)[1]!, x.diagonal(2)]) {
        using seed = NDArray.ones(y.shape, { device });
        y.backward(seed);
        y.dispose();
      } // prettier-ignore
      x.data.repeat([2, 2]).dispose();
      x.grad = null;
    };
    run();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) run();
    expect(liveBytes(device)).toBeLessThanOrEqual(before);
  });
});
