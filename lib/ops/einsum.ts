/**
 * Sums of products by Einstein's convention. Operands are taken from left to right; each step multiplies what there is
 * with the next one, as a batched matrix product over the axes that no later one needs.
 */
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, DTypeError, ShapeError } from "../native/errors.ts";
import { sameShape, sizeOf } from "../ndarray/layout.ts";
import { describe, sameDevice } from "../ndarray/operands.ts";
import { tidy } from "../ndarray/scope.ts";
import { mul } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { sum } from "./reduce.ts";
import { diagonal, permute, reshape, squeeze } from "./shape.ts";
import { checkTensor } from "./support.ts";

/** A tensor and the label of each of its axes: a letter, or "...2" for the last but one of those of an ellipsis. */
interface Labelled {
  tensor: Tensor;
  labels: readonly string[];
}

/**
 * The sum of products that an equation names, as torch.einsum: `einsum("bij,bjk->bik", a, b)` is a batch of matrix
 * products. Each operand has a letter for each axis; a letter that the result lacks is summed over, one that an operand
 * has twice is its diagonal, and "..." stands for any axes, which broadcast. Axes of size 1 stretch. Without "->" the
 * result has the axes of "...", then the letters that occur once, in alphabetical order (capitals first).
 *
 * Operands are multiplied from left to right: the order decides how much there is to compute.
 * @throws ArgumentError for an equation that is none; ShapeError for operands that do not fit it.
 */
export function einsum(equation: string, ...operands: readonly Tensor[]): Tensor {
  const { inputs, output } = parse(equation, operands);
  return tidy(() => {
    const sizes = sizesOf(equation, operands, inputs);
    const terms = operands.map((tensor, i) => distinct({ tensor, labels: inputs[i]! }, sizes));
    /** The labels that are needed when the first `n` terms are multiplied. */
    const after = (n: number) => new Set([...output, ...terms.slice(n).flatMap(({ labels }) => labels)]);
    let result = sumExcept(terms[0]!, after(1));
    for (let i = 1; i < terms.length; i++) {
      const later = after(i + 1);
      const next = sumExcept(terms[i]!, new Set([...result.labels, ...later]));
      result = multiply(result, next, later);
    }
    return permute(
      result.tensor,
      output.map((label) => result.labels.indexOf(label)),
    );
  });
}

/** Letters, with at most one ellipsis anywhere. */
const TERM = /^([a-zA-Z]*)(\.\.\.)?([a-zA-Z]*)$/;

/** The labels of each operand and of the result. */
function parse(equation: string, operands: readonly Tensor[]): { inputs: string[][]; output: string[] } {
  if (typeof equation !== "string")
    throw new ArgumentError("einsum", `the equation must be a string, not ${describe(equation)}`);
  operands.forEach((operand, i) => checkTensor("einsum", operand, `operands[${i}]`));
  const shapes = operands.map(({ shape }) => shape);
  const malformed = (problem: string, hint?: string): never => {
    throw new ArgumentError("einsum", `'${equation}': ${problem}`, { shapes, ...(hint === undefined ? {} : { hint }) });
  };
  const [left = "", right, ...rest] = equation.replaceAll(" ", "").split("->");
  const terms = left.split(",");
  const hint = "An equation is like 'bij,bjk->bik'";
  if (rest.length > 0) malformed("there is more than one '->'", hint);
  for (const term of right === undefined ? terms : [...terms, right])
    if (!TERM.test(term)) malformed(`'${term}' must be letters and at most one '...'`, hint);
  if (terms.length !== operands.length) malformed(`it has ${terms.length} operands, and ${operands.length} are given`);
  for (const [i, { data, dtype }] of operands.entries()) {
    sameDevice("einsum", operands[0]!.data, data);
    if (dtype === operands[0]!.dtype) continue;
    throw new DTypeError("einsum", `operands[0] is ${operands[0]!.dtype}, and operands[${i}] is ${dtype}`, {
      shapes,
      hint: "Convert one with to({ dtype })",
    });
  }

  let around = 0; // axes of the longest ellipsis
  const inputs = terms.map((term, i) => {
    const { length } = term.replace("...", "");
    const more = shapes[i]!.length - length;
    const hasEllipsis = term.includes("...");
    if (more < 0 || (more > 0 && !hasEllipsis)) {
      const named = `'${term}' has ${hasEllipsis ? `at least ${length}` : length}`;
      throw new ShapeError("einsum", `'${equation}': operands[${i}] has ${shapes[i]!.length} axes, and ${named}`, {
        shapes,
      });
    }
    around = Math.max(around, more);
    return labelsOf(term, more);
  });
  if (right === undefined) {
    const all = inputs.flat();
    const once = all.filter((label) => label.length === 1 && all.indexOf(label) === all.lastIndexOf(label)).sort();
    return { inputs, output: [...labelsOf("...", around), ...once] };
  }
  const output = labelsOf(right, around);
  output.forEach((label, i) => {
    if (output.indexOf(label) !== i) malformed(`the result has '${label}' twice`);
    if (!inputs.some((labels) => labels.includes(label))) malformed(`no operand has the result's '${label}'`);
  });
  return { inputs, output };
}

/** The labels of a term whose ellipsis, if it has one, stands for `count` axes: these are counted from the last. */
function labelsOf(term: string, count: number): string[] {
  const [, before = "", ellipsis, after = ""] = TERM.exec(term)!;
  const inside = ellipsis === undefined ? [] : Array.from({ length: count }, (_, i) => `...${count - i}`);
  return [...before, ...inside, ...after];
}

/** The size of each label. */
function sizesOf(equation: string, operands: readonly Tensor[], inputs: readonly string[][]): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const [i, { shape }] of operands.entries()) {
    const labels = inputs[i]!;
    labels.forEach((label, axis) => {
      const known = sizes.get(label) ?? 1;
      const size = shape[axis]!;
      const first = shape[labels.indexOf(label)]!;
      if (size === first && (size === known || size === 1 || known === 1)) {
        if (known === 1) sizes.set(label, size);
        return;
      }
      const what = label.length === 1 ? `'${label}'` : `axis -${label.slice(3)} of '...'`;
      const before = size === first ? `${known} before` : `${first} before in it`;
      throw new ShapeError("einsum", `'${equation}': ${what} is ${size} in operands[${i}], and ${before}`, {
        shapes: operands.map((operand) => operand.shape),
      });
    });
  }
  return sizes;
}

/** Diagonals of labels that occur twice. Axes that must stretch are dropped: products broadcast without them. */
function distinct({ tensor, labels }: Labelled, sizes: Map<string, number>): Labelled {
  for (;;) {
    const second = labels.findIndex((label, i) => labels.indexOf(label) !== i);
    if (second < 0) break;
    const label = labels[second]!;
    const first = labels.indexOf(label);
    tensor = diagonal(tensor, 0, first, second);
    labels = [...labels.filter((_, i) => i !== first && i !== second), label];
  }
  const stretched = labels.flatMap((label, i) => (tensor.shape[i] === sizes.get(label) ? [] : [i]));
  if (stretched.length === 0) return { tensor, labels };
  return { tensor: squeeze(tensor, stretched), labels: labels.filter((_, i) => !stretched.includes(i)) };
}

/** The sum over all axes but those needed. */
function sumExcept({ tensor, labels }: Labelled, needed: ReadonlySet<string>): Labelled {
  const axes = labels.flatMap((label, i) => (needed.has(label) ? [] : [i]));
  if (axes.length === 0) return { tensor, labels };
  return { tensor: sum(tensor, axes), labels: labels.filter((label) => needed.has(label)) };
}

/** The product of two terms, summed over what both have and nobody needs later. */
function multiply(a: Labelled, b: Labelled, later: ReadonlySet<string>): Labelled {
  const shared = a.labels.filter((label) => b.labels.includes(label));
  const batch = shared.filter((label) => later.has(label));
  const inner = shared.filter((label) => !later.has(label));
  const rows = a.labels.filter((label) => !shared.includes(label));
  const columns = b.labels.filter((label) => !shared.includes(label));
  if (inner.length === 0 || (rows.length === 0 && columns.length === 0) || a.tensor.dtype === "int32") {
    const labels = [...a.labels, ...columns];
    const product = { tensor: mul(spread(a, labels), spread(b, labels)), labels };
    return sumExcept(product, new Set([...batch, ...rows, ...columns]));
  }
  const x = grouped(a, [...batch.map((label) => [label]), rows, inner]);
  const y = grouped(b, [...batch.map((label) => [label]), inner, columns]);
  const labels = [...batch, ...rows, ...columns];
  const sizeIn = (label: string) => (a.labels.includes(label) ? sizeOfLabel(a, label) : sizeOfLabel(b, label));
  return { tensor: reshaped(matmul(x, y), labels.map(sizeIn)), labels };
}

const sizeOfLabel = ({ tensor, labels }: Labelled, label: string): number => tensor.shape[labels.indexOf(label)]!;

/** The axes in the order of `labels`, with size 1 where the term has none of that name. */
function spread(term: Labelled, labels: readonly string[]): Tensor {
  return grouped(
    term,
    labels.map((label) => (term.labels.includes(label) ? [label] : [])),
  );
}

/** Each group of labels as one axis. */
function grouped(term: Labelled, groups: readonly (readonly string[])[]): Tensor {
  const order = groups.flat().map((label) => term.labels.indexOf(label));
  const tensor = order.every((axis, i) => axis === i) ? term.tensor : permute(term.tensor, order);
  return reshaped(
    tensor,
    groups.map((group) => sizeOf(group.map((label) => sizeOfLabel(term, label)))),
  );
}

const reshaped = (a: Tensor, shape: readonly number[]): Tensor => (sameShape(a.shape, shape) ? a : reshape(a, shape));
