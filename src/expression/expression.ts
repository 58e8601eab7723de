import { DcsError } from '../errors/errors.ts';
import type { PinValue, Quality } from '../message/payloads.ts';
import type { PinKind, RawValue, ScaleOf } from '../pin/pin.ts';
import { OPERATIONS, type Operation, type ValueType } from './operations.ts';
import { type Expression, ExpressionError } from './parse.ts';

/** The last known value of a pin, as an expression sees it. */
export interface PinSample {
  readonly val: PinValue;
  readonly quality: Quality;
  /** Why `quality` is not good. */
  readonly reason?: string | undefined;
}

/** Type of the values of a kind of pin. */
export function valueTypeOf(kind: PinKind): ValueType {
  return kind === 'digital' ? 'boolean' : kind === 'text' ? 'text' : 'number';
}

/** Kind of a pin with values of a type. */
export function pinKindOf(type: ValueType): PinKind {
  return type === 'boolean' ? 'digital' : type === 'text' ? 'text' : 'analog';
}

/** Returns the type of an expression's value. Throws an ExpressionError when an operand has a type that its operator refuses. */
export function typeOf(expression: Expression, typeOfPin: (pin: string) => ValueType): ValueType {
  switch (expression.kind) {
    case 'value':
      return typeOfValue(expression.value);
    case 'pin':
      return typeOfPin(expression.pin);
    case 'operation':
      return typeOfOperation(
        expression,
        expression.operands.map((operand) => typeOf(operand, typeOfPin)),
      );
  }
}

function typeOfValue(value: RawValue): ValueType {
  return typeof value === 'boolean' ? 'boolean' : typeof value === 'string' ? 'text' : 'number';
}

type OperationNode = Extract<Expression, { kind: 'operation' }>;

function typeOfOperation(node: OperationNode, types: readonly ValueType[]): ValueType {
  const { name, operands } = node;
  const operation = OPERATIONS.get(name);
  if (operation) {
    for (const [at, operand] of operands.entries()) checkNumber(name, operation, operand, types[at]);
    return operation.gives;
  }
  switch (name) {
    case '&&':
    case '||':
    case '!':
      for (const [at, operand] of operands.entries()) checkCondition(operand, types[at]);
      return 'boolean';
    case '==':
    case '!=':
      checkComparable(node, types);
      return 'boolean';
    case '?:':
      checkCondition(operands[0], types[0]);
      return commonType('both values of ? :', types[1], types[2]);
    case 'good':
      if (operands[0]?.kind !== 'pin') throw new ExpressionError('good takes a pin', 'good(pin)');
      return 'boolean';
    case 'otherwise':
      return commonType('both values of otherwise', types[0], types[1]);
    default:
      throw new ExpressionError(`there is no operator ${name}`, [...OPERATIONS.keys()].filter(isOperator).join(' '));
  }
}

function isOperator(name: string): boolean {
  return !/^[a-z]/.test(name);
}

function checkNumber(name: string, { takesBooleans }: Operation, operand: Expression, type: ValueType | undefined) {
  if (type === 'number' || type === 'unknown' || (type === 'boolean' && takesBooleans)) return;
  const is = type === 'text' ? 'text' : 'true or false';
  throw new ExpressionError(`${name} takes numbers, and ${describe(operand)} is ${is}`, EXPECTED_NUMBERS);
}

const EXPECTED_NUMBERS = 'numbers; brackets where an operator takes more than it should';

/** A word is neither on nor off. */
function checkCondition(operand: Expression | undefined, type: ValueType | undefined): void {
  if (type !== 'text' || operand === undefined) return;
  throw new ExpressionError(
    `${describe(operand)} is text, which is neither on nor off`,
    'a comparison: mode == "auto"',
  );
}

/** Text equals only text. A digital pin may be compared with 0 and 1. */
function checkComparable(
  { name, operands }: OperationNode,
  [left = 'unknown', right = 'unknown']: readonly ValueType[],
) {
  if (left === right || left === 'unknown' || right === 'unknown') return;
  const isBit = (operand: Expression | undefined) =>
    operand?.kind === 'value' && (operand.value === 0 || operand.value === 1);
  const number = left === 'number' ? operands[0] : operands[1];
  if (left !== 'text' && right !== 'text' && isBit(number)) return;
  const [a, b] = operands.map(describe);
  throw new ExpressionError(
    `${name} compares ${a}, which is ${left}, with ${b}, which is ${right}`,
    'values of one type',
  );
}

function commonType(what: string, a: ValueType = 'unknown', b: ValueType = 'unknown'): ValueType {
  if (a === 'unknown') return b;
  if (b === 'unknown' || a === b) return a;
  throw new ExpressionError(`${what} must have one type, and are ${a} and ${b}`);
}

/** An operand as an error names it. */
function describe(expression: Expression): string {
  if (expression.kind === 'pin') return expression.pin;
  if (expression.kind === 'value') return JSON.stringify(expression.value);
  return `the result of ${expression.name}`;
}

/** All texts that an expression can give. `undefined` when they are not known. */
export function wordsOf(
  expression: Expression | undefined,
  wordsOfPin: (pin: string) => readonly string[] | undefined,
): readonly string[] | undefined {
  if (expression?.kind === 'pin') return wordsOfPin(expression.pin);
  if (expression?.kind === 'value') return typeof expression.value === 'string' ? [expression.value] : undefined;
  const [a, b] = (expression?.operands.slice(-2) ?? []).map((operand) => wordsOf(operand, wordsOfPin));
  return a && b && [...new Set([...a, ...b])];
}

/** The value of an expression now. */
export interface Evaluated {
  readonly value: RawValue;
  /** Why the value is uncertain: a pin that counts is. */
  readonly uncertain?: string;
}

/**
 * Evaluates an expression. The quality of the pins that `counts` names matters: throws BAD_SOURCE when a pin that the value
 * depends on is bad, or has no value yet, and BAD_VALUE when there is no value, as for 1 / 0. A side of `and`, `or` or `? :`
 * that is not needed does not count.
 */
export function evaluate(
  expression: Expression,
  sampleOf: (pin: string) => PinSample,
  counts: (pin: string) => boolean,
): Evaluated {
  const evaluation = new Evaluation(sampleOf, counts);
  const value = evaluation.valueOf(expression);
  const result = typeof value === 'number' ? tidy(value) : value;
  return evaluation.uncertain === undefined ? { value: result } : { value: result, uncertain: evaluation.uncertain };
}

/** 0.1 + 0.2 must not be 0.30000000000000004: twelve significant digits are more than any sensor has. */
function tidy(value: number): number {
  if (!Number.isFinite(value)) throw new DcsError('BAD_VALUE', 'the result is no number');
  return Number.isSafeInteger(value) ? value + 0 : Number(value.toPrecision(12));
}

class Evaluation {
  uncertain: string | undefined;
  readonly #sampleOf: (pin: string) => PinSample;
  #counts: (pin: string) => boolean;

  constructor(sampleOf: (pin: string) => PinSample, counts: (pin: string) => boolean) {
    this.#sampleOf = sampleOf;
    this.#counts = counts;
  }

  valueOf(expression: Expression | undefined): RawValue {
    switch (expression?.kind) {
      case 'value':
        return expression.value;
      case 'pin':
        return this.#pin(expression.pin);
      case 'operation':
        return this.#operation(expression);
      default:
        throw new DcsError('INTERNAL', 'an operand is missing');
    }
  }

  #pin(pin: string): RawValue {
    const { val, quality, reason } = this.#sampleOf(pin);
    const why = [`${pin} is ${quality}`, ...(reason === undefined ? [] : [reason.replace(/^BAD_SOURCE: /, '')])].join(
      ': ',
    );
    if (val === null || (quality === 'bad' && this.#counts(pin))) throw new DcsError('BAD_SOURCE', why);
    if (quality === 'uncertain' && this.#counts(pin)) this.uncertain ??= why;
    return val;
  }

  #operation({ name, operands }: OperationNode): RawValue {
    const [first, second, third] = operands;
    switch (name) {
      case '&&':
        return this.#condition(first) && this.#condition(second);
      case '||':
        return this.#condition(first) || this.#condition(second);
      case '!':
        return !this.#condition(first);
      case '?:':
        return this.valueOf(this.#condition(first) ? second : third);
      case '==':
        return isEqual(this.valueOf(first), this.valueOf(second));
      case '!=':
        return !isEqual(this.valueOf(first), this.valueOf(second));
      case 'good':
        return first?.kind === 'pin' && this.#sampleOf(first.pin).quality === 'good';
      case 'otherwise':
        return this.#otherwise(first, second);
    }
    const operation = OPERATIONS.get(name);
    if (!operation) throw new DcsError('INTERNAL', `there is no operator ${name}`);
    const result = operation.apply(operands.map((operand) => toNumber(this.valueOf(operand))));
    // Checked here: a comparison would make a value of it, which nobody could tell from a right one.
    if (typeof result === 'boolean' || Number.isFinite(result)) return result;
    throw new DcsError('BAD_VALUE', `the result of ${name} is no number`);
  }

  #condition(expression: Expression | undefined): boolean {
    const value = this.valueOf(expression);
    return typeof value === 'boolean' ? value : toNumber(value) !== 0;
  }

  /** The second value in place of a first that is bad. */
  #otherwise(first: Expression | undefined, second: Expression | undefined): RawValue {
    const { uncertain } = this;
    const counts = this.#counts;
    try {
      this.#counts = () => true;
      return this.valueOf(first);
    } catch (error) {
      if (!(error instanceof DcsError) || error.code === 'INTERNAL') throw error;
      this.#counts = counts;
      this.uncertain = uncertain;
      return this.valueOf(second);
    } finally {
      this.#counts = counts;
    }
  }
}

function isEqual(a: RawValue, b: RawValue): boolean {
  return typeof a === typeof b ? a === b : toNumber(a) === toNumber(b);
}

/** A whole number beyond 2^53 is text; a double is exact enough for what is computed from it. */
function toNumber(value: RawValue): number {
  if (typeof value === 'string' && !/^-?\d+$/.test(value)) {
    throw new DcsError('BAD_VALUE', `${JSON.stringify(value)} is no number`);
  }
  const number = Number(value);
  if (Number.isFinite(number)) return number;
  throw new DcsError('BAD_VALUE', `${value} is no number`);
}

/** Returns the pin that an expression only scales, so that a value of it can be written. `undefined` for any other. */
export function scaleOf(expression: Expression): ScaleOf | undefined {
  const { pin, factor, offset } = linear(expression) ?? { pin: undefined, factor: 0, offset: 0 };
  if (pin === undefined || factor === 0 || !Number.isFinite(factor) || !Number.isFinite(offset)) return undefined;
  return { pin, factor, offset };
}

interface Linear {
  /** `undefined` for a constant. */
  readonly pin: string | undefined;
  readonly factor: number;
  readonly offset: number;
}

function linear(expression: Expression): Linear | undefined {
  switch (expression.kind) {
    case 'pin':
      return { pin: expression.pin, factor: 1, offset: 0 };
    case 'value':
      return typeof expression.value === 'number' ? { pin: undefined, factor: 0, offset: expression.value } : undefined;
    case 'operation':
      return linearOperation(expression.name, expression.operands.map(linear));
  }
}

function linearOperation(name: string, operands: readonly (Linear | undefined)[]): Linear | undefined {
  const [a, b] = operands;
  if (a && name === '-' && operands.length === 1) return times(a, -1);
  if (!a || !b) return undefined;
  switch (name) {
    case '+':
      return sum(a, b);
    case '-':
      return sum(a, times(b, -1));
    case '*':
      return b.pin === undefined ? times(a, b.offset) : a.pin === undefined ? times(b, a.offset) : undefined;
    case '/':
      return b.pin === undefined ? times(a, 1 / b.offset) : undefined;
    default:
      return undefined;
  }
}

function times({ pin, factor, offset }: Linear, by: number): Linear {
  return { pin, factor: factor * by, offset: offset * by };
}

function sum(a: Linear, b: Linear): Linear | undefined {
  if (a.pin !== undefined && b.pin !== undefined && a.pin !== b.pin) return undefined;
  return { pin: a.pin ?? b.pin, factor: a.factor + b.factor, offset: a.offset + b.offset };
}
