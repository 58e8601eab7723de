import type { Pin } from './pin-store.ts';

/** What keeps an output from following its commands; shown wherever the output is. */
export interface Hold {
  readonly kind: 'override' | 'safe' | 'rule';
  readonly why: string;
  /** Overrides: unix seconds. */
  readonly until?: number;
}

/** What holds an output, as its report says: at most one of each kind, an override first. */
export function holdsOf({ report }: Pick<Pin, 'report'>): Hold[] {
  const output = report?.['output'];
  if (!isRecord(output)) return [];
  const { by, why, override } = output;
  const reason = typeof why === 'string' ? why : '';
  const holds: Hold[] = [];
  if (isRecord(override)) {
    const until = override['until'];
    const set = `to ${shown(override['val'])} by ${byWhom(override)}`;
    holds.push({ kind: 'override', why: set, ...(typeof until === 'number' && { until }) });
  } else if (by === 'override') holds.push({ kind: 'override', why: reason });
  if (by === 'safe' || by === 'rule') holds.push({ kind: by, why: reason });
  return holds;
}

export function isHeld(pin: Pick<Pin, 'report'>, kind: Hold['kind']): boolean {
  return holdsOf(pin).some((hold) => hold.kind === kind);
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

/** The last command and what became of it, for people. */
export function commandOf({ report }: Pin): string | undefined {
  const output = report?.['output'];
  const command = isRecord(output) ? output['command'] : undefined;
  if (!isRecord(command)) return undefined;
  return `${shown(command['val'])} by ${byWhom(command)}, ${String(command['state'])}`;
}

function byWhom({ node, actor }: Record<string, unknown>): string {
  return actor === undefined ? String(node) : `${String(actor)}@${String(node)}`;
}

function shown(val: unknown): string {
  return val === true ? 'on' : val === false ? 'off' : String(val);
}

function isRecord(found: unknown): found is Record<string, unknown> {
  return typeof found === 'object' && found !== null;
}
