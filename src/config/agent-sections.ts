import { isIP, isIPv4 } from 'node:net';
import { dirname, resolve } from 'node:path';
import { type ConfigContext, thisMachine } from './context.ts';
import { descend, displayText, isEmpty, type Located, textOf } from './located.ts';
import type { Problems } from './problems.ts';
import type { ResolvedBus, ResolvedWeb } from './resolved.ts';
import { busSchema, GUARDIAN_TIMEOUT_MS, guardianSchema, stateSchema, webSchema } from './schema.ts';
import { validate } from './validation.ts';

/** Reads `bus:` of `file`; default: on loopback with the ports of aktos-dcs. */
export function readBus(located: Located | undefined, file: string, problems: Problems): ResolvedBus {
  const checked = located && !isEmpty(located) ? validate(busSchema, located, problems) : undefined;
  const { proxy_brokers: proxyBrokers, security, ...rest } = checked?.value ?? busSchema.parse({});
  const keys = security && { keys: resolve(dirname(file), security.keys) };
  const bus = { ...rest, proxyBrokers, ...(keys && { security: keys }) };
  if (located) checkListen(located, bus, problems);
  return bus;
}

function checkListen(located: Located, { listen, insecure, security, rx, tx }: ResolvedBus, problems: Problems): void {
  if (!isLoopback(listen) && !insecure && !security) {
    problems.invalid(
      descend(located, ['listen']).located,
      `listening on ${listen} lets every machine that reaches it command the outputs of this one`,
      {
        expected:
          '127.0.0.1, or security: { keys: ./keys } beside it, or insecure: true where everyone in that network may do so',
      },
    );
  }
  if (rx === tx) {
    problems.invalid(descend(located, ['tx']).located, 'rx and tx must be two different ports', {
      expected: 'rx: 5012, tx: 5013',
    });
  }
}

/** Tells whether no other machine can reach an address. */
export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || (isIPv4(address) && address.startsWith('127.'));
}

const LISTEN = /^(?:\[([^\]\s]+)\]|([^:\s[\]]+)):(\d{1,5})$/;

/** Reads `web:` of `file`. Without the section there is no HTTP server. */
export function readWeb(located: Located | undefined, file: string, problems: Problems): { web?: ResolvedWeb } {
  if (located === undefined) return {};
  // `web:` without a value asks for the defaults.
  const checked = isEmpty(located) ? { value: webSchema.parse({}) } : validate(webSchema, located, problems);
  if (checked === undefined) return {};
  const { listen, users, tls, origins, history } = checked.value;
  const [, bracketed, named = '', port = ''] = LISTEN.exec(listen) ?? [];
  const host = bracketed ?? named;
  const at = (key: string) => descend(located, [key]).located;
  if (Number(port) > 65_535 || (bracketed !== undefined && isIP(bracketed) !== 6) || host === '') {
    problems.invalid(at('listen'), 'listen is an address with a port', {
      expected: '127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080',
    });
    return {};
  }
  if (!isLoopback(host) && Object.keys(users).length === 0) {
    problems.invalid(
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

/** The folder of a system service for its data. It is used when it exists. */
const SERVICE_FOLDER = '/var/lib/dcs-io';

/** Reads `state:`, the folder of data that outlives a restart; default: the service's folder when it exists. */
export function readState(
  located: Located | undefined,
  file: string,
  context: ConfigContext,
  problems: Problems,
): { state?: string } {
  if (located === undefined || isEmpty(located)) {
    return (context.machine ?? thisMachine).exists(SERVICE_FOLDER) ? { state: SERVICE_FOLDER } : {};
  }
  const checked = validate(stateSchema, located, problems);
  if (checked === undefined || checked.value === 'none') return {};
  return { state: resolve(dirname(file), checked.value) };
}

/** Reads `guardian:`, the time after a crash or hang within which outputs reach their safe state, or `off`. */
export function readGuardian(located: Located | undefined, problems: Problems): { guardianMs?: number } {
  if (located === undefined || isEmpty(located)) return { guardianMs: GUARDIAN_TIMEOUT_MS };
  const checked = validate(guardianSchema, located, problems);
  if (checked === undefined || typeof checked.value !== 'number') return {};
  return { guardianMs: checked.value };
}

/** Reads `profiles:`, the folder with the user's own device profiles. */
export function readProfileFolder(
  located: Located | undefined,
  file: string,
  context: ConfigContext,
  problems: Problems,
): string | undefined {
  if (located === undefined || isEmpty(located)) return undefined;
  const folder = resolve(dirname(file), textOf(located) ?? '');
  if (textOf(located) !== undefined && (context.machine ?? thisMachine).exists(folder)) return folder;
  problems.invalid(located, `there is no folder ${displayText(located)}`, {
    expected: `a folder of profiles, <driver>/<maker>/<model>.yaml; looked for ${folder}`,
  });
  return undefined;
}
