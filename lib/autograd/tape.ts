/**
 * The tape. Each recorded operation is a Node: where its inputs came from, what it saved, and a closure that turns the
 * gradients of its outputs, mostly one, into those of its inputs. `runBackward` visits nodes from the newest to the
 * oldest, which is a topological order, and frees what each saved as soon as it was used.
 *
 * Ownership: a closure owns the gradient it receives; it may return it, or views of it, or write over its memory
 * ({ reuse: true }) while nobody else owns that. All else that a closure makes is freed when it returns.
 */
import { AutogradError, ShapeError } from "../native/errors.ts";
import { binary } from "../ndarray/arithmetic.ts";
import type { Range } from "../ndarray/views.ts";
import { sameShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { tidy, untracked } from "../ndarray/scope.ts";

/** Gradients of the inputs (or outputs), in their order; null where there is none. */
export type Gradients = readonly (NDArray | null)[];

/** What a backward closure is given besides the gradient. */
export interface BackwardContext<S extends readonly NDArray[]> {
  saved: S;
  /** Whether each input needs its gradient. */
  needs: readonly boolean[];
}

export type Backward<S extends readonly NDArray[]> = (gradient: NDArray, context: BackwardContext<S>) => Gradients;

/** Backward of an operation with several outputs: null for an output that nothing depends on, but for one at least. */
export type BackwardOfAll<S extends readonly NDArray[]> = (
  gradients: Gradients,
  context: BackwardContext<S>,
) => Gradients;

/** Where gradients flow to: a recorded operation, a part of one's output, or a leaf that collects them. */
export interface Edge {
  /** The operation behind this edge, if it is not a leaf. */
  readonly node: Node | null;
  /** Takes over the handle `gradient`. */
  accept(gradient: NDArray): void;
}

let count = 0;

export class Node implements Edge {
  /** Operations are numbered in the order in which they ran. */
  readonly sequence = count++;
  /** Pending gradients of the outputs. */
  private gradients: (NDArray | null)[];
  /** Runs the closure; null once it was consumed. */
  private run: ((gradients: Gradients) => Gradients) | null;
  private saved: readonly NDArray[];
  private readonly versions: readonly number[];
  /** The number of the last search that found this node: see `reachable`. */
  foundBy = 0;

  readonly name: string;
  readonly shapes: readonly (readonly number[])[];
  public inputs: readonly (Edge | null)[];

  constructor(
    name: string,
    shapes: readonly (readonly number[])[],
    inputs: readonly (Edge | null)[],
    saved: readonly NDArray[],
    run: (gradients: Gradients) => Gradients,
  ) {
    this.name = name;
    this.shapes = shapes;
    this.inputs = inputs;
    this.gradients = new Array<null>(shapes.length).fill(null);
    this.saved = saved;
    const versions = new Array<number>(saved.length);
    for (let i = 0; i < saved.length; i++) versions[i] = saved[i]!.storage.version;
    this.versions = versions;
    this.run = run;
  }

  get node(): this {
    return this;
  }

  /** Takes over the handle `gradient` as (a part of) that of an output. */
  accept(gradient: NDArray, output = 0): void {
    const before = this.gradients[output] ?? null;
    if (before === null) {
      this.gradients[output] = gradient;
    } else {
      this.gradients[output] = binary("add", before, gradient, 0, { reuse: true });
      before.dispose();
      gradient.dispose();
    }
  }

  /** The edge to an output; the node itself is that to the first. */
  output(index: number): Edge {
    return index === 0 ? this : { node: this, accept: (gradient) => this.accept(gradient, index) };
  }

  /** An edge to a part of this node's output. Parts do not overlap, so each gradient is written to its place once. */
  part(ranges: readonly Range[]): Edge {
    const accept = (gradient: NDArray): void => {
      const whole = (this.gradients[0] ??= NDArray.zeros(this.shapes[0]!, gradient));
      whole.set(ranges, gradient);
      gradient.dispose();
    };
    return { node: this, accept };
  }

  /** Throws if backward cannot run through this node. */
  assertReady(): void {
    if (this.run === null) {
      throw new AutogradError(this.name, "backward already ran through this operation and freed what it had saved", {
        shapes: this.shapes,
        hint: "Compute the result again, or add up several losses before one backward(). A state from an earlier step, as an RNN's, must be detach()ed",
      });
    }
    for (let i = 0; i < this.saved.length; i++) {
      if (this.saved[i]!.storage.version !== this.versions[i]) {
        throw new AutogradError(this.name, "an array needed for backward was modified in place after it was used", {
          shapes: [this.saved[i]!.shape],
          hint: "Call backward() before set() or an optimizer's step(), or work on a copy",
        });
      }
    }
  }

  /** Turns the pending gradients into those of the inputs, and frees what was saved. */
  propagate(): void {
    const { run, inputs, gradients: given } = this;
    this.gradients = [];
    this.run = null;
    this.inputs = [];
    if (run !== null && given.some((gradient) => gradient !== null)) {
      const gradients = this.runOnce(run, given);
      // Every input takes over a handle of its own, made before the first of them may dispose its own.
      const handles = gradients.map((out, i) => (out !== null && gradients.indexOf(out) < i ? out.alias() : out));
      this.freeSaved(); // so that whoever takes over one of them is its only owner
      for (let i = 0; i < handles.length; i++) {
        const handle = handles[i] ?? null;
        const input = inputs[i] ?? null;
        if (input === null) handle?.dispose();
        else if (handle !== null) input.accept(handle);
      }
      for (const gradient of given) if (gradient !== null && !gradients.includes(gradient)) gradient.dispose();
    }
    this.freeSaved();
  }

  /** Calls the closure; one that fails gives up what it was given, and what was saved for it. */
  private runOnce(run: (gradients: Gradients) => Gradients, given: Gradients): Gradients {
    try {
      return tidy(() => run(given));
    } catch (error) {
      for (const gradient of given) gradient?.dispose();
      this.freeSaved();
      throw error;
    }
  }

  private freeSaved(): void {
    for (const array of this.saved) array.dispose();
    this.saved = [];
  }

  /** Drops gradients that a failed backward left behind. */
  discard(): void {
    for (const gradient of this.gradients) gradient?.dispose();
    this.gradients.fill(null);
  }
}

/** Sends `seed`, whose handle is taken over, from the output of an operation to every leaf. */
export function runBackward(output: Edge & { node: Node }, seed: NDArray): void {
  const nodes = reachable(output.node);
  for (const node of nodes) node.assertReady();
  nodes.sort((a, b) => b.sequence - a.sequence);
  untracked(() => {
    output.accept(seed);
    try {
      for (const node of nodes) node.propagate();
    } finally {
      for (const node of nodes) node.discard();
    }
  });
}

let searches = 0;

/** Every node that gradients reach from `root`. Nodes are marked, which takes a fraction of a Set's time. */
function reachable(root: Node): Node[] {
  const search = ++searches;
  root.foundBy = search;
  const found = [root];
  for (const node of found) {
    for (const input of node.inputs) {
      const next = input?.node ?? null;
      if (next === null || next.foundBy === search) continue;
      next.foundBy = search;
      found.push(next);
    }
  }
  return found;
}

/** Checks that a gradient given by the user fits the tensor it is for. */
export function checkGradient(operation: string, shape: readonly number[], gradient: NDArray): void {
  if (!sameShape(gradient.shape, shape)) {
    throw new ShapeError(operation, "the gradient must have the tensor's shape", { shapes: [shape, gradient.shape] });
  }
}
