import type { Counted } from './attacks.ts';
import { now, within } from './process.ts';
import type { World } from './world.ts';

const LIMIT_MS = 20_000;

/** Runs all attacks; the agent must count each of their messages (promise 7). */
export async function hostileTraffic(world: World): Promise<void> {
  const begun = now();
  const { attacker, record } = world;
  attacker?.tell('aim');
  if (!(await within(LIMIT_MS, () => attacker?.said(/"aimed":true/, begun)))) {
    record.wrong.push(
      `the attacker was not accepted with its permitted key: ${attacker?.lines.slice(-5).map(({ text }) => text)}`,
    );
    return;
  }
  const before = await world.counters();
  attacker?.tell('burst');
  const line = await within(LIMIT_MS, () => attacker?.said(/"burst":/, begun));
  if (!line) {
    record.wrong.push(`the attacker did not end: ${attacker?.lines.slice(-5).map(({ text }) => text)}`);
    return;
  }
  const sent: Readonly<Record<Counted, number>> = JSON.parse(line.text).burst;
  const missing = async () => {
    const after = await world.counters();
    return Object.entries(sent).flatMap(([counted, times]) => {
      const found = (after?.[counted] ?? 0) - (before?.[counted] ?? 0);
      return found < times ? `${counted}: ${found} of ${times}` : [];
    });
  };
  let found = await missing();
  for (const end = now() + 5000; found.length > 0 && now() < end; ) found = await missing();
  if (found.length > 0) record.wrong.push(`promise 7: hostile messages were not counted: ${found}`);
}
