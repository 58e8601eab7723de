import { within } from './process.ts';
import type { ReportFailure } from './scene.ts';
import type { World } from './world.ts';

/** An agent ends within 2 s of SIGTERM; a busy machine may add to that. */
const STOP_MS = 4000;

/** Checks that a new node knows all pins (promise 6), and that a stop is short and leaves outputs in their exit state (promises 4 and 8). */
export async function judgeEnding(world: World, fail: ReportFailure): Promise<void> {
  const pins = world.program(['pins', '--json', '--bus', '127.0.0.1:5012:5013']);
  await within(15_000, () => pins.ended);
  for (const pin of ['level', 'valve', 'temp', 'weight']) {
    if (!pins.said(new RegExp(`"pin_name":"${pin}".*"val":|"name":"${pin}"`)))
      fail(`promise 6: a new node misses ${pin}`);
  }
  if (world.attacker?.ended !== undefined) fail('the attacker has ended before its time');
  const took = await world.stopAgent();
  if (took === undefined || took > STOP_MS) fail(`promise 8: SIGTERM took ${took ?? 'more than 5000'} ms`);
  if (world.record.level?.value !== 0) fail('promise 4: after the stop the output is not in its exit state');
}
