import { createRequire } from 'node:module';
import type { Expression as JsepNode } from 'jsep';
import { DcsError } from '../errors/errors.ts';
import { functionNames, OPERATIONS, SPECIAL_FUNCTIONS } from './operations.ts';

/** An expression over pins. It has no loops, so its evaluation takes a bounded time. */
export type Expression =
  | { readonly kind: 'value'; readonly value: number | boolean | string }
  | { readonly kind: 'pin'; readonly pin: string }
  /** An operator, a function, or `?:`. */
  | { readonly kind: 'operation'; readonly name: string; readonly operands: readonly Expression[] };

/** Returns the name of the pin that a word means. `undefined` when there is no such pin. */
export type FindPin = (word: string) => string | undefined;

/** A mistake in an expression. `unknownPin`: the word that names no pin. */
export class ExpressionError extends DcsError {
  readonly unknownPin: string | undefined;

  constructor(message: string, expected?: string, unknownPin?: string) {
    super('BAD_CONFIG', message, expected === undefined ? {} : { expected });
    this.unknownPin = unknownPin;
  }
}

/** Stands for the first pin in the text that jsep reads: jsep takes any character beyond ASCII as a name. */
const FIRST_PLACEHOLDER = 0xe000;
const WORD = /[\p{L}\p{N}_](?:[\p{L}\p{N}_.:/-]*[\p{L}\p{N}_])?/uy;
const NUMBER = /(?:0x[\da-f]+|(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(?![\p{L}\p{N}_.])/iuy;
const TEXT = /"[^"\\]*"|'[^'\\]*'/y;
const QUOTED_PIN = /`([^`]*)`/y;
/** Operators, brackets and space. */
const PUNCTUATION = /\s+|\*\*|&&|\|\||==|!=|<=|>=|<<|>>|[-+*/%<>!&|?:(),]/y;
const FUNCTION = /[a-z]\w*(?=\s*\()/y;
const KEYWORDS: ReadonlyMap<string, string> = new Map([
  ['and', '&&'],
  ['or', '||'],
  ['not', '!'],
  ['true', 'true'],
  ['false', 'false'],
]);

/**
 * Parses an expression: numbers, pins, + - * / % **, comparisons, and or not, `? :`, functions. The name of a pin is taken as
 * long as it can be, because `-`, `/` and `:` are parts of names too; a text with two readings is refused. Throws an
 * ExpressionError.
 */
export function parseExpression(text: string, find: FindPin): Expression {
  const atoms: Expression[] = [];
  const prepared = replaceAtoms(text, find, atoms);
  return fromJsep(parseStructure(prepared), atoms);
}

/** The pins of an expression, each once. */
export function pinsOf(expression: Expression): string[] {
  switch (expression.kind) {
    case 'value':
      return [];
    case 'pin':
      return [expression.pin];
    case 'operation':
      return [...new Set(expression.operands.flatMap(pinsOf))];
  }
}

/** Replaces names, numbers and quoted text by one character each, followed by spaces so that positions stay the same. */
function replaceAtoms(text: string, find: FindPin, atoms: Expression[]): string {
  let prepared = '';
  while (prepared.length < text.length) {
    const at = prepared.length;
    const { length, atom, instead = '' } = nextPart(text, at, find);
    const placeholder = atom && String.fromCharCode(FIRST_PLACEHOLDER + atoms.push(atom) - 1);
    prepared += (placeholder ?? instead).padEnd(length);
  }
  return prepared;
}

/** A part of the text: a value or pin, or what jsep reads in its place. */
interface Part {
  readonly length: number;
  readonly atom?: Expression;
  readonly instead?: string;
}

function nextPart(text: string, at: number, find: FindPin): Part {
  const quoted = match(QUOTED_PIN, text, at);
  if (quoted) return { length: quoted[0].length, atom: { kind: 'pin', pin: knownPin(quoted[1] ?? '', find) } };
  const string = match(TEXT, text, at)?.[0];
  if (string !== undefined) return { length: string.length, atom: { kind: 'value', value: string.slice(1, -1) } };
  const word = match(WORD, text, at)?.[0];
  const keyword = word === undefined ? undefined : KEYWORDS.get(word);
  if (word !== undefined && keyword !== undefined) return { length: word.length, instead: keyword };
  const plain = (match(FUNCTION, text, at) ?? match(PUNCTUATION, text, at))?.[0];
  if (plain !== undefined) return { length: plain.length, instead: plain };
  const number = match(NUMBER, text, at)?.[0] ?? '';
  const pin = word === undefined ? undefined : longestPin(word, text.slice(at), find);
  if (pin && pin.word.length > number.length) return { length: pin.word.length, atom: { kind: 'pin', pin: pin.name } };
  if (number !== '') return { length: number.length, atom: { kind: 'value', value: Number(number) } };
  throw unknownPart(word, text, at);
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? undefined;
}

function knownPin(word: string, find: FindPin): string {
  const pin = find(word);
  if (pin === undefined) throw new ExpressionError(`there is no pin ${word}`, undefined, word);
  return pin;
}

/** The longest beginning of a word that names a pin. `undefined` when there is none. */
function longestPin(run: string, rest: string, find: FindPin): { word: string; name: string } | undefined {
  for (let length = run.length; length > 0; length--) {
    const word = run.slice(0, length);
    const name = /^[\p{L}\p{N}_.]/u.test(rest.slice(length)) ? undefined : find(word);
    if (name === undefined) continue;
    checkOneReading(word, find);
    return { word, name };
  }
  return undefined;
}

/** Refuses a name that could also be a calculation: `a-b` where `a-b`, `a` and `b` are pins. */
function checkOneReading(name: string, find: FindPin): void {
  const parts = name.split(/[-/:]/);
  const isOperand = (part: string) => find(part) !== undefined || /^\d+(\.\d+)?$/.test(part);
  if (parts.length < 2 || !parts.every(isOperand)) return;
  throw new ExpressionError(
    `${name} is a pin, and could also be a calculation with ${parts.join(' and ')}`,
    `the pin in backquotes (\`${name}\`), or spaces around the operator`,
  );
}

function unknownPart(word: string | undefined, text: string, at: number): ExpressionError {
  if (word === undefined) {
    const found = String.fromCodePoint(text.codePointAt(at) ?? 0);
    return new ExpressionError(`an expression cannot have ${found} here`, SYNTAX);
  }
  // `tank-lvel` is one name with a mistake, although there is a pin `tank`.
  const [before = ''] = /[\p{L}\p{N}_.:/-]*$/u.exec(text.slice(0, at)) ?? [];
  return new ExpressionError(`there is no pin ${before}${word}`, undefined, before + word);
}

const SYNTAX =
  'numbers, pins, + - * / % **, == != < <= > >=, and or not, ? : and functions; == compares, ** is the power';

const EXAMPLE = 'one expression, like "(a + b) * ct"';

/** Parses a text with jsep. It is loaded at the first expression, because most configurations have none. */
function parseStructure(text: string): JsepNode {
  const jsep: (text: string) => JsepNode = createRequire(import.meta.url)('jsep');
  try {
    return jsep(text);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const message = error.message.replaceAll(/[\uE000-\uF8FF]/g, 'a value');
    throw new ExpressionError(`this is no expression: ${message}`, EXAMPLE);
  }
}

/** The expression of a tree of jsep: refuses everything that is not listed here. */
function fromJsep(node: JsepNode, atoms: readonly Expression[]): Expression {
  const inner = (found: unknown): Expression => fromJsep(nodeOf(found), atoms);
  switch (node.type) {
    case 'Literal':
      if (typeof node['value'] === 'boolean') return { kind: 'value', value: node['value'] };
      break;
    case 'Identifier': {
      const atom = atoms[String(node['name']).charCodeAt(0) - FIRST_PLACEHOLDER];
      if (atom) return atom;
      break;
    }
    case 'UnaryExpression':
      return operation(String(node['operator']), [inner(node['argument'])]);
    case 'BinaryExpression':
      return operation(String(node['operator']), [inner(node['left']), inner(node['right'])]);
    case 'ConditionalExpression':
      return operation('?:', [inner(node['test']), inner(node['consequent']), inner(node['alternate'])]);
    case 'CallExpression':
      return call(nodeOf(node['callee']), listOf(node['arguments']).map(inner));
    case 'Compound':
      throw new ExpressionError(
        listOf(node['body']).length === 0 ? 'a value is missing' : 'an operator is missing between two values',
        EXAMPLE,
      );
  }
  throw new ExpressionError('this is no expression', SYNTAX);
}

function nodeOf(found: unknown): JsepNode {
  if (typeof found === 'object' && found !== null && 'type' in found && typeof found.type === 'string') {
    return { ...found, type: found.type };
  }
  throw new ExpressionError('an operand is missing', EXAMPLE);
}

function listOf(found: unknown): readonly unknown[] {
  return Array.isArray(found) ? found : [];
}

function operation(name: string, operands: readonly Expression[]): Expression {
  const [first] = operands;
  if (name === '+' && operands.length === 1 && first) return first;
  // Mathematics takes -2 ** 2 for -4, many programs for 4.
  if (name === '**' && first?.kind === 'operation' && first.name === '-' && first.operands.length === 1) {
    throw new ExpressionError('a minus before ** has two meanings', 'pow(-a, 2) or -pow(a, 2)');
  }
  return { kind: 'operation', name, operands };
}

function call(callee: JsepNode, operands: readonly Expression[]): Expression {
  const name = String(callee['name']);
  if (!/^[a-z]/.test(name)) throw new ExpressionError('an operator is missing before a bracket', EXAMPLE);
  const {
    operands: [least, most],
  } = OPERATIONS.get(name) ?? { operands: SPECIAL_FUNCTIONS.get(name) ?? [0, -1] };
  if (most < 0) {
    throw new ExpressionError(`there is no function ${name}`, `one of ${functionNames().join(', ')}`);
  }
  if (operands.length < least || operands.length > most) {
    const range = least === most ? `${least}` : `${least} to ${most}`;
    throw new ExpressionError(`${name} takes ${range} values, and has ${operands.length}`);
  }
  return { kind: 'operation', name, operands };
}
