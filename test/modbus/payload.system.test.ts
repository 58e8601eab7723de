import { spawn } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatOf } from '../../drivers/modbus/register-format.ts';
import { halfToNumber, numberToHalf } from '../../src/driver/kit/number-codec.ts';

/** What the letters are called elsewhere. */
const ORDERS = {
  ABCD: { byteorder: 'big', wordorder: 'big' },
  CDAB: { byteorder: 'big', wordorder: 'little' },
  BADC: { byteorder: 'little', wordorder: 'big' },
  DCBA: { byteorder: 'little', wordorder: 'little' },
} as const;

const whole = (bits: bigint, signed: boolean) =>
  signed
    ? fc.bigInt({ min: -(2n ** (bits - 1n)), max: 2n ** (bits - 1n) - 1n })
    : fc.bigInt({ min: 0n, max: 2n ** bits - 1n });
const real = { noNaN: true, noDefaultInfinity: true };
const TYPES = {
  int16: whole(16n, true),
  uint16: whole(16n, false),
  int32: whole(32n, true),
  uint32: whole(32n, false),
  int64: whole(64n, true),
  uint64: whole(64n, false),
  float16: fc.integer({ min: 0, max: 0x7bff }).map((half) => halfToNumber(numberToHalf(halfToNumber(half)))),
  float32: fc.float(real),
  float64: fc.double(real),
} as const;

interface Answer {
  readonly registers: readonly number[];
  readonly decoded: string;
}

/** Everything in one run of the judge: starting Python takes longer than all its work. */
async function judge(jobs: readonly object[]): Promise<Answer[][]> {
  const child = spawn('/usr/bin/python3', [join(import.meta.dirname, 'pymodbus-payload.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(jobs.map((job) => `${JSON.stringify(job)}\n`).join(''));
  let said = '';
  for await (const text of child.stdout) said += text;
  return said
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('values in registers, judged by the payload builder and decoder of pymodbus', () => {
  it('lie in the same registers and mean the same, for every number type in every byte order', async () => {
    const jobs = Object.entries(TYPES).flatMap(([type, arbitrary]) => {
      const values = fc
        .sample<bigint | number>(arbitrary, { numRuns: 60, seed: 4711 })
        .map((value) => String(Number(value) === 0 ? 0 : value));
      return Object.entries(ORDERS).map(([order, ends]) => ({ type, order, values, ...ends }));
    });
    const answers = await judge(jobs);
    expect(answers.length).toBe(36);
    for (const [index, job] of jobs.entries()) {
      const { type, order } = job;
      if (!isType(type) || !isOrder(order)) throw new Error('unknown');
      const format = formatOf({ type, order });
      for (const [at, text] of job.values.entries()) {
        const { registers, decoded } = answers[index]?.[at] ?? { registers: [], decoded: '' };
        const value = Number.isSafeInteger(Number(text)) || type.startsWith('float') ? Number(text) : text;
        const ours = format.encode(value);
        const words = Array.from({ length: format.registers }, (_, word) => ours.readUInt16BE(2 * word));
        expect(words, `${type} ${order} ${text}`).toEqual(registers);
        const reading = format.decode(ours, 0);
        const theirs = type.startsWith('float') ? Number(decoded) : BigInt(decoded);
        const found = reading.ok
          ? type.startsWith('float')
            ? Number(reading.value)
            : BigInt(String(reading.value))
          : undefined;
        expect(found, `${type} ${order} ${text}`).toBe(theirs);
      }
    }
  });
});

function isType(text: string): text is keyof typeof TYPES {
  return Object.hasOwn(TYPES, text);
}

function isOrder(text: string): text is keyof typeof ORDERS {
  return Object.hasOwn(ORDERS, text);
}
