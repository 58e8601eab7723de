import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CrashProtection } from '../../src/agent/crash-protection.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { agentIdentity, socketPath } from '../../src/guardian/takeover-socket.ts';
import { configOf } from '../config/fakes.ts';
import { memoryLog } from '../support/ports.ts';

const before = process.env['RUNTIME_DIRECTORY'];
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dcs-io-guardian-'));
  process.env['RUNTIME_DIRECTORY'] = folder;
});
afterEach(() => {
  if (before === undefined) delete process.env['RUNTIME_DIRECTORY'];
  else process.env['RUNTIME_DIRECTORY'] = before;
  rmSync(folder, { recursive: true });
});

describe('the guardian of an earlier run of the same configuration', () => {
  it.each([
    { simulated: false, asked: 1 },
    { simulated: true, asked: 0 },
  ])('is asked $asked times to hand over when all hardware is simulated: $simulated', async ({ simulated, asked }) => {
    const config = configOf('guardian: off\npins: {}');
    let connections = 0;
    const guardian = createServer((socket) => {
      connections++;
      socket.on('data', () => socket.end('{"kind":"yours","unsafe":[],"crashed":false}\n'));
    });
    const path = socketPath(folder, agentIdentity(config.file, config.node), 4_000_000);
    await new Promise<void>((resolve) => guardian.listen(path, resolve));
    await new CrashProtection(config, { clock: systemClock, log: memoryLog(), simulated }).takeOver();
    expect(connections).toBe(asked);
    guardian.close();
  });
});
