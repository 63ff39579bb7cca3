import { expect, test } from "bun:test";
import { ArgumentError, DeviceError, DTypeError, NDArray, ops, ShapeError, Tensor, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { devices, onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { indices, Oracle, product } from "../support/oracle.ts";
import { Random } from "../support/random.ts";
import { thrown } from "../support/thrown.ts";

checkFamily<{ equation: string }>("einsum", {
  einsum: ({ equation }, ...list) => ops.einsum(equation, ...list.filter((item) => item !== undefined)),
});

/** The sum over all values of all labels, by its definition. */
function byDefinition(inputs: readonly string[], output: string, operands: readonly Oracle[]): Oracle {
  const sizes = new Map(
    operands.flatMap(({ shape }, i) => shape.map((size, axis) => [inputs[i]![axis]!, size] as const)),
  );
  const summed = [...sizes.keys()].filter((label) => !output.includes(label));
  const sizeOf = (label: string) => sizes.get(label)!;
  return Oracle.make([...output].map(sizeOf), (index) => {
    let sum = 0;
    for (const inner of indices(summed.map(sizeOf))) {
      const at = new Map([...output, ...summed].map((label, i) => [label, [...index, ...inner][i]!]));
      sum += product(operands.map((operand, i) => operand.at([...inputs[i]!].map((label) => at.get(label)!))));
    }
    return sum;
  });
}

onEachDevice("einsum", (device) => {
  const counting = (...shape: number[]): Tensor =>
    tensor(
      Float32Array.from({ length: product(shape) }, (_, at) => at),
      { shape, device, requiresGrad: true },
    );

  test("equations drawn at random are their definition", () => {
    const random = new Random(5);
    for (let draw = 0; draw < 60; draw++) {
      const alphabet = "abcde".slice(0, random.integer(1, 5));
      const sizes = new Map([...alphabet].map((label) => [label, random.integer(1, 3)]));
      const inputs = Array.from({ length: random.integer(1, 3) }, () =>
        Array.from({ length: random.integer(0, 4) }, () => random.pick([...alphabet])).join(""),
      );
      const present = [...new Set(inputs.join(""))];
      const output = random.shuffle(present).slice(0, random.integer(0, present.length)).join("");
      const operands = inputs.map((labels) =>
        Oracle.make([...labels].map((label) => sizes.get(label)!), () => random.integer(-8, 8) / 4),
      ); // prettier-ignore
      const expected = byDefinition(inputs, output, operands);
      const equation = `${inputs.join()}->${output}`;
      const found = ops.einsum(equation, ...operands.map((o) => tensor(o.read(), { shape: o.shape, device })));
      close(found, { shape: expected.shape, values: expected.read() }, { what: equation });
    }
  });

  test("gradients agree with finite differences", () => {
    const random = new Random(6);
    for (const [equation, ...shapes] of [
      ["bqhd,bkhd->bhqk", [2, 3, 2, 2], [2, 2, 2, 2]],
      ["iij,jk,k->i", [3, 3, 2], [2, 4], [4]],
      ["...ij,...j", [2, 3, 2], [1, 2]],
      ["ij,ij->i", [3, 4], [3, 4]],
    ] as const) {
      const inputs = shapes.map((shape) => ({ shape, values: random.uniform(product(shape)) }));
      checkGradients((...list) => ops.einsum(equation, ...list), inputs, { device });
    }
  });

  test("one operand twice collects both gradients", () => {
    const x = counting(3);
    ops.einsum("i,i->", x, x).backward();
    expect(x.grad!.toArray()).toEqual([0, 2, 4]);
  });

  test("what only moves axes is a view, and a handle of its own", () => {
    const x = counting(2, 3);
    for (const equation of ["ij", "ij->ji", "...->..."]) {
      const y = ops.einsum(equation, x);
      expect([y.data.storage === x.data.storage, y === x]).toEqual([true, false]);
      y.dispose();
    }
    expect(x.toArray()).toEqual([[0, 1, 2], [3, 4, 5]]); // prettier-ignore
  });

  test("NaN and infinities stay where they are", () => {
    const x = tensor([[1, NaN], [Infinity, 2]], { device }); // prettier-ignore
    expect(ops.einsum("ii->i", x).toArray()).toEqual([1, 2]);
    expect(ops.einsum("ij,j->i", x, tensor([1, 1], { device })).toArray()).toEqual([NaN, Infinity]);
  });

  test("int32 is exact, and wraps", () => {
    const x = tensor([[2 ** 24 + 1, 2 ** 31 - 1]], { dtype: "int32", device });
    const y = ops.einsum("ij,jk->ik", x, tensor([[1, 0], [0, 2]], { dtype: "int32", device })); // prettier-ignore
    expect([y.dtype, y.toArray()]).toEqual(["int32", [[2 ** 24 + 1, -2]]]);
  });

  test("what does not fit is refused: the equation, the operand and the shapes are named", () => {
    const [x, y] = [counting(2, 3), counting(4, 5)];
    const whole = tensor([[1, 2, 3]], { dtype: "int32", device });
    const wrong: [run: () => unknown, type: new (...args: never[]) => Error, message: string][] = [
      [() => ops.einsum("ij,jk->ik", x, y), ShapeError, "einsum: 'ij,jk->ik': 'j' is 4 in operands[1], and 3 before; given (2, 3) and (4, 5)"], // prettier-ignore
      [() => ops.einsum("ii->i", x), ShapeError, "einsum: 'ii->i': 'i' is 3 in operands[0], and 2 before in it; given (2, 3)"], // prettier-ignore
      [() => ops.einsum("ii->i", counting(1, 3)), ShapeError, "'i' is 3 in operands[0], and 1 before in it"],
      [() => ops.einsum("...,...", x, y), ShapeError, "axis -2 of '...' is 4 in operands[1], and 2 before"],
      [() => ops.einsum("ij,jkl->ik", x, y), ShapeError, "operands[1] has 2 axes, and 'jkl' has 3"],
      [() => ops.einsum("i", x), ShapeError, "operands[0] has 2 axes, and 'i' has 1; given (2, 3)"],
      [() => ops.einsum("...ijk", x), ShapeError, "operands[0] has 2 axes, and '...ijk' has at least 3"],
      [() => ops.einsum("ij,jk->ik", x), ArgumentError, "'ij,jk->ik': it has 2 operands, and 1 are given; given (2, 3)"], // prettier-ignore
      [() => ops.einsum("ij->ik", x), ArgumentError, "no operand has the result's 'k'"],
      [() => ops.einsum("ij->ii", x), ArgumentError, "the result has 'i' twice"],
      [() => ops.einsum("i1->i", x), ArgumentError, "'i1' must be letters and at most one '...'; given (2, 3)"],
      [() => ops.einsum("...i...->i", x), ArgumentError, "'...i...' must be letters"],
      [() => ops.einsum("i..->i", x), ArgumentError, "'i..' must be letters"],
      [() => ops.einsum("ij->i->j", x), ArgumentError, "einsum: 'ij->i->j': there is more than one '->'"],
      [() => ops.einsum("ij->i,j", x), ArgumentError, "'i,j' must be letters"],
      [() => ops.einsum(""), ArgumentError, "it has 1 operands, and 0 are given"],
      [() => ops.einsum("ij,ij->i", x, whole), DTypeError, "operands[0] is float32, and operands[1] is int32"],
      // @ts-expect-error: a list of operands
      [() => ops.einsum("ij", [x]), ArgumentError, "einsum: operands[0] must be a Tensor, not Array"],
      // @ts-expect-error: the equation left out
      [() => ops.einsum(x, x), ArgumentError, "einsum: the equation must be a string, not Tensor"],
      [() => ops.einsum("abcdefgh,ijklmnopq->abcdefghijklmnopq", counting(1, 1, 1, 1, 1, 1, 1, 1), counting(1, 1, 1, 1, 1, 1, 1, 1, 1)), ShapeError, "at most 16 axes"], // prettier-ignore
    ];
    for (const [run, type, message] of wrong) {
      const error = thrown(run);
      expect(error).toBeInstanceOf(type);
      expect(String((error as Error).message)).toContain(message);
    }
    for (const other of devices.filter((each) => each !== device))
      expect(() => ops.einsum("i,i", counting(2), tensor([1, 2], { device: other }))).toThrow(DeviceError);
  });

  test("nothing is left behind", () => {
    const x = new Tensor(NDArray.ones([8, 8, 16], { device }), { requiresGrad: true });
    const run = () => {
      const y = ops.einsum("iij,kkl,ml->mj", x, x, x.slice(0));
      using seed = NDArray.ones(y.shape, { device });
      y.backward(seed);
      y.dispose();
      x.grad = null;
      expect(() => ops.einsum("ijk,jkl->i", x, x)).toThrow(ShapeError);
    };
    run();
    const before = liveBytes(device);
    for (let i = 0; i < 5; i++) run();
    expect(liveBytes(device)).toBeLessThanOrEqual(before);
  });
});
