import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { AccessControl } from '../../src/mesh/security/access-control.ts';
import { allow, fits, loadKeys, newKeys } from '../../src/mesh/security/keys.ts';
import { newStats } from '../../src/mesh/stats.ts';
import { openSocketFactory } from '../../src/mesh/transport/socket-factory.ts';
import type { Envelope, Payload } from '../../src/message/envelope.ts';
import { quietLog } from './support/log.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

async function keysIn(): Promise<{ folder: string; publicKey: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-access-'));
  folders.push(folder);
  return { folder, publicKey: (await newKeys(folder)).publicKey };
}

/** An access control that is not started: `hall` may write pins called pump…, `other` everything. */
async function twoKeys() {
  const [own, hall, other] = [await keysIn(), await keysIn(), await keysIn()];
  allow(own.folder, 'hall', hall.publicKey, { write: ['pump*'] });
  allow(own.folder, 'other', other.publicKey);
  const sockets = await openSocketFactory(newStats(), quietLog);
  const access = new AccessControl(own.folder, loadKeys(own.folder), new ManualClock(), sockets);
  return { access, hall: hall.publicKey, other: other.publicKey };
}

function message(payload: Payload, creator = 'Actor'): Envelope {
  return { sender: [creator, 'Node'], timestamp: 1, msg_id: `${creator}.0`, payload };
}

describe('a key that may write some pins', () => {
  it('commands nothing else, whatever other subjects the message has', async () => {
    const { access, hall } = await twoKeys();
    const serial = { SerialPortMessage: { port: 'scale', data: 'tare' } };
    const report = { IoMessage: { pin_name: 'pump', val: true, last_change: 1 } };
    const command = { IoMessage: { pin_name: 'pump', val: true } };
    expect(access.refusal(message(command), hall)).toBeUndefined();
    expect(access.refusal(message(serial), hall)).toBe('hall may not write scale');
    // A harmless or allowed subject does not permit the one beside it.
    expect(access.refusal(message({ ...report, ...serial }), hall)).toBe('hall may not write scale');
    expect(access.refusal(message({ ...command, ...serial }), hall)).toBe('hall may not write scale');
    const said = { SerialPortMessage: { port: 'scale', data: '1 kg', source_time: 1 } };
    expect(access.refusal(message({ ...said, IoMessage: { pin_name: 'valve', val: true } }), hall)).toBe(
      'hall may not write valve',
    );
    expect(access.refusal(message({ ...report, ...said }), hall)).toBeUndefined();
  });

  it('takes no long time for names made to be slow for its patterns', () => {
    const begun = performance.now();
    expect(fits('-'.repeat(3000), ['*-*-*-speed', '*-pump-*-speed'])).toBe(false);
    expect(fits('a-pump-b-speed', ['*-*-*-speed'])).toBe(true);
    expect(performance.now() - begun).toBeLessThan(1000);
  });
});

describe('a key that invents actors without end', () => {
  it('does not take the actors of others', async () => {
    const { access, hall, other } = await twoKeys();
    expect(access.refusal(message({ Said: 1 }, 'Victim'), other)).toBeUndefined();
    for (let at = 0; at < 20_000; at++) access.refusal(message({ Said: 1 }, `Made${at}`), hall);
    expect(access.refusal(message({ Said: 1 }, 'Victim'), hall)).toBe('its creator is an actor of another node');
    expect(access.refusal(message({ Said: 1 }, 'Victim'), other)).toBeUndefined();
  });
});
