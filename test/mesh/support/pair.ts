import { inside, type Lab } from './lab.ts';
import { Peer, type Settings } from './peer.ts';

/** Options of a node that other machines can reach. */
export const open = { rx: 5012, tx: 5013, listen: '0.0.0.0', insecure: true };

/** Two machines, their names, and a node on each, linked. */
export interface Pair {
  readonly a: string;
  readonly b: string;
  readonly one: Peer;
  readonly two: Peer;
}

/** Two machines in network `net`, 10.net.1.1 and 10.net.1.2; the second names the first as its broker. */
export async function pairOf(
  lab: Lab,
  first: Partial<Settings> = {},
  second: Partial<Settings> = {},
  net = 1,
): Promise<Pair> {
  const [a, b] = [lab.machine('a'), lab.machine('b')];
  lab.network(1, { [a]: `10.${net}.1.1`, [b]: `10.${net}.1.2` });
  const one = await Peer.node({ ...open, ...first }, a).ready();
  const two = await Peer.node({ ...open, brokers: [`10.${net}.1.1:5012:5013`], ...second }, b).ready();
  await one.line((line) => line['up'] === two.id);
  await two.line((line) => line['up'] === one.id);
  return { a, b, one, two };
}

/** Filters packets of a machine: `input`, `output` or both; a statement of nft each. */
export function filter(machine: string, chains: readonly ('input' | 'output')[], statement: string): void {
  inside(machine, 'nft', 'add', 'table', 'ip', 'cut');
  for (const chain of chains) {
    const network = chain === 'input' ? 'iif' : 'oif';
    inside(machine, 'nft', `add chain ip cut ${chain} { type filter hook ${chain} priority 0; }`);
    inside(machine, 'nft', `add rule ip cut ${chain} ${network} != lo ${statement}`);
  }
}

/** Removes the filters. */
export function heal(machine: string): void {
  inside(machine, 'nft', 'delete', 'table', 'ip', 'cut');
}
