import { EventEmitter } from 'node:events';
import { afterEach, expect, it, vi } from 'vitest';
import { GuardianProcess } from '../../src/agent/guardian-process.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { memoryLog } from '../support/ports.ts';

const spawn = vi.hoisted(() => vi.fn());
vi.mock('node:child_process', () => ({ spawn }));
afterEach(() => {
  spawn.mockReset();
});

function link() {
  const clock = new ManualClock();
  const log = memoryLog();
  const made = new GuardianProcess({ withinMs: 5000, socket: '/nowhere', clock, log });
  const entrust = () => made.setPlan('relays', () => ({ executor: 'file:///none', plan: undefined }));
  return { clock, log, made, entrust };
}

/** What Node gives for a process it could not start for want of descriptors: no pipes, and an error in the next turn. */
function stillborn(): EventEmitter {
  const child = Object.assign(new EventEmitter(), { unref: () => undefined, kill: () => false });
  process.nextTick(() => child.emit('error', Object.assign(new Error('spawn EMFILE'), { code: 'EMFILE' })));
  return child;
}

it.each([
  [
    'memory',
    () => {
      throw Object.assign(new Error('spawn ENOMEM'), { code: 'ENOMEM' });
    },
  ],
  ['descriptors', stillborn],
])('a guardian that cannot be started for want of %s is tried again, and harms nobody', async (_what, start) => {
  spawn.mockImplementation(start);
  const { clock, log, made, entrust } = link();
  expect(entrust).not.toThrow();
  await clock.advance(10_000);
  expect(spawn.mock.calls.length).toBeGreaterThan(3);
  expect(log.lines.filter(({ level }) => level === 'error').at(-1)?.message).toContain('restarting the guardian');
  await made.stop();
});
