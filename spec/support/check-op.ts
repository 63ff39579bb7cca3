/**
 * One check for every operation: its outputs and gradients against the recorded ones, for every arrangement of its
 * inputs in memory, and with gradients wanted for all inputs or for one of them alone.
 */
import { expect, test } from "bun:test";
import { NDArray, ops, Tensor } from "thimble";

import { arrange, type Arrangement, arrangements, compact } from "./arrangements.ts";
import { close, type Tolerance } from "./close.ts";
import { onEachDevice } from "./devices.ts";
import { load, numbers, type OpCase, type Recorded } from "./fixtures.ts";

type Device = NDArray["device"];

/** An operation on a case's options and inputs. Those that take fewer inputs leave the rest out. */
export type Operation<Options> = (
  options: Options,
  a: Tensor,
  b: Tensor,
  ...rest: Tensor[]
) => Tensor | readonly Tensor[];

/** Tests every case that `family` recorded, each with the operation of its name. */
export function checkFamily<Options>(
  family: string,
  operations: Record<string, Operation<Options>>,
  tolerance: Tolerance = {},
): void {
  const cases = load<OpCase<Options>[]>(family);
  test(`${family}: every recorded operation is tested, and every operation recorded`, () => {
    expect(new Set(Object.keys(operations))).toEqual(new Set(cases.map(({ op }) => op)));
  });
  onEachDevice(family, (device) => {
    for (const [op, operation] of Object.entries(operations)) {
      cases
        .filter((recorded) => recorded.op === op)
        .forEach((recorded, at) => {
          const shapes = recorded.inputs.map(({ shape }) => `(${shape.join(", ")})`).join(" ");
          test(`${op} ${at}: ${shapes} ${JSON.stringify(recorded.options)}`, () => {
            for (const arrangement of arrangements) checkCase(recorded, operation, { arrangement, device, tolerance });
            if (recorded.inputs.length > 1 && recorded.gradients !== undefined) {
              recorded.inputs.forEach((_, only) =>
                checkCase(recorded, operation, { arrangement: compact, device, tolerance, only }),
              );
            }
          });
        });
    }
  });
}

interface Conditions {
  arrangement: Arrangement;
  device: Device;
  tolerance: Tolerance;
  /** The one input that requires a gradient; all by default. */
  only?: number;
}

function checkCase<Options>(recorded: OpCase<Options>, operation: Operation<Options>, conditions: Conditions): void {
  const { arrangement, device, tolerance, only } = conditions;
  const where = `${recorded.op}, inputs ${arrangement.name}`;
  const needsGrad = (at: number) => (recorded.gradients?.[at] ?? null) !== null && (only ?? at) === at;
  const inputs = recorded.inputs.map((input, at) => arrange(input, arrangement, device, needsGrad(at)));
  const [a, b, ...rest] = inputs.map(({ view }) => view) as [Tensor, Tensor, ...Tensor[]];
  const result = operation(recorded.options, a, b, ...rest);
  const outputs = result instanceof Tensor ? [result] : result;
  expect(outputs.length).toBe(recorded.outputs.length);
  outputs.forEach((output, at) =>
    close(output, recorded.outputs[at]!, { ...tolerance, what: `${where}: output ${at}` }),
  );
  if (recorded.seeds === undefined || !inputs.some((_, at) => needsGrad(at))) return;

  backward(outputs, recorded.seeds, arrangement, device);
  inputs.forEach(({ leaf }, at) => {
    if (!needsGrad(at)) return expect(leaf.grad).toBeNull();
    if (leaf.grad === null) throw new Error(`${where}: input ${at} has no gradient`);
    const gradient = arrangement.view(leaf.grad.data);
    close(gradient, recorded.gradients![at]!, { ...tolerance, what: `${where}: gradient of input ${at}` });
    const beside = Array.from(leaf.grad.toTypedArray()).filter((value) => value !== 0).length;
    const inside = Array.from(gradient.toTypedArray()).filter((value) => value !== 0).length;
    if (beside !== inside) throw new Error(`${where}: input ${at} has gradients beside the view that was used`);
  });
}

function backward(
  outputs: readonly Tensor[],
  seeds: readonly Recorded[],
  arrangement: Arrangement,
  device: Device,
): void {
  const arranged = seeds.map((seed) => arrange(seed, arrangement, device, false).view);
  if (outputs.length === 1) outputs[0]!.backward(arranged[0]!);
  else {
    const terms = outputs.map((output, at) => ops.sum(ops.mul(output, arranged[at]!)));
    terms.reduce((sum, term) => ops.add(sum, term)).backward();
  }
}

/** A tensor of recorded values. */
export function recordedTensor(record: Recorded, device: Device, requiresGrad = false): Tensor {
  const data = NDArray.from(numbers(record), { shape: record.shape, dtype: record.dtype ?? "float32", device });
  return new Tensor(data, { requiresGrad });
}
