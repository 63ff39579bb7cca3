/** Modules with parameters against PyTorch's: results, every gradient, running statistics, and evaluation mode. */
import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { nn } from "thimble";

import { recordedTensor } from "../support/check-op.ts";
import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { load, type Recorded } from "../support/fixtures.ts";

type Named = Record<string, Recorded>;

interface Call {
  mode: "train" | "eval";
  input: Recorded;
  output: Recorded;
  seed: Recorded;
  inputGradient: Recorded;
  gradients: Named;
  buffers: Named;
}

interface Options {
  bias?: boolean;
  stride?: number;
  padding?: number;
  outputPadding?: number;
  eps?: number;
  momentum?: number;
  affine?: boolean;
}

interface ModuleCase {
  op:
    | "Linear"
    | "Conv"
    | "ConvTranspose"
    | "MaxPool2d"
    | "AvgPool2d"
    | "GlobalAvgPool2d"
    | "Upsample"
    | "BatchNorm1d"
    | "BatchNorm2d"
    | "LayerNorm"
    | "RMSNorm"
    | "GroupNorm";
  arguments: [number, number, number];
  options: Options;
  parameters: Named;
  calls: Call[];
}

onEachDevice("modules", (device) => {
  const build = ({ op, arguments: [a, b, c], options }: ModuleCase): nn.Layer => {
    const all = { ...options, device };
    if (op === "GroupNorm") return new nn.GroupNorm(a, b, all);
    if (op === "Linear") return new nn.Linear(a, b, all);
    if (op === "Conv" || op === "ConvTranspose") return new nn[op](a, b, c, all);
    if (op === "GlobalAvgPool2d") return new nn.GlobalAvgPool2d(all);
    return new nn[op](a, all);
  };

  load<ModuleCase[]>("modules").forEach((recorded) => {
    const { op, options, parameters, calls } = recorded;
    const shape = calls[0]!.input.shape.join(", ");
    test(`${op}(${recorded.arguments.join(", ")}, ${JSON.stringify(options)}) of (${shape})`, () => {
      const module = build(recorded);
      expect(Object.keys(module.namedParameters())).toEqual(Object.keys(parameters));
      expect(Object.keys(module.stateDict())).toEqual([...Object.keys(parameters), ...Object.keys(calls[0]!.buffers)]);
      for (const [name, parameter] of Object.entries(module.namedParameters())) {
        expect(parameter.shape).toEqual(parameters[name]!.shape);
        parameter.set(recordedTensor(parameters[name]!, device));
      }
      calls.forEach((call, at) => {
        const what = `call ${at} in ${call.mode} mode`;
        if (call.mode === "eval") module.eval();
        for (const parameter of module.parameters()) parameter.grad = null;
        const x = recordedTensor(call.input, device, true);
        const y = module.forward(x);
        close(y, call.output, { what: `${what}: output` });
        y.backward(recordedTensor(call.seed, device));
        // BatchNorm's gradient with respect to x is a difference of nearly equal terms.
        close(gradient(x), call.inputGradient, { what: `${what}: gradient of x`, atol: 2e-5 });
        for (const [name, parameter] of Object.entries(module.namedParameters())) {
          close(gradient(parameter), call.gradients[name]!, { what: `${what}: gradient of ${name}`, atol: 4e-6 });
        }
        for (const [name, buffer] of Object.entries(call.buffers)) {
          close(module.stateDict()[name]!, buffer, { what: `${what}: ${name}` });
        }
      });
    });
  });
});

function gradient(of: Tensor): Tensor {
  if (of.grad === null) throw new Error("there is no gradient");
  return of.grad;
}
