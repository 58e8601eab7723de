import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SequentialQueue } from '../../src/driver/kit/sequential-queue.ts';

describe('turns', () => {
  it('each begins when the one before has ended, whether it came off or failed, and settles for who asked', async () => {
    const pieces = fc.array(fc.record({ steps: fc.nat({ max: 4 }), fails: fc.boolean() }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(pieces, async (works) => {
        const turns = new SequentialQueue();
        const seen: string[] = [];
        const outcomes = await Promise.allSettled(
          works.map(({ steps, fails }, at) =>
            turns.run(async () => {
              seen.push(`${at} begins`);
              for (let step = 0; step < steps; step++) await Promise.resolve();
              seen.push(`${at} ends`);
              if (fails) throw new Error(`${at}`);
              return at;
            }),
          ),
        );
        expect(seen).toEqual(works.flatMap((_, at) => [`${at} begins`, `${at} ends`]));
        expect(outcomes).toEqual(
          works.map(({ fails }, at) =>
            fails ? { status: 'rejected', reason: new Error(`${at}`) } : { status: 'fulfilled', value: at },
          ),
        );
      }),
    );
  });
});
