import { type Fault, faults } from './faults.ts';
import { now, pause, within } from './process.ts';
import { randomOf, shuffled } from './random.ts';
import { World } from './world.ts';

/** After a fault everything is well again within this (ms), unaided. */
const RECOVERY_MS = 40_000;
/** Of its own accord an agent ends within 2 s of SIGTERM; a busy machine may add to that. */
const STOP_MS = 4000;

export interface Outcome {
  readonly fault: string;
  readonly detectedMs: number | undefined;
  readonly safeMs: number | undefined;
  readonly recoveredMs: number | undefined;
  /** Commands to the output that never got an answer. */
  readonly lost: number;
}

export interface CampaignOptions {
  readonly project: string;
  readonly faults: number;
  readonly worlds: number;
  readonly seed: number;
  /** Only faults of this name. */
  readonly kind?: string | undefined;
  readonly log: (line: string) => void;
}

export interface Report {
  readonly outcomes: readonly Outcome[];
  readonly wrong: readonly string[];
}

/** Runs worlds beside each other, each with its share of the faults; all kinds equally often. */
export async function campaign(options: CampaignOptions): Promise<Report> {
  const random = randomOf(options.seed);
  const kinds = faults.filter(({ name }) => options.kind === undefined || name === options.kind);
  const deck: Fault[] = [];
  while (deck.length < options.faults) deck.push(...shuffled(kinds, random));
  deck.length = options.faults;
  const outcomes: Outcome[] = [];
  const wrong: string[] = [];
  await Promise.all(
    Array.from({ length: options.worlds }, async (_, at) => {
      // One after the other: all at once would be a fault of its own.
      await pause(at * 700);
      await live(options, at, deck, outcomes, wrong);
    }),
  );
  return { outcomes, wrong };
}

async function live(
  { project, log, ...options }: CampaignOptions,
  at: number,
  deck: Fault[],
  outcomes: Outcome[],
  wrong: string[],
): Promise<void> {
  const seed = options.seed + at + 1;
  const random = randomOf(seed);
  const secured = at % 2 === 0;
  const name = `world ${at + 1}${secured ? ', with keys' : ''}`;
  const world = new World({ project, secured, seed });
  const complain = (what: string) => wrong.push(`${name}: ${what}\n${world.tail(12)}`);
  try {
    await world.open();
    const next = () => take(deck, secured);
    for (let fault = next(); fault; fault = next()) {
      await pause(random() * 400);
      const outcome = await suffer(world, fault, complain);
      outcomes.push(outcome);
      log(`${name}: ${fault.name}: ${JSON.stringify(outcome)}`);
      if (outcome.recoveredMs === undefined) break;
    }
    await finish(world, complain);
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
  } finally {
    // The last lines of the controller are on their way.
    await pause(1000);
    world.record.judge(now());
    for (const what of new Set(world.record.wrong)) complain(what);
    await world.close();
  }
}

/** The next fault that fits a world. */
function take(deck: Fault[], secured: boolean): Fault | undefined {
  const at = deck.findIndex((fault) => secured || !fault.secured);
  return at < 0 ? undefined : deck.splice(at, 1)[0];
}

async function suffer(world: World, fault: Fault, complain: (what: string) => void): Promise<Outcome> {
  // Only an output that is on can be seen to go safe.
  await within(5000, () => (world.record.level?.value ?? 0) > 0);
  const begun = now();
  await fault.inject(world);
  const over = now();
  const { safeMs, noticed } = fault;
  const safe = safeMs === undefined ? undefined : await within(safeMs + 2000, () => world.record.safeAt(begun));
  const detected = noticed && (await within(5000, () => noticed(world, begun)));
  const recovered = await within(RECOVERY_MS, () => world.healthySince(Math.max(over, safe ?? 0, detected ?? 0)));
  const lost = world.record.lost(begun, (recovered ?? now()) - 1500);
  if (noticed && detected === undefined) complain(`promise 5: nobody noticed: ${fault.name}`);
  if (safeMs !== undefined && (safe === undefined || safe - begun > safeMs))
    complain(`promise 4: after ${fault.name} the output was safe in ${ms(safe, begun) ?? '(never)'} ms, not ${safeMs}`);
  if (recovered === undefined) complain(`promise 8: no recovery from ${fault.name}`);
  if (fault.harmless && lost > 0) complain(`promise 5: ${fault.name} cost ${lost} commands to other hardware`);
  const refused = fault.harmless ? world.record.refused(begun, recovered ?? now()) : [];
  if (refused.length > 0) complain(`promise 5: with ${fault.name} commands to other hardware were refused: ${refused}`);
  return {
    fault: fault.name,
    detectedMs: ms(detected, begun),
    safeMs: ms(safe, begun),
    recoveredMs: ms(recovered, over),
    lost,
  };
}

/** A newcomer knows everything (promise 6); a stop is short, and leaves outputs in their exit state (promises 4 and 8). */
async function finish(world: World, complain: (what: string) => void): Promise<void> {
  const pins = world.program(['pins', '--json', '--bus', '127.0.0.1:5012:5013']);
  await within(15_000, () => pins.ended);
  for (const pin of ['level', 'valve', 'temp', 'weight']) {
    if (!pins.said(new RegExp(`"pin_name":"${pin}".*"val":|"name":"${pin}"`)))
      complain(`promise 6: a newcomer misses ${pin}`);
  }
  if (world.intruder?.ended !== undefined) complain('the intruder has ended before its time');
  const took = await world.stopAgent();
  if (took === undefined || took > STOP_MS) complain(`promise 8: SIGTERM took ${took ?? 'more than 5000'} ms`);
  if (world.record.level?.value !== 0) complain('promise 4: after the stop the output is not in its exit state');
}

function ms(at: number | undefined, since: number): number | undefined {
  return at === undefined ? undefined : Math.max(0, Math.round(at - since));
}
