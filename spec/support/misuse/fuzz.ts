/**
 * Random functions of the public API on random arguments, good and bad, printed as one line of counts at the end. What it
 * finds is a crash, memory that was written where it should not be, or an error that thimble did not throw itself.
 */
import { cpu, DisposedError, init, NDArray, nn, ops, optim, Tensor, tensor, ThimbleError, tidy } from "thimble";

import { Random } from "../random.ts";

const random = new Random(Number(process.argv[2] ?? 1));
const calls = Number(process.argv[3] ?? 20_000);

const sizes = (): number[] => Array.from({ length: random.integer(0, 5) }, () => random.pick([0, 1, 2, 2, 3, 4, 5]));
const int = (): number =>
  random.pick([0, 1, 2, 3, -1, -2, 4, 7, 0.5, NaN, Infinity, -Infinity, 2 ** 31, -(2 ** 31), 2 ** 53]);
const list = (): unknown[] => Array.from({ length: random.integer(0, 5) }, () => value(1));

function array(): NDArray {
  const shape = sizes();
  const dtype = random.chance(0.2) ? "int32" : "float32";
  let made = NDArray.full(shape, random.integer(-2, 3), { dtype });
  if (random.chance(0.3)) made = made.permute(random.shuffle(shape.map((_, axis) => axis)));
  if (random.chance(0.3)) made = made.flip();
  if (random.chance(0.2)) made = made.broadcastTo([random.integer(0, 3), ...made.shape]);
  if (random.chance(0.2) && made.ndim > 0) made = made.slice([random.integer(0, 2), 5, random.pick([1, 2])]);
  if (random.chance(0.03)) made.dispose();
  return made;
}

function aTensor(): Tensor {
  const data = array();
  return new Tensor(data, { requiresGrad: data.dtype === "float32" && random.chance(0.5) });
}

function value(depth = 0): unknown {
  const makers: (() => unknown)[] = [
    int, int, array, sizes, aTensor, aTensor, aTensor,
    () => random.pick([undefined, null, "x", "1", true, {}, 3n, () => 1, Symbol.iterator, new Float32Array(3), new Array(2), cpu()]),
  ]; // prettier-ignore
  if (depth < 2) {
    makers.push(
      list,
      () => [aTensor(), aTensor()],
      () => Array.from({ length: 2 }, () => [random.integer(0, 2), random.integer(0, 2)]),
    );
    makers.push(() => ({
      axes: value(1),
      keepDims: value(2),
      stride: value(2),
      padding: value(2),
      shape: value(2),
      requiresGrad: value(2),
    }));
    makers.push(() => ({
      lr: int(),
      momentum: int(),
      bias: value(2),
      eps: int(),
      training: true,
      runningMean: aTensor(),
      runningVar: aTensor(),
    }));
    makers.push(() => ({ W_ih: aTensor(), W_hh: aTensor(), bias_ih: aTensor(), bias_hh: aTensor() }));
    makers.push(() => ({ W_ih: aTensor(), W_hh: aTensor() }));
    makers.push(() => ({ stride: random.integer(0, 3), padding: random.integer(0, 3), axes: random.integer(-2, 3) }));
    makers.push(() => ({ stride: random.integer(0, 3), padding: random.integer(0, 3) }));
  }
  return random.pick(makers)();
}

/** The methods that the documentation names; others are private. */
const METHODS = new Set(
  (
    "reshape permute transpose broadcastTo slice flip compact isCompact set to toTypedArray toArray item add sub mul div maximum " +
    "minimum clamp where equal notEqual less lessEqual greater greaterEqual pow neg exp log sqrt sin cos tanh relu sigmoid abs " +
    "floor ceil round gelu silu softplus leakyRelu sum mean max min logSumExp argMax argMin matmul pad alias keep dispose " +
    "variance std cumSum topK sort argSort gather indexSelect " +
    "backward detach softmax logSoftmax dilate undilate split dropout conv convTranspose maxPool avgPool upsample toString"
  ).split(" "),
);
const callable = (owner: object): [string, (...args: never[]) => unknown][] =>
  Object.entries(Object.getOwnPropertyDescriptors(owner)).flatMap(([name, { value: found }]) =>
    typeof found === "function" && METHODS.has(name) ? [[name, found as (...args: never[]) => unknown]] : [],
  );
const functions = [
  ops,
  init,
  { tensor, clipGradNorm: optim.clipGradNorm, from: NDArray.from, zeros: NDArray.zeros },
].flatMap((owner) => Object.entries(owner));
const arrayMethods = callable(NDArray.prototype);
const tensorMethods = callable(Tensor.prototype);
const constructors = [...Object.entries(nn), ...Object.entries(optim)].filter(
  ([name]) => /^[A-Z]/.test(name) && name !== "Module" && name !== "Optimizer", // abstract
);

/** One call; its name. */
function call(): string {
  const args = Array.from({ length: random.integer(0, 4) }, () => value());
  const roll = random.next();
  if (roll < 0.5) {
    const [name, fn] = random.pick(functions);
    if (typeof fn === "function") settle(Reflect.apply(fn, undefined, args));
    return name;
  }
  if (roll < 0.85) {
    const [receiver, methods] = random.chance(0.5) ? [array(), arrayMethods] : [aTensor(), tensorMethods];
    const [name, method] = random.pick(methods);
    settle(Reflect.apply(method, receiver, args));
    return name;
  }
  const [name, constructor] = random.pick(constructors);
  if (typeof constructor === "function") {
    const made: unknown = Reflect.construct(constructor, args);
    if (made instanceof nn.Module && "forward" in made)
      settle(Reflect.apply(made.forward, made, args.filter(isTensor)));
    if (made instanceof optim.Optimizer) made.step();
  }
  return name;
}

const isTensor = (candidate: unknown): boolean => candidate instanceof Tensor;

/** Reads what came out, and goes back through it. */
function settle(result: unknown): void {
  const made = Array.isArray(result) ? result.slice(0, 3) : [result];
  for (const item of made) {
    if (item instanceof NDArray && item.size < 1e5) item.toTypedArray();
    if (item instanceof Tensor && item.size < 1e5) {
      item.toTypedArray();
      if (item.requiresGrad) item.backward(NDArray.ones(item.shape));
    }
  }
}

cpu().setMemoryLimit(2 ** 28);
const sentinels = Array.from({ length: 64 }, (_, i) => NDArray.full([i * 7 + 1], i));
const foreign = new Map<string, number>();
let thrown = 0;
for (let i = 0; i < calls; i++) {
  let error: unknown = null;
  try {
    tidy(call);
  } catch (caught) {
    error = caught;
  }
  if (error !== null) thrown++;
  if (error !== null && !(error instanceof ThimbleError)) {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    foreign.set(message.slice(0, 90), (foreign.get(message.slice(0, 90)) ?? 0) + 1);
  }
  if (i % 500 === 0) {
    const broken = sentinels.findIndex((kept, at) => kept.toTypedArray().some((element) => element !== at));
    if (broken >= 0) throw new DisposedError("fuzz", `sentinel ${broken} was overwritten before call ${i}`);
  }
}
console.log(JSON.stringify({ calls, thrown, foreign: Object.fromEntries(foreign) }));
