import type { Clock } from '../clock/clock.ts';
import { Connection } from './connection.ts';
import type { Sight } from './messages.ts';
import { socketsOf } from './rendezvous.ts';

/** What the guardians of an agent's lives say of themselves; those that do not answer are left out. Changes nothing. */
export async function lookAt(folder: string, identity: string, clock: Clock): Promise<Sight[]> {
  const seen: Sight[] = [];
  for (const path of socketsOf(folder, identity)) {
    const connection = await Connection.open(path, clock);
    if (!connection) continue;
    try {
      const answer = await connection.ask({ kind: 'look' });
      if (answer.kind === 'seen') seen.push(answer);
    } catch {
      // Of another version, or just ending: there is nothing to be told of it.
    } finally {
      connection.close();
    }
  }
  return seen;
}
