import type { Pin } from './pin-store.ts';

/** Who decides what an output is, as its report says; undefined: an ordinary command, or nothing is said. */
export interface Hold {
  readonly kind: 'override' | 'safe' | 'rule';
  readonly why: string;
  /** Overrides: unix seconds. */
  readonly until?: number;
}

/** What keeps an output from following its commands; shown wherever the output is. */
export function holdOf({ report }: Pin): Hold | undefined {
  const output = report?.['output'];
  if (!isRecord(output)) return undefined;
  const { by, why, override } = output;
  if (by !== 'override' && by !== 'safe' && by !== 'rule') return undefined;
  const until = isRecord(override) ? override['until'] : undefined;
  return { kind: by, why: typeof why === 'string' ? why : '', ...(typeof until === 'number' && { until }) };
}

/** What is wanted of an output; undefined: nothing, or it is not said. */
export function desiredOf({ report }: Pin): unknown {
  const output = report?.['output'];
  return isRecord(output) ? output['desired'] : undefined;
}

/** Whether its reports tell of overrides, so that one can be asked for. */
export function canOverride({ report, facts }: Pin): boolean {
  return facts.direction === 'out' && isRecord(report?.['output']);
}

function isRecord(found: unknown): found is Record<string, unknown> {
  return typeof found === 'object' && found !== null;
}
