import { expect, test } from 'vitest';
import { parseLocated } from '../../src/config/document.ts';
import { descend, toPlain } from '../../src/config/located.ts';
import { Problems } from '../../src/config/problems.ts';

function parse(text: string) {
  const problems = new Problems();
  const root = parseLocated(text, 'f.yaml', problems);
  const errors = problems.of('error').map(({ line, column, message }) => `${line}:${column} ${message}`);
  return { root, errors, value: root && toPlain(root) };
}

test('every value and every key knows its line and column', () => {
  const { root } = parse('a:\n  b: [1, two]\n"c": {d: 3}\n');
  if (!root) throw new Error('nothing parsed');
  const two = descend(root, ['a', 'b', 1]).located;
  expect([two.at.line, two.at.column, two.path]).toEqual([2, 10, 'a.b[1]']);
  const d = descend(root, ['c', 'd']).located;
  expect([d.keyAt.line, d.keyAt.column, d.at.line, d.at.column, d.path]).toEqual([3, 7, 3, 10, 'c.d']);
});

test('a duplicate key is an error that names the first, and the first one counts', () => {
  const { errors, value } = parse('a: 1\nb: {c: 1, c: 2}\na: 3\n');
  expect(errors).toEqual([
    '2:11 c is given twice; it already stands in line 2',
    '3:1 a is given twice; it already stands in line 1',
  ]);
  expect(value).toEqual({ a: 1, b: { c: 1 } });
});

test('on and off are text, as YAML 1.2 has it, and a number with colons stays text', () => {
  expect(parse('a: on\nb: off\nc: 1:30:00\nd: true\ne: 0x10\nf:\n').value).toEqual({
    a: 'on',
    b: 'off',
    c: '1:30:00',
    d: true,
    e: 16,
    f: null,
  });
});

test('the rest of a file is read in spite of a syntax error', () => {
  const { errors, value } = parse('a: 1\nb: [1, 2\nc: 3\n');
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatch(/^3:1 this is not valid YAML: flow sequence/);
  expect(value).toEqual({ a: 1, b: [1, 2], c: 3 });
});

test('anchors and << work: own keys win over merged ones, and places are those of the anchor', () => {
  const { root, value, errors } = parse('base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\n');
  expect(errors).toEqual([]);
  expect(value).toEqual({ base: { x: 1, y: 2 }, use: { x: 1, y: 3 } });
  expect(root && descend(root, ['use', 'x']).located.at).toMatchObject({ line: 1, column: 14 });
});

test('an anchor that is missing or contains itself is an error, not a hang', () => {
  expect(parse('a: *nobody\n').errors).toHaveLength(1);
  expect(parse('a: &x [1, *x]\n').errors).toEqual(['1:11 the anchor &x contains itself']);
});

test('anchors that multiply into millions of values are refused', () => {
  const lines = Array.from(
    { length: 12 },
    (_, at) => `l${at + 1}: &l${at + 1} [${Array(10).fill(`*l${at}`).join(', ')}]`,
  );
  expect(parse(`l0: &l0 [1, 2]\n${lines.join('\n')}\n`).errors[0]).toMatch(/more than 100000 values/);
});

test('an empty file is empty, not wrong', () => {
  expect(parse('')).toMatchObject({ root: undefined, errors: [] });
  expect(parse('# only a comment\n')).toMatchObject({ errors: [] });
});
