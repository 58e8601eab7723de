import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { allow, newKeys } from '../../src/mesh/security/keys.ts';

/** Outputs must be safe this long after the agent's last heartbeat. */
export const WITHIN_MS = 3000;

/** Addresses of the boiler room on its cables to the hall and to the alley, and of their other ends. */
export const addresses = { boiler: '10.1.1.1', hall: '10.1.1.2', gate: '10.1.2.1', alley: '10.1.2.2' } as const;

/** The settings of a world's attacker. */
export interface Entrance {
  readonly host: string;
  readonly port: number;
  readonly keys?: string;
  readonly serverKey?: string;
}

/** Writes the configuration of a world's nodes and devices. `secured`: on machines of their own, with keys. */
export async function layOut(folder: string, project: string, disk: string, secured: boolean): Promise<Entrance> {
  const put = (name: string, text: string) => writeFileSync(join(folder, name), text);
  for (const name of ['controller.js', 'victim.js']) {
    symlinkSync(join(project, 'scripts/fault-campaign', name), join(folder, name));
  }
  put('clock', '+0');
  put('devices.yaml', 'tcp: 127.0.0.1:1502\nunits:\n  1: [{ coil: 3, value: false }, { holding: 10, value: 215 }]\n');
  const listen = (keys: string) => `listen: 0.0.0.0, security: { keys: ./${keys} }`;
  put(
    'dcs-io.yaml',
    `node: boiler
guardian: ${WITHIN_MS}ms
state: ${disk}
bus: { ${secured ? listen('boiler') : ''} }
web: { listen: "127.0.0.1:8080" }
actors: [./victim.js]
ports:
  board: { driver: mock, record: hardware.jsonl }
  plc: { driver: modbus, tcp: "127.0.0.1:1502", timeout: 300ms, misses: 3 }
  scale: { driver: serial, path: ${join(folder, 'tty')}, framing: { delimiter: "\\n" } }
pins:
  level: { port: board, channel: level, type: analog, direction: out, initial: 0, safe: 0, controller: hall }
  lock: { port: board, channel: lock, direction: out, initial: false, safe: false }
  valve: { port: plc, coil: 3, direction: out, initial: false, safe: false }
  temp: { port: plc, holding: 10, scale: 0.1, poll: 200ms }
  weight: { port: scale, match: 'W([0-9.]+)', type: number, max_age: 1s }
`,
  );
  const broker = `brokers: ["${addresses.boiler}:5012:5013"], `;
  put(
    'hall.yaml',
    `node: hall
guardian: off
state: none
bus: { ${secured ? broker + listen('hall') : ''} }
actors: [./controller.js]
`,
  );
  if (!secured) return { host: '127.0.0.1', port: 5012 };
  const [boiler, hall, guest] = await Promise.all(
    ['boiler', 'hall', 'guest'].map(async (name) => (await newKeys(join(folder, name))).publicKey),
  );
  allow(join(folder, 'boiler'), 'hall', hall ?? '');
  allow(join(folder, 'boiler'), 'guest', guest ?? '', { write: [] });
  allow(join(folder, 'hall'), 'boiler', boiler ?? '');
  return { host: addresses.gate, port: 5012, keys: join(folder, 'guest'), serverKey: boiler ?? '' };
}
