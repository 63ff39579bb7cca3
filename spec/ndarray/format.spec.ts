/** What console.log shows of arrays and tensors. */
import { describe, expect, test } from "bun:test";

import { cpu, NDArray, tensor } from "thimble";

describe("arrays as text", () => {
  test("columns are aligned, axes nest", () => {
    expect(
      Bun.inspect(
        tensor(
          [
            [1, 2.5],
            [-3, 10],
          ],
          { requiresGrad: true },
        ),
      ),
    ).toBe("Tensor([[ 1.0000,  2.5000],\n        [-3.0000, 10.0000]], shape (2, 2), float32, cpu, requiresGrad)");
    expect(String(NDArray.from([[[1], [2]]], { dtype: "int32" }))).toBe(
      "NDArray([[[1],\n          [2]]], shape (1, 2, 1), int32, cpu)",
    );
  });

  test("scalars, empty arrays, what is not finite, tiny numbers", () => {
    expect(String(tensor(3))).toBe("Tensor(3., shape (), float32, cpu)");
    expect(String(NDArray.zeros([0, 3]))).toBe("NDArray([], shape (0, 3), float32, cpu)");
    expect(String(NDArray.from([1, NaN, -Infinity]))).toContain("[       1.,       NaN, -Infinity]");
    expect(String(NDArray.from([1e-6, 2]))).toContain("[0.0000, 2.0000]");
    expect(String(NDArray.from([1e-6, 2e-3]))).toContain("1.0000e-6, 2.0000e-3");
  });

  test("views show their logical order", () => {
    expect(String(NDArray.from([1, 2, 3]).flip())).toContain("[3., 2., 1.]");
  });

  test("long arrays show their edges", () => {
    const text = String(NDArray.from(Int32Array.from({ length: 2000 }, (_, i) => i)));
    expect(text).toBe("NDArray([   0,    1,    2, …, 1997, 1998, 1999], shape (2000,), int32, cpu)");
  });

  test("a disposed array says so instead of throwing", () => {
    const array = NDArray.ones([2]);
    array.dispose();
    expect(String(array)).toBe("NDArray(disposed)");
  });

  test("a device shows its name", () => {
    expect(Bun.inspect(cpu())).toBe("Device(cpu)");
  });
});

test("many axes are written too, and JSON has the elements", () => {
  expect(String(NDArray.ones([7, 7, 7, 7, 7, 7, 7]))).toContain("1., 1., 1., …, 1., 1., 1.");
  expect(JSON.stringify({ loss: tensor(0.5), grid: NDArray.ones([2, 1]) })).toBe('{"loss":0.5,"grid":[[1],[1]]}');
});
