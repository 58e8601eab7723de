import { DcsError } from '../errors/errors.ts';

/** Type of a value within an expression. `unknown`: the value of a pin whose driver could not be loaded. */
export type ValueType = 'number' | 'boolean' | 'text' | 'unknown';

/** An operator or function of numbers. */
export interface Operation {
  /** Numbers of operands that it takes: lowest and highest. */
  readonly operands: readonly [number, number];
  /** True and false count as 1 and 0. Without it they are refused: `1 < x < 5` and `status & 4 == 4` must not pass. */
  readonly takesBooleans?: true;
  readonly gives: 'number' | 'boolean';
  apply(operands: readonly number[]): number | boolean;
}

/** Whole numbers up to this take part in operations on bits. */
const MAX_BITS = 53;

/** The operators and functions of numbers. Conditions, `==`, `!=`, `good` and `otherwise` have rules of their own. */
export const OPERATIONS: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ['+', { ...binary((a, b) => a + b), takesBooleans: true }],
  ['-', { ...numbers([1, 2], ([a = 0, b]) => (b === undefined ? -a : a - b)), takesBooleans: true }],
  ['*', { ...binary((a, b) => a * b), takesBooleans: true }],
  ['/', binary(divide)],
  ['%', binary(remainder)],
  ['**', binary((a, b) => a ** b)],
  ['<', comparison((a, b) => a < b)],
  ['<=', comparison((a, b) => a <= b)],
  ['>', comparison((a, b) => a > b)],
  ['>=', comparison((a, b) => a >= b)],
  ['&', binary((a, b) => Number(whole(a) & whole(b)))],
  ['|', binary((a, b) => Number(whole(a) | whole(b)))],
  ['<<', binary((a, b) => Number(whole(a)) * 2 ** bitNumber(b))],
  ['>>', binary((a, b) => Number(whole(a) >> BigInt(bitNumber(b))))],
  ['bit', { operands: [2, 2], gives: 'boolean', apply: ([value = 0, bit = 0]) => hasBit(value, bit) }],
  ['abs', unary(Math.abs)],
  ['ceil', unary(Math.ceil)],
  ['clamp', numbers([3, 3], ([value = 0, low = 0, high = 0]) => Math.min(Math.max(value, low), high))],
  ['cos', unary(Math.cos)],
  ['exp', unary(Math.exp)],
  ['floor', unary(Math.floor)],
  ['ln', unary(Math.log)],
  ['log10', unary(Math.log10)],
  ['max', numbers([1, 100], (all) => Math.max(...all))],
  ['min', numbers([1, 100], (all) => Math.min(...all))],
  ['pow', binary((a, b) => a ** b)],
  ['round', numbers([1, 2], ([value = 0, digits = 0]) => Math.round(value * 10 ** digits) / 10 ** digits)],
  ['sign', unary(Math.sign)],
  ['sin', unary(Math.sin)],
  ['sqrt', unary(Math.sqrt)],
  ['tan', unary(Math.tan)],
]);

/** Functions with rules of their own, and the numbers of operands that they take: lowest and highest. */
export const SPECIAL_FUNCTIONS: ReadonlyMap<string, readonly [number, number]> = new Map([
  ['good', [1, 1]],
  ['otherwise', [2, 2]],
]);

/** Names of all functions. */
export function functionNames(): string[] {
  return [...[...OPERATIONS.keys()].filter((name) => /^[a-z]/.test(name)), ...SPECIAL_FUNCTIONS.keys()].sort();
}

function numbers(operands: Operation['operands'], apply: (operands: readonly number[]) => number): Operation {
  return { operands, gives: 'number', apply };
}

function unary(apply: (value: number) => number): Operation {
  return numbers([1, 1], ([value = 0]) => apply(value));
}

function binary(apply: (a: number, b: number) => number): Operation {
  return numbers([2, 2], ([a = 0, b = 0]) => apply(a, b));
}

function comparison(holds: (a: number, b: number) => boolean): Operation {
  return { operands: [2, 2], gives: 'boolean', apply: ([a = 0, b = 0]) => holds(a, b) };
}

function divide(a: number, b: number): number {
  if (b === 0) throw new DcsError('BAD_VALUE', `${a} / 0 has no value`);
  return a / b;
}

function remainder(a: number, b: number): number {
  if (b === 0) throw new DcsError('BAD_VALUE', `${a} % 0 has no value`);
  return a % b;
}

function whole(value: number): bigint {
  if (Number.isSafeInteger(value)) return BigInt(value);
  throw new DcsError('BAD_VALUE', `${value} is no whole number within ±2^53, so it has no bits`);
}

function hasBit(value: number, bit: number): boolean {
  return ((whole(value) >> BigInt(bitNumber(bit))) & 1n) === 1n;
}

function bitNumber(bit: number): number {
  if (Number.isInteger(bit) && bit >= 0 && bit < MAX_BITS) return bit;
  throw new DcsError('BAD_VALUE', `there is no bit ${bit}`, { expected: `0 to ${MAX_BITS - 1}` });
}
