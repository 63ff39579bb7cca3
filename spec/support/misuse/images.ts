/** Pooling, transposed convolution and up-sampling. */
import { nn, ops } from "thimble";

import { add, notTensors, show, t, wrong } from "./table.ts";

const image = () => t(1, 5, 5, 2);
const integers = () => image().to({ dtype: "int32" });
const notSizes = [0, -1, 0.5, NaN, Infinity, 2 ** 31, "1", null, {}];

// ---------------------------------------------------------------------------------------------------------- pooling
for (const [name, Module] of [
  ["maxPool", nn.MaxPool2d],
  ["avgPool", nn.AvgPool2d],
] as const) {
  const op = ops[name];
  const says = (what: string) => new RegExp(`^${name}.*${what}`);
  const built = (what: string) => new RegExp(`^${Module.name}.*${what}`);
  add(`${name} of three axes`, () => op(t(5, 5, 2), 2), says("\\(5, 5, 2\\)"));
  add(`${name} of int32`, () => op(integers(), 2), says("float32.*int32"));
  add(`${name} with a window larger than the image`, () => op(image(), 6), says("6 × 6.*\\(1, 5, 5, 2\\)"));
  add(`${name} of images without pixels`, () => op(t(1, 0, 5, 2), 2, { padding: 1 }), says("pixels.*\\(1, 0, 5, 2\\)"));
  add(`${name} with padding beyond half of the window`, () => op(image(), 3, { padding: 2 }), says("half.*3"));
  add(`${name} of much padding`, () => op(image(), 2 ** 31 - 1, { padding: 2 ** 30 - 1 }), says("\\(1, 5, 5, 2\\)"));
  for (const value of notSizes) {
    add(`${name} of kernel size ${show(value)}`, () => op(image(), wrong(value)), says("kernel size"));
    add(`${name} with stride ${show(value)}`, () => op(image(), 2, { stride: wrong(value) }), says("stride"));
    add(`${Module.name} of kernel size ${show(value)}`, () => new Module(wrong(value)), built("kernel size"));
    add(`${Module.name} with stride ${show(value)}`, () => new Module(2, { stride: wrong(value) }), built("stride"));
    if (value === 0) continue;
    add(`${name} with padding ${show(value)}`, () => op(image(), 2, { padding: wrong(value) }), says("padding"));
    add(`${Module.name} with padding ${show(value)}`, () => new Module(2, { padding: wrong(value) }), built("padding"));
  }
  for (const operand of notTensors) add(`${name} of ${show(operand)}`, () => op(wrong(operand), 2), says(""));
  add(`${Module.name} with padding beyond half of the window`, () => new Module(2, { padding: 2 }), built("half"));
  add(`${Module.name} of three axes`, () => new Module(2).forward(t(2, 4, 4)), built("\\(2, 4, 4\\)"));
}
const pool = new nn.GlobalAvgPool2d();
add("GlobalAvgPool2d of three axes", () => pool.forward(t(2, 4, 4)), /^GlobalAvgPool2d.*\(2, 4, 4\)/);
add("GlobalAvgPool2d of no pixels", () => pool.forward(t(2, 3, 0, 4)), /^GlobalAvgPool2d.*\(2, 3, 0, 4\)/);
add("GlobalAvgPool2d of int32", () => pool.forward(integers()), /^GlobalAvgPool2d.*int32/);

// ----------------------------------------------------------------------------------------- transposed convolution
const { convTranspose } = ops;
const kernel = () => t(3, 3, 4, 2);
const both = /^convTranspose.*\(1, 5, 5, 2\).*\(3, 3, 2, 4\)/;
add("convTranspose with the weight of a convolution", () => convTranspose(image(), t(3, 3, 2, 4)), both);
add("convTranspose of three axes", () => convTranspose(t(5, 5, 2), kernel()), /^convTranspose.*\(5, 5, 2\)/);
add(
  "convTranspose with a kernel of three axes",
  () => convTranspose(image(), t(3, 3, 2)),
  /^convTranspose.*\(3, 3, 2\)/,
);
add(
  "convTranspose with an empty kernel",
  () => convTranspose(image(), t(0, 3, 4, 2)),
  /^convTranspose.*\(0, 3, 4, 2\)/,
);
add("convTranspose of no pixels", () => convTranspose(t(1, 5, 0, 2), kernel()), /^convTranspose.*\(1, 5, 0, 2\)/);
add("convTranspose of int32", () => convTranspose(integers(), kernel()), /^convTranspose.*int32/);
add("convTranspose with int32", () => convTranspose(image(), kernel().to({ dtype: "int32" })), /^convTranspose.*int32/);
add(
  "convTranspose of which nothing is left",
  () => convTranspose(image(), kernel(), { padding: 4 }),
  /padding 4.*result/,
);
add(
  "convTranspose with another bias",
  () => convTranspose(image(), kernel(), { bias: t(2) }),
  /^convTranspose.*bias.*\(4\)/,
);
for (const stride of [2 ** 20, 2 ** 29, 2 ** 31 - 1]) {
  add(`convTranspose with stride ${stride}`, () => convTranspose(image(), kernel(), { stride }), /^convTranspose/);
  const padding = 2 * stride;
  if (padding < 2 ** 31)
    add(
      `convTranspose with stride ${stride} and padding`,
      () => convTranspose(image(), kernel(), { stride, padding: padding - 2 ** 18 }),
      /^convTranspose/,
    );
}
for (const value of notSizes) {
  const text = show(value);
  const refused = (what: string) => new RegExp(`^convTranspose.*${what}`);
  add(`convTranspose with stride ${text}`, () => convTranspose(image(), kernel(), { stride: wrong(value) }), refused("stride")); // prettier-ignore
  add(`ConvTranspose of kernel size ${text}`, () => new nn.ConvTranspose(2, 3, wrong(value)), /^ConvTranspose.*kernelSize/); // prettier-ignore
  add(
    `ConvTranspose of channels ${text}`,
    () => new nn.ConvTranspose(wrong(value), 3, 3),
    /^ConvTranspose.*inChannels/,
  );
  add(
    `ConvTranspose to channels ${text}`,
    () => new nn.ConvTranspose(3, wrong(value), 3),
    /^ConvTranspose.*outChannels/,
  );
  add(`ConvTranspose with stride ${text}`, () => new nn.ConvTranspose(2, 3, 3, { stride: wrong(value) }), /^ConvTranspose.*stride/); // prettier-ignore
  if (value === 0) continue;
  add(`convTranspose with padding ${text}`, () => convTranspose(image(), kernel(), { padding: wrong(value) }), refused("padding")); // prettier-ignore
  add(`convTranspose with output padding ${text}`, () => convTranspose(image(), kernel(), { outputPadding: wrong(value) }), refused("output padding")); // prettier-ignore
  add(`ConvTranspose with padding ${text}`, () => new nn.ConvTranspose(2, 3, 3, { padding: wrong(value) }), /^ConvTranspose.*padding/); // prettier-ignore
}
for (const outputPadding of [1, 2]) {
  add(`convTranspose with output padding ${outputPadding} of stride 1`, () => convTranspose(image(), kernel(), { outputPadding }), /^convTranspose.*output padding.*stride 1/); // prettier-ignore
  add(`ConvTranspose with output padding ${outputPadding} of stride 1`, () => new nn.ConvTranspose(2, 3, 3, { outputPadding }), /^ConvTranspose.*output padding.*stride 1/); // prettier-ignore
}
for (const operand of notTensors) {
  add(`convTranspose of ${show(operand)}`, () => convTranspose(wrong(operand), kernel()), /^convTranspose/);
  add(`convTranspose with ${show(operand)} as kernel`, () => convTranspose(image(), wrong(operand)), /^convTranspose/);
}
add("ConvTranspose of other channels", () => new nn.ConvTranspose(3, 4, 3).forward(t(1, 2, 5, 5)), /^ConvTranspose.*N, 3, H, W/); // prettier-ignore

// ---------------------------------------------------------------------------------------------------- up-sampling
add("upsample of three axes", () => ops.upsample(t(5, 5, 2), 2), /^upsample.*\(5, 5, 2\)/);
add("upsample of int32", () => ops.upsample(integers(), 2), /^upsample.*int32/);
add("upsample beyond what an array holds", () => ops.upsample(image(), 2 ** 15), /^upsample/);
add("Upsample of three axes", () => new nn.Upsample(2).forward(t(2, 4, 4)), /^Upsample.*\(2, 4, 4\)/);
for (const value of notSizes) {
  add(`upsample by ${show(value)}`, () => ops.upsample(image(), wrong(value)), /^upsample.*scale/);
  add(`Upsample by ${show(value)}`, () => new nn.Upsample(wrong(value)), /^Upsample.*scale/);
}
for (const operand of notTensors)
  add(`upsample of ${show(operand)}`, () => ops.upsample(wrong(operand), 2), /^upsample/);
