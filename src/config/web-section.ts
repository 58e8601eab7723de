import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import { isLoopback } from './bus-section.ts';
import { descend, type Located } from './located.ts';
import type { Problems } from './problems.ts';
import type { ResolvedWeb } from './resolved.ts';
import { webSchema } from './schema.ts';
import { check } from './schema-issues.ts';

const LISTEN = /^(?:\[([^\]\s]+)\]|([^:\s[\]]+)):(\d{1,5})$/;

/** Reads `web:` of `file`. Absent: no page and no HTTP at all. */
export function readWeb(located: Located | undefined, file: string, problems: Problems): { web?: ResolvedWeb } {
  if (located === undefined) return {};
  // `web:` with nothing behind it asks for the page as it is by default.
  const checked =
    located.node.kind === 'scalar' && located.node.value === null
      ? { value: webSchema.parse({}) }
      : check(webSchema, located, problems);
  if (checked === undefined) return {};
  const { listen, users, tls, origins, history } = checked.value;
  const [, bracketed, named = '', port = ''] = LISTEN.exec(listen) ?? [];
  const host = bracketed ?? named;
  const at = (key: string) => descend(located, [key]).located;
  if (Number(port) > 65_535 || (bracketed !== undefined && isIP(bracketed) !== 6) || host === '') {
    problems.wrong(at('listen'), 'listen is an address with a port', {
      expected: '127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080',
    });
    return {};
  }
  if (!isLoopback(host) && Object.keys(users).length === 0) {
    problems.wrong(
      at('listen'),
      `listening on ${host} without users lets everyone in that network command the outputs`,
      {
        expected:
          '127.0.0.1:8080, or users: { NAME: { role: operate, password: … } } beside it; `dcs-io web password` makes the password line',
      },
    );
  }
  if (!isLoopback(host) && tls === undefined) {
    problems.warning(at('listen').at, 'web.listen', 'passwords, tokens and values cross the network unencrypted', {
      expected: 'tls: { cert: FILE, key: FILE } beside it',
    });
  }
  const path = (name: string) => resolve(dirname(file), name);
  return {
    web: {
      host,
      port: Number(port),
      users: Object.entries(users).map(([name, user]) => ({ name, ...user })),
      origins,
      historyMs: history,
      ...(tls && { tls: { cert: path(tls.cert), key: path(tls.key) } }),
    },
  };
}
