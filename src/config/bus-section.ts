import { isIPv4 } from 'node:net';
import { dirname, resolve } from 'node:path';
import { descend, type Located } from './located.ts';
import type { Problems } from './problems.ts';
import type { ResolvedBus } from './resolved.ts';
import { busSchema } from './schema.ts';
import { check } from './schema-issues.ts';
import { isEmpty } from './section.ts';

/** Reads `bus:` of `file`. Absent: on loopback with the ports of aktos-dcs. */
export function readBus(located: Located | undefined, file: string, problems: Problems): ResolvedBus {
  const checked = located && !isEmpty(located) ? check(busSchema, located, problems) : undefined;
  const { proxy_brokers: proxyBrokers, security, ...rest } = checked?.value ?? busSchema.parse({});
  const keys = security && { keys: resolve(dirname(file), security.keys) };
  const bus = { ...rest, proxyBrokers, ...(keys && { security: keys }) };
  if (located) checkReach(located, bus, problems);
  return bus;
}

function checkReach(located: Located, { listen, insecure, security, rx, tx }: ResolvedBus, problems: Problems): void {
  if (!isLoopback(listen) && !insecure && !security) {
    problems.wrong(
      descend(located, ['listen']).located,
      `listening on ${listen} lets every machine that reaches it command the outputs of this one`,
      {
        expected:
          '127.0.0.1, or security: { keys: ./keys } beside it, or insecure: true where everyone in that network may do so',
      },
    );
  }
  if (rx === tx) {
    problems.wrong(descend(located, ['tx']).located, 'rx and tx must be two different ports', {
      expected: 'rx: 5012, tx: 5013',
    });
  }
}

/** Addresses that no other machine can reach. */
export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || (isIPv4(address) && address.startsWith('127.'));
}
