/** What the type checker must know: `bun check` fails where these do not hold. */
import { expectTypeOf, test } from "bun:test";
import type { init, NDArray, Tensor } from "thimble";
import { cpu, data, nn, noGrad, ops, optim, tensor, tidy } from "thimble";
import { generate, type LanguageModel, type LanguageModelOptions } from "thimble/models";
import type { HiddenState, SequenceModel } from "thimble/training";

test("results have the types that the documentation says", () => {
  expectTypeOf(ops.split).returns.toEqualTypeOf<Tensor[]>();
  expectTypeOf(ops.conv).returns.toEqualTypeOf<Tensor>();
  expectTypeOf(tensor([1]).grad).toEqualTypeOf<Tensor | null>();
  expectTypeOf(tensor([1]).data).toEqualTypeOf<NDArray>();
  expectTypeOf(tensor([1]).item()).toEqualTypeOf<number>();
  expectTypeOf(tensor([1]).dtype).toEqualTypeOf<"float32" | "int32">();
  expectTypeOf(optim.clipGradNorm).returns.toEqualTypeOf<number>();
  expectTypeOf(new nn.Linear(1, 1).forward).returns.toEqualTypeOf<Tensor>();
  expectTypeOf(new nn.Linear(1, 1).parameters()).toEqualTypeOf<nn.Parameter[]>();
  expectTypeOf<nn.Parameter>().toExtend<Tensor>();
  expectTypeOf(cpu().memory().peak).toEqualTypeOf<number>();
});

test("scopes pass the type of their result on", () => {
  expectTypeOf(tidy(() => ({ a: tensor([1]), n: 1 }))).toEqualTypeOf<{ a: Tensor; n: number }>();
  expectTypeOf(noGrad(() => [tensor([1])] as const)).toEqualTypeOf<readonly [Tensor]>();
});

test("operands are what they may be, and nothing else", () => {
  expectTypeOf<Parameters<typeof ops.add>>().toEqualTypeOf<[a: Tensor | number, b: Tensor | number]>();
  expectTypeOf<Parameters<typeof ops.matmul>>().toEqualTypeOf<[a: Tensor, b: Tensor]>();
  expectTypeOf<string>().not.toExtend<Parameters<typeof ops.add>[0]>();
  expectTypeOf<{ stride: string }>().not.toExtend<NonNullable<Parameters<typeof ops.conv>[2]>>();
  expectTypeOf<"float64">().not.toExtend<NonNullable<NonNullable<Parameters<typeof NDArray.zeros>[1]>["dtype"]>>();
  expectTypeOf<"swish">().not.toExtend<
    NonNullable<NonNullable<Parameters<typeof init.kaimingNormal>[2]>["nonlinearity"]>
  >();
  expectTypeOf<{ momentum: number }>().not.toExtend<optim.SGDOptions>(); // a learning rate is needed
  expectTypeOf<[number, number, number, number]>().not.toExtend<Parameters<NDArray["slice"]>[number]>();
});

test("an NDArrayDataset is a dataset", () => {
  expectTypeOf(data.NDArrayDataset.prototype).toHaveProperty("length");
  expectTypeOf(data.NDArrayDataset.prototype).toHaveProperty("get");
});

test("a language model gives logits and a state, and is what its training loops take", () => {
  expectTypeOf<LanguageModel["forward"]>().returns.toEqualTypeOf<[logits: Tensor, h: HiddenState]>();
  expectTypeOf<LanguageModel>().toExtend<SequenceModel>();
  expectTypeOf<NonNullable<LanguageModelOptions["seqModel"]>>().toEqualTypeOf<"rnn" | "lstm" | "gru">();
  expectTypeOf(generate).returns.toEqualTypeOf<Generator<number, never>>();
});
