import { afterEach, describe, expect, it } from 'vitest';
import { inside, Lab } from './support/lab.ts';
import { filter, heal, pairOf } from './support/pair.ts';
import { endPeers } from './support/peer.ts';

const labs = [new Lab(), new Lab()] as const;
afterEach(async () => {
  await endPeers();
  for (const lab of labs) lab.close();
});

const OUTAGE_MS = 60_000;
/** Allowance for a machine shared with other tests (ms). */
const busy = 500;

describe('after an outage of 60 s', () => {
  it('both ends talk again within 3.5 s and have each other’s last reports, also at another address', async () => {
    const cut = await pairOf(labs[0], { pin: 'lamp' }, { pin: 'pump' }, 1);
    const moved = await pairOf(labs[1], { pin: 'lamp' }, { pin: 'pump' }, 2);
    filter(cut.b, ['input', 'output'], 'drop');
    inside(moved.b, 'ip', 'link', 'set', 'e1', 'down');
    for (const { one, two } of [cut, moved]) {
      await one.line((line) => line['down'] === two.id, 4000);
      await two.line((line) => line['down'] === one.id, 4000);
      one.send('IoMessage', { pin_name: 'lamp', val: 'changed', last_change: 5 });
      two.send('IoMessage', { pin_name: 'pump', val: 'changed too', last_change: 6 });
    }
    inside(moved.b, 'ip', 'addr', 'flush', 'dev', 'e1');
    inside(moved.b, 'ip', 'addr', 'add', '10.2.1.77/24', 'dev', 'e1');
    await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS));
    heal(cut.b);
    inside(moved.b, 'ip', 'link', 'set', 'e1', 'up');
    const begun = performance.now();
    for (const { one, two } of [cut, moved]) {
      await two.line(({ got }) => got?.payload['IoMessage']?.['val'] === 'changed', 8000);
      await one.line(({ got }) => got?.payload['IoMessage']?.['val'] === 'changed too', 8000);
      expect(performance.now() - begun).toBeLessThan(3500 + busy);
    }
  }, 120_000);
});
