import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const lamp = pinSpec({ name: 'lamp', direction: 'out', initial: false, safe: false });
const from = (event: string) => ({ event, node: 'h1', name: 'hall' });

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
function stateFileIn(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-outage-'));
  folders.push(folder);
  return join(folder, 'outputs.json');
}

describe('a decision that became due while the port was down is applied when it returns, also with on_loss: hold', () => {
  const { safe: _safe, ...plain } = lamp;
  it.each([
    ['the end of a pulse', { ...lamp, onLoss: 'hold' as const }, { pulse: 2 }],
    ['the end of a pulse without a safe value', { ...plain, onExit: 'hold' as const }, { pulse: 2 }],
    ['the end of a lease', { ...lamp, onLoss: 'hold' as const }, { hold: 2 }],
  ])('%s', async (_what, spec, extra) => {
    const { command, hardware, clock } = await pinBench([spec]);
    await command('lamp', true, extra);
    hardware.unplug();
    await clock.advance(5000);
    hardware.plug();
    await clock.advance(5000);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('after the loss of the controller', async () => {
    const { command, hardware, clock, life } = await pinBench([{ ...lamp, controller: 'hall', onLoss: 'hold' }]);
    life.nodes.onNodeMessage(from('birth'));
    await command('lamp', true);
    hardware.unplug();
    life.nodes.onNodeMessage(from('leave'));
    await clock.advance(5000);
    hardware.plug();
    await clock.advance(5000);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('after a rule turned the output off, although the rule would allow it again', async () => {
    const guard = pinSpec({ name: 'guard' });
    const bench = await pinBench([guard, { ...lamp, onLoss: 'hold', rules: { requires: [{ pin: 'guard' }] } }]);
    const { command, hardware, clock, life } = bench;
    hardware.set('guard', true);
    await clock.advance(0);
    await command('lamp', true);
    hardware.unplug();
    await clock.advance(1000);
    // As one on another port would be.
    life.table.update('guard', { val: true, quality: 'good' });
    hardware.plug();
    await clock.advance(5000);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('and a decision that was applied before is not applied again', async () => {
    const { command, hardware, clock } = await pinBench([{ ...lamp, onLoss: 'hold' }]);
    await command('lamp', true, { pulse: 1 }, 2000);
    const before = hardware.writes.length;
    hardware.unplug();
    hardware.set('lamp', true);
    hardware.plug();
    await clock.advance(5000);
    expect(hardware.writes.slice(before)).toEqual([]);
  });
});

describe('the safe value after an outage', () => {
  it('is written again to hardware that did not take it at the opening', async () => {
    const { command, hardware, clock } = await pinBench([lamp]);
    await command('lamp', true);
    hardware.unplug();
    // A device that is just starting refuses: what it shows is what it had.
    const write = hardware.write.bind(hardware);
    hardware.write = () => {
      hardware.write = write;
    };
    hardware.plug();
    await clock.advance(500);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('is written once: an output that is switched on by hand later stays on', async () => {
    const { command, hardware, clock } = await pinBench([lamp]);
    await command('lamp', true);
    hardware.unplug();
    hardware.plug();
    await clock.advance(1000);
    hardware.set('lamp', true);
    hardware.fault('lamp', { kind: 'error', message: 'a bad reading' });
    hardware.fault('lamp', undefined);
    await clock.advance(1000);
    expect(hardware.get('lamp')).toBe(true);
  });
});

describe('an override over an outage of the port', () => {
  it('ends at the safe value also with on_loss: hold', async () => {
    const { user, hardware, clock } = await pinBench([{ ...lamp, onLoss: 'hold' }]);
    user.send({ IoMessage: { pin_name: 'lamp', val: true, override: 60 } });
    await clock.advance(10_000);
    hardware.unplug();
    hardware.plug();
    await clock.advance(10_000);
    expect(hardware.get('lamp')).toBe(true);
    await clock.advance(40_000);
    expect(hardware.get('lamp')).toBe(false);
  });
});

describe('on_loss: rewrite', () => {
  it('does not rewrite a value that the hardware did not take', async () => {
    const { command, hardware, clock, runner } = await pinBench([{ ...lamp, onLoss: 'rewrite' }]);
    runner.port.write = async () => ({ readBack: false });
    expect((await command('lamp', true)).answers).toMatchObject([{ code: 'NOT_TAKEN' }]);
    hardware.unplug();
    hardware.plug();
    await clock.advance(5000);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('sends an output to its safe value when the followed pin is bad', async () => {
    const door = pinSpec({ name: 'door' });
    const follow = { pin: 'door', invert: false, delayMs: 0 };
    const { hardware, clock } = await pinBench([door, { ...lamp, onLoss: 'rewrite', rules: { follow } }]);
    hardware.set('door', true);
    await clock.advance(0);
    expect(hardware.get('lamp')).toBe(true);
    hardware.fault('door', { kind: 'error', message: 'broken' });
    await clock.advance(0);
    expect(hardware.get('lamp')).toBe(false);
  });
});

describe('initial: last', () => {
  it('is the safe value that the output got when its port came back, not the command before the outage', async () => {
    const file = stateFileIn();
    const spec = pinSpec({ ...lamp, initial: { last: true }, onExit: 'safe' });
    const first = await pinBench([spec], {}, file);
    await first.command('lamp', true);
    first.hardware.unplug();
    first.hardware.plug();
    await first.clock.advance(5000);
    expect(first.hardware.get('lamp')).toBe(false);
    await first.supervisor.stop();
    await first.life.kept.close();
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ last: { lamp: false } });
    const second = await pinBench([spec], {}, file);
    expect(second.hardware.writes).toMatchObject([{ value: false }]);
  });
});
