import { type Fault, faults } from './faults.ts';
import { pause } from './process.ts';
import { randomOf, shuffled } from './random.ts';
import { rigFaults } from './rig-faults.ts';
import { RigWorld } from './rig-world.ts';
import { type Outcome, runFaults } from './scene.ts';
import { World } from './world.ts';

export interface CampaignOptions {
  readonly project: string;
  /** Number of faults in network namespaces, and of worlds that run at the same time. */
  readonly faults: number;
  readonly worlds: number;
  /** Number of faults in the virtual machine, afterwards. */
  readonly rigFaults: number;
  readonly seed: number;
  /** Only faults of this name. */
  readonly kind?: string | undefined;
  readonly log: (line: string) => void;
}

export interface Report {
  readonly outcomes: readonly Outcome[];
  readonly wrong: readonly string[];
}

/** Runs worlds at the same time, each with its share of the faults, then the virtual machine. */
export async function campaign(options: CampaignOptions): Promise<Report> {
  const { project, seed, kind, log } = options;
  const outcomes: Outcome[] = [];
  const wrong: string[] = [];
  const teller = (name: string) => ({
    outcome(outcome: Outcome) {
      outcomes.push(outcome);
      log(`${name}: ${outcome.fault}: ${JSON.stringify(outcome)}`);
    },
    wrong: (what: string) => void wrong.push(what),
  });
  const deck = deal(faults, options.faults, kind, randomOf(seed));
  await Promise.all(
    Array.from({ length: options.faults > 0 ? options.worlds : 0 }, async (_, at) => {
      // Starts them one after the other: starting all at once would be a fault of its own.
      await pause(at * 700);
      const secured = at % 2 === 0;
      const name = `world ${at + 1}${secured ? ', with keys' : ''}`;
      const world = new World({ name, project, secured, seed: seed + at + 1 });
      await runFaults(world, () => take(deck, secured), randomOf(seed + at + 1), teller(name));
    }),
  );
  const rigDeck = deal(rigFaults, options.rigFaults, kind, randomOf(seed));
  if (rigDeck.length > 0) {
    const world = new RigWorld(project);
    await runFaults(world, () => rigDeck.shift(), randomOf(seed), teller(world.name));
  }
  return { outcomes, wrong };
}

function deal<Place>(
  all: readonly Fault<Place>[],
  count: number,
  kind: string | undefined,
  random: () => number,
): Fault<Place>[] {
  const kinds = all.filter(({ name }) => kind === undefined || name === kind);
  const deck: Fault<Place>[] = [];
  const round = kinds.flatMap((fault) => Array.from({ length: fault.share ?? 1 }, () => fault));
  while (kinds.length > 0 && deck.length < count) deck.push(...shuffled(round, random));
  return deck.slice(0, count);
}

/** The next fault that fits a world. */
function take(deck: Fault<World>[], secured: boolean): Fault<World> | undefined {
  const at = deck.findIndex((fault) => secured || !fault.secured);
  return at < 0 ? undefined : deck.splice(at, 1)[0];
}
