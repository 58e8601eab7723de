import { describe, expect, it } from 'vitest';
import { SeenMessageIds, StaleReportFilter } from '../../src/mesh/routing/message-filters.ts';
import type { Envelope } from '../../src/message/envelope.ts';

const report = (msg_id: string, pin_name = 'lamp'): Envelope => ({
  sender: [msg_id.split('.')[0] ?? '', 'node'],
  timestamp: 0,
  msg_id,
  payload: { IoMessage: { pin_name, val: true, last_change: 1 } },
});
const command = (msg_id: string): Envelope => ({
  ...report(msg_id),
  payload: { IoMessage: { pin_name: 'lamp', val: true } },
});

describe('a stale report', () => {
  it('is recognized by its serial, per pin and creator', () => {
    const filter = new StaleReportFilter();
    const found = ['a.1', 'a.3', 'a.2', 'a.3', 'a.4'].map((id) => filter.isStale(report(id), 0));
    expect(found).toEqual([false, false, true, false, false]);
    expect(filter.isStale(report('a.1', 'pump'), 0)).toBe(false);
    expect(filter.isStale(report('b.1'), 0)).toBe(false);
  });

  it('is never a command', () => {
    const filter = new StaleReportFilter();
    filter.isStale(report('a.9'), 0);
    expect(filter.isStale(command('a.1'), 0)).toBe(false);
  });

  it('is not each report after one with a forged high serial', () => {
    const filter = new StaleReportFilter();
    filter.isStale(report('a.5'), 0);
    filter.isStale(report('a.999999999999999'), 1);
    expect(filter.isStale(report('a.6'), 2)).toBe(false);
    filter.isStale(report('a.9000'), 3);
    expect(filter.isStale(report('a.7'), 3 + 5000)).toBe(false);
  });
});

describe('a message id', () => {
  it('is known once it was seen, with the node it came from, for at least one generation', () => {
    const seen = new SeenMessageIds(3);
    expect(seen.add('a.1', 'Peer1')).toBe(true);
    for (const id of ['b.1', 'b.2', 'b.3']) seen.add(id);
    expect(seen.add('a.1')).toBe(false);
    expect(seen.origin('a.1')).toBe('Peer1');
    for (const id of ['c.1', 'c.2', 'c.3', 'c.4']) seen.add(id);
    expect(seen.add('a.1')).toBe(true);
    expect(seen.size).toBeLessThanOrEqual(6);
  });

  it('of a later message does not hide an earlier one', () => {
    const seen = new SeenMessageIds();
    seen.add('a.999999999999999');
    expect(seen.add('a.2')).toBe(true);
  });
});
