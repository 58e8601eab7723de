import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { randomOf, shuffled } from '../../scripts/fault-campaign/random.ts';
import { WorldRecord } from '../../scripts/fault-campaign/record.ts';
import { table } from '../../scripts/fault-campaign/table.ts';

let folder = '';
let record: WorldRecord;
const file = () => join(folder, 'hardware.jsonl');
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dcs-io-record-'));
  record = new WorldRecord(file(), { good: ['valve', 'temp', 'weight'], values: { temp: 21.5, weight: 12.5 } });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const sent = (val: number, at: number, id = `me.${val}`) =>
  record.take(JSON.stringify({ sent: { pin_name: 'level', val }, id, at }));
const heard = (pin_name: string, val: unknown, at: number, more: object = {}) =>
  record.take(JSON.stringify({ heard: { pin_name, val, quality: 'good', last_change: 1, seq: 0, ...more }, at }));
const wrote = (value: number, at: number, by = 7) => {
  appendFileSync(file(), `${JSON.stringify({ key: 'level', value, at, by })}\n`);
  record.judge(Number.POSITIVE_INFINITY);
};

describe('the checker of the fault campaign', () => {
  it('finds nothing wrong with commands carried out in order, and safe values at any time', () => {
    sent(1, 1000);
    wrote(1, 1010);
    wrote(0, 2000);
    sent(2, 2500);
    wrote(2, 2600);
    heard('level', 2, 2601, { reply_to: 'me.2' });
    heard('temp', 21.5, 2700);
    expect(record.wrong).toEqual([]);
    expect(record.lost(0, 3000)).toBe(1);
    expect(record.refused(0, 3000)).toEqual([]);
    record.take(JSON.stringify({ refused: { reply_to: 'me.1', code: 'EXPIRED' }, at: 2900 }));
    expect([record.lost(0, 3000), record.refused(0, 3000), record.refused(2000, 3000)]).toEqual([0, ['EXPIRED'], []]);
    expect([record.safeAt(1500), record.safeAt(2100), record.safeAt(2700)]).toEqual([2000, 2100, undefined]);
  });

  it.each([
    [
      'what only the attacker asks for',
      () => wrote(1_000_000_007, 1000),
      /promise 7: the hardware was given 1000000007/,
    ],
    [
      'an output that only the attacker asks for',
      () => {
        appendFileSync(
          file(),
          '{"key":"lock","value":false,"at":1,"by":7}\n{"key":"lock","value":true,"at":2,"by":7}\n',
        );
        record.judge(Number.POSITIVE_INFINITY);
      },
      /promise 7: lock was driven/,
    ],
    ['a value nobody asked for', () => wrote(9, 1000), /promise 2: the hardware/],
    [
      'a command carried out late',
      () => {
        sent(1, 1000);
        wrote(1, 2600);
      },
      /promise 3: .* 1600 ms after/,
    ],
    [
      'commands carried out in another order',
      () => {
        sent(1, 1000);
        sent(2, 1100);
        wrote(2, 1200);
        wrote(1, 1300);
      },
      /promise 3: 1 was carried out after 2/,
    ],
    ['a wrong value that says it is good', () => heard('temp', 9.9, 1000), /promise 2: temp/],
    ['a report of a level nobody asked for', () => heard('level', 3, 1000), /promise 2: level/],
    [
      'two answers to one command',
      () => {
        sent(1, 1000);
        heard('level', 1, 1100, { reply_to: 'me.1' });
        record.take(JSON.stringify({ refused: { reply_to: 'me.1', code: 'EXPIRED' }, at: 1200 }));
      },
      /two answers/,
    ],
  ])('finds %s', (_, happen, what) => {
    happen();
    expect(record.wrong).toHaveLength(1);
    expect(record.wrong[0]).toMatch(what);
  });

  it('finds a command to an earlier run of the agent', () => {
    const now = Number(process.hrtime.bigint()) / 1e6;
    sent(1, now - 100);
    record.agentStarted(8);
    wrote(1, now + 50, 8);
    expect(record.wrong).toEqual(['promise 3: a command to an earlier run of the agent was carried out']);
  });

  it('calls a world healthy when every pin is good and commands in a row, sent since, were carried out', () => {
    for (const pin of ['valve', 'temp', 'weight']) heard(pin, pin === 'weight' ? 12.5 : 21.5, 1000);
    const answer = (val: number) => heard('level', val, 1510 + 100 * val, { reply_to: `me.${val}` });
    for (let val = 0; val < 12; val++) sent(val, 1500 + 100 * val);
    for (let val = 0; val < 7; val++) answer(val);
    expect(record.healthyAt(1400)).toBeUndefined();
    // One got lost: they are counted anew.
    for (let val = 8; val < 12; val++) answer(val);
    expect(record.healthyAt(1400)).toBeUndefined();
    answer(7);
    expect(record.healthyAt(1400)).toBe(1510);
    expect(record.healthyAt(1650)).toBe(1710);
    expect(record.healthyAt(2100)).toBeUndefined();
    heard('temp', 21.5, 3000, { quality: 'uncertain' });
    expect(record.healthyAt(1400)).toBeUndefined();
    expect(record.notGoodSince('temp', 2900)).toBe(3000);
  });

  it('a seed gives the same campaign again, and the table has every kind of fault', () => {
    const deck = (seed: number) => shuffled([1, 2, 3, 4, 5, 6, 7, 8], randomOf(seed));
    expect(deck(5)).toEqual(deck(5));
    expect(deck(5)).not.toEqual(deck(6));
    const outcome = { detectedMs: undefined, recoveredMs: 70, lost: 2 };
    const rows = table([
      { ...outcome, fault: 'SIGKILL', safeMs: 10 },
      { ...outcome, fault: 'SIGKILL', safeMs: 30 },
    ]).split('\n');
    expect(rows[1]?.split(/ {2,}/)).toEqual(['SIGKILL', '2', '-', '30 (worst 30) ms', '70 (worst 70) ms', '4']);
  });
});
