/**
 * A reader of Python pickles that runs no code.
 *
 * A pickle is a program for a small stack machine, and Python's own reader lets that program call any function. This
 * one knows the opcodes that CIFAR-10's files are made of (protocol 2, and what Python 3 writes in their place in
 * protocols 2 to 5) and six NumPy names that describe arrays of bytes; anything else is a DatasetError at its byte.
 *
 * Why not the npm package pickleparser: it reports no offsets, decodes Python 2's byte strings as text, which loses
 * the pixels, and turns unknown classes into objects instead of refusing them.
 */
import { formatShape } from "../lib/native/errors.ts";
import { ByteReader } from "./byte-reader.ts";

/** A value and the byte of the file at which its opcode stands, so that errors about it can say where it is. */
export interface PickleEntry {
  readonly value: PickleValue;
  readonly offset: number;
}

export type PickleValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly PickleValue[] // a tuple
  | PickleList
  | PickleDict
  | PickleArray
  | Global;

export class PickleList {
  readonly entries: PickleEntry[] = [];
}

/** A dict with text keys; Python 2's byte strings count as text. */
export class PickleDict {
  readonly entries = new Map<string, PickleEntry>();
}

/** A NumPy array of uint8 in row-major order. */
export class PickleArray {
  shape: readonly number[] = [0];
  data: Uint8Array = new Uint8Array(0);
}

/** One of the names that may stand in a pickle. `dtype` is only ever that of uint8. */
class Global {
  readonly name: "reconstruct" | "frombuffer" | "ndarray" | "dtype" | "encode" | "uint8";

  constructor(name: "reconstruct" | "frombuffer" | "ndarray" | "dtype" | "encode" | "uint8") {
    this.name = name;
  }
}

const globals = new Map<string, Global>([
  ["numpy.core.multiarray._reconstruct", new Global("reconstruct")],
  ["numpy._core.multiarray._reconstruct", new Global("reconstruct")],
  ["numpy.core.numeric._frombuffer", new Global("frombuffer")],
  ["numpy._core.numeric._frombuffer", new Global("frombuffer")],
  ["numpy.ndarray", new Global("ndarray")],
  ["numpy.dtype", new Global("dtype")],
  ["_codecs.encode", new Global("encode")], // how Python 3 writes bytes in protocol 2
]);
const uint8 = new Global("uint8");

/**
 * The value that a pickle describes. Byte strings in it are views of `bytes`, not copies.
 * @param file names the file in errors.
 * @throws DatasetError for what is truncated, malformed, or not in the subset above.
 */
export function readPickle(bytes: Uint8Array, file: string): PickleEntry {
  const machine = new Machine(bytes, file);
  while (machine.result === null) machine.step();
  if (machine.position !== bytes.length) {
    machine.fail("expected the end of the file after the pickle's end", machine.position);
  }
  return machine.result;
}

class Machine extends ByteReader {
  result: PickleEntry | null = null;
  readonly memo = new Map<number, PickleEntry>();
  private opcodeAt = 0;
  private readonly stack: PickleEntry[] = [];
  private readonly marks: number[] = [];

  /** Runs one opcode. */
  step(): void {
    const first = this.position === 0;
    this.opcodeAt = this.position;
    const code = this.unsigned(1);
    const run = opcodes.get(code);
    const shown = `0x${code.toString(16).padStart(2, "0")}`;
    if (first && code !== 0x80) this.fail(`expected a pickle of protocol 2 to 5, which starts with 0x80, not ${shown}`);
    if (run === undefined) return this.fail(`pickle opcode ${shown} has no place in a file of images`);
    run(this);
  }

  override fail(problem: string, offset = this.opcodeAt): never {
    return super.fail(problem, offset);
  }

  push(value: PickleValue): void {
    this.stack.push({ value, offset: this.opcodeAt });
  }

  pushEntry(entry: PickleEntry): void {
    this.stack.push(entry);
  }

  pop(): PickleEntry {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) this.fail("malformed pickle: nothing is left on the stack");
    return this.stack.pop()!;
  }

  top(): PickleEntry {
    const entry = this.pop();
    this.stack.push(entry);
    return entry;
  }

  mark(): void {
    this.marks.push(this.stack.length);
  }

  /** Takes everything above the last mark. */
  popToMark(): PickleEntry[] {
    const height = this.marks.pop();
    if (height === undefined) return this.fail("malformed pickle: there is no mark on the stack");
    return this.stack.splice(height);
  }

  tuple(count: number): void {
    const values = Array.from({ length: count }, () => this.pop().value).toReversed();
    this.push(values);
  }

  append(entries: readonly PickleEntry[]): void {
    const { value } = this.top();
    if (!(value instanceof PickleList)) return this.fail("malformed pickle: items for what is not a list");
    for (const entry of entries) value.entries.push(entry);
  }

  setItems(entries: readonly PickleEntry[]): void {
    const { value } = this.top();
    if (!(value instanceof PickleDict)) return this.fail("malformed pickle: items for what is not a dict");
    if (entries.length % 2 !== 0) this.fail("malformed pickle: a key without a value");
    for (let i = 0; i < entries.length; i += 2) {
      const key = entries[i]!;
      const name = key.value instanceof Uint8Array ? Buffer.from(key.value).toString("latin1") : key.value;
      if (typeof name !== "string") return this.fail("expected text as the key of a dict", key.offset);
      value.entries.set(name, entries[i + 1]!);
    }
  }

  get(index: number): void {
    const entry = this.memo.get(index);
    if (entry === undefined) return this.fail(`malformed pickle: nothing was stored under ${index}`);
    this.stack.push(entry);
  }

  global(module: string, name: string): void {
    const known = globals.get(`${module}.${name}`);
    if (known === undefined) {
      const wanted = JSON.stringify(`${module}.${name}`.slice(0, 100));
      return this.fail(`the pickle wants Python's ${wanted}, which is refused: no code is run`);
    }
    this.push(known);
  }

  /** A call in Python; here, one of four descriptions of bytes. */
  reduce(): void {
    const { value: args } = this.pop();
    const { value: callee } = this.pop();
    if (!(callee instanceof Global) || !isTuple(args)) return this.fail("malformed pickle: a call of no function");
    if (callee.name === "reconstruct") return this.push(new PickleArray());
    if (callee.name === "dtype") {
      const name = args[0] instanceof Uint8Array ? Buffer.from(args[0]).toString("latin1") : args[0];
      if (name !== "u1") this.fail(`expected an array of uint8 ("u1"), not of ${JSON.stringify(name)}`);
      return this.push(uint8);
    }
    if (callee.name === "encode" && typeof args[0] === "string") return this.push(Buffer.from(args[0], "latin1"));
    if (callee.name === "frombuffer") {
      const array = new PickleArray();
      this.fillArray(array, args[0], args[1], args[2], args[3] === "C");
      return this.push(array);
    }
    this.fail("malformed pickle: a call that makes no sense");
  }

  /** Sets an object's state: NumPy's arrays get shape, dtype and content this way. */
  build(): void {
    const { value: state } = this.pop();
    const { value: target } = this.top();
    if (target === uint8) return; // its state says only what "u1" already says
    if (!(target instanceof PickleArray) || !isTuple(state)) return this.fail("malformed pickle: state of no array");
    const [, shape, dtype, fortran, data] = state;
    this.fillArray(target, data, dtype, shape, fortran === false);
  }

  private fillArray(
    array: PickleArray,
    data: PickleValue | undefined,
    dtype: PickleValue | undefined,
    shape: PickleValue | undefined,
    rowMajor: boolean,
  ): void {
    if (dtype !== uint8 || !rowMajor) return this.fail("expected an array of uint8 in row-major order");
    if (!isTuple(shape) || !shape.every((n) => typeof n === "number")) {
      return this.fail("expected the shape of an array");
    }
    const size = shape.reduce((a, b) => a * b, 1);
    if (!(data instanceof Uint8Array) || data.length !== size) {
      const found = data instanceof Uint8Array ? `${data.length} bytes` : "something else";
      return this.fail(`expected ${size} bytes for an array of shape ${formatShape(shape)}, found ${found}`);
    }
    array.shape = shape;
    array.data = data;
  }
}

function isTuple(value: PickleValue | undefined): value is readonly PickleValue[] {
  return Array.isArray(value);
}

/** What each opcode does. Names and numbers are those of Python's pickletools. */
const opcodes = new Map<number, (m: Machine) => void>([
  [0x80, (m) => protocol(m, m.unsigned(1))], // PROTO
  [0x95, (m) => void m.unsigned(8)], // FRAME: a hint for readers of streams
  [0x2e, (m) => (m.result = m.pop())], // STOP
  [0x4e, (m) => m.push(null)], // NONE
  [0x88, (m) => m.push(true)], // NEWTRUE
  [0x89, (m) => m.push(false)], // NEWFALSE
  [0x4a, (m) => m.push(m.signed(4))], // BININT
  [0x4b, (m) => m.push(m.unsigned(1))], // BININT1
  [0x4d, (m) => m.push(m.unsigned(2))], // BININT2
  [0x8a, (m) => m.push(m.signed(m.unsigned(1)))], // LONG1
  [0x55, (m) => m.push(m.take(m.unsigned(1)))], // SHORT_BINSTRING
  [0x54, (m) => m.push(m.take(m.unsigned(4)))], // BINSTRING
  [0x43, (m) => m.push(m.take(m.unsigned(1)))], // SHORT_BINBYTES
  [0x42, (m) => m.push(m.take(m.unsigned(4)))], // BINBYTES
  [0x8e, (m) => m.push(m.take(m.unsigned(8)))], // BINBYTES8
  [0x96, (m) => m.push(m.take(m.unsigned(8)))], // BYTEARRAY8
  [0x8c, (m) => m.push(m.text(m.unsigned(1)))], // SHORT_BINUNICODE
  [0x58, (m) => m.push(m.text(m.unsigned(4)))], // BINUNICODE
  [0x28, (m) => m.mark()], // MARK
  [0x29, (m) => m.push([])], // EMPTY_TUPLE
  [0x85, (m) => m.tuple(1)], // TUPLE1
  [0x86, (m) => m.tuple(2)], // TUPLE2
  [0x87, (m) => m.tuple(3)], // TUPLE3
  [0x74, (m) => m.push(m.popToMark().map(({ value }) => value))], // TUPLE
  [0x5d, (m) => m.push(new PickleList())], // EMPTY_LIST
  [0x61, (m) => m.append([m.pop()])], // APPEND
  [0x65, (m) => m.append(m.popToMark())], // APPENDS
  [0x7d, (m) => m.push(new PickleDict())], // EMPTY_DICT
  [0x73, (m) => m.setItems([m.pop(), m.pop()].toReversed())], // SETITEM
  [0x75, (m) => m.setItems(m.popToMark())], // SETITEMS
  [0x71, (m) => m.memo.set(m.unsigned(1), m.top())], // BINPUT
  [0x72, (m) => m.memo.set(m.unsigned(4), m.top())], // LONG_BINPUT
  [0x94, (m) => m.memo.set(m.memo.size, m.top())], // MEMOIZE
  [0x68, (m) => m.get(m.unsigned(1))], // BINGET
  [0x6a, (m) => m.get(m.unsigned(4))], // LONG_BINGET
  [0x63, (m) => m.global(m.line(), m.line())], // GLOBAL
  [0x93, (m) => stackGlobal(m)], // STACK_GLOBAL
  [0x52, (m) => m.reduce()], // REDUCE
  [0x62, (m) => m.build()], // BUILD
]);

function protocol(m: Machine, version: number): void {
  if (version < 2 || version > 5) m.fail(`expected a pickle of protocol 2 to 5, not ${version}`);
}

function stackGlobal(m: Machine): void {
  const { value: name } = m.pop();
  const { value: module } = m.pop();
  if (typeof module !== "string" || typeof name !== "string") return m.fail("malformed pickle: a name that is no text");
  m.global(module, name);
}
