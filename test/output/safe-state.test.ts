import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SILENT_AFTER_MS } from '../../src/output/nodes.ts';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const lamp = pinSpec({ name: 'lamp', direction: 'out', initial: false, safe: false });
const led = pinSpec({ ...lamp, controller: 'hall' });
const from = (event: string, node = 'h1', name = 'hall') => ({ event, node, name });

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
function stateFileIn(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dcs-io-outputs-'));
  folders.push(folder);
  return join(folder, 'outputs.json');
}

describe('an output whose controller is lost', () => {
  it('goes to its safe value at once, refuses commands until the controller is back, and does not resume old ones', async () => {
    const { command, clock, hardware, life, take } = await pinBench([led]);
    life.nodes.onNodeMessage(from('birth'));
    await command('lamp', true);
    life.nodes.onNodeMessage(from('leave'));
    await clock.advance(0);
    expect(hardware.get('lamp')).toBe(false);
    expect(take()).toMatchObject([{ val: false, output: { by: 'safe', why: 'hall is not there' } }]);
    expect((await command('lamp', true)).answers).toMatchObject([{ code: 'SAFE_STATE' }]);
    life.nodes.onNodeMessage(from('birth', 'h2'));
    await clock.advance(1000);
    expect(hardware.get('lamp')).toBe(false);
    expect((await command('lamp', true)).answers).toMatchObject([{ val: true }]);
  });

  it('does so when the heartbeat stops, and ignores the leave message of an earlier process', async () => {
    const { command, clock, hardware, life } = await pinBench([led]);
    life.nodes.onNodeMessage(from('heartbeat', 'h1'));
    life.nodes.onNodeMessage(from('birth', 'h2'));
    life.nodes.onNodeMessage(from('leave', 'h1'));
    await command('lamp', true);
    await clock.advance(SILENT_AFTER_MS - 1);
    expect(hardware.get('lamp')).toBe(true);
    await clock.advance(1);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('does so when that node goes on under another name', async () => {
    const { command, clock, hardware, life } = await pinBench([led]);
    life.nodes.onNodeMessage(from('birth'));
    await command('lamp', true);
    life.nodes.onNodeMessage(from('heartbeat', 'h1', 'yard'));
    await clock.advance(0);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('waits at the start for a controller that was never seen, for a limited time', async () => {
    const { command, clock, hardware } = await pinBench([{ ...led, initial: true }]);
    await clock.advance(SILENT_AFTER_MS - 1);
    expect(hardware.get('lamp')).toBe(true);
    await clock.advance(1);
    expect(hardware.get('lamp')).toBe(false);
    expect((await command('lamp', true)).answers).toMatchObject([{ code: 'SAFE_STATE' }]);
  });

  it('"*" is any other node: safe when this one is alone', async () => {
    const { command, clock, hardware, life } = await pinBench([{ ...led, controller: '*' }]);
    life.nodes.onNodeMessage(from('birth', 'a', 'one'));
    life.nodes.onNodeMessage(from('birth', 'b', 'two'));
    await command('lamp', true);
    life.nodes.onNodeMessage(from('leave', 'a', 'one'));
    await clock.advance(0);
    expect(hardware.get('lamp')).toBe(true);
    life.nodes.onNodeMessage(from('leave', 'b', 'two'));
    await clock.advance(0);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('goes to its safe value also when the loss comes during the write of a command', async () => {
    const { command, clock, hardware, life } = await pinBench([led], { latency: '300ms' });
    await clock.advance(1000);
    life.nodes.onNodeMessage(from('birth'));
    const under = command('lamp', true, {}, 100);
    await under;
    life.nodes.onNodeMessage(from('leave'));
    await clock.advance(1000);
    expect(hardware.writes.map(({ value }) => value)).toEqual([false, true, false]);
  });

  it('may be an actor of this process', async () => {
    const { command, clock, hardware, life } = await pinBench([led]);
    life.nodes.setActorPresence('hall', true);
    await command('lamp', true);
    life.nodes.setActorPresence('hall', false);
    await clock.advance(0);
    expect(hardware.get('lamp')).toBe(false);
  });
});

describe('rearm: manual', () => {
  it.each(['lease', 'port', 'controller'])(
    'after the end of a %s only a person lets it be commanded',
    async (cause) => {
      const { command, clock, hardware, life, user, take } = await pinBench([{ ...led, rearm: 'manual' }]);
      const rearm = async () => {
        take();
        const { msg_id } = user.send({ IoMessage: { pin_name: 'lamp', rearm: true } });
        await clock.advance(0);
        return take().filter(({ reply_to }) => reply_to === msg_id);
      };
      life.nodes.onNodeMessage(from('birth'));
      await command('lamp', true, cause === 'lease' ? { hold: 1 } : {});
      if (cause === 'port') hardware.unplug();
      if (cause === 'controller') {
        life.nodes.onNodeMessage(from('leave'));
        await clock.advance(0);
        expect(await rearm()).toMatchObject([{ code: 'SAFE_STATE' }]);
        life.nodes.onNodeMessage(from('birth', 'h2'));
      }
      await clock.advance(150);
      hardware.plug();
      await clock.advance(3000);
      expect(hardware.get('lamp')).toBe(false);
      expect((await command('lamp', true)).answers).toMatchObject([
        { code: 'SAFE_STATE', message: expect.stringContaining('rearmed') },
      ]);
      expect(await rearm()).toMatchObject([{ subject: 'IoMessage', val: false }]);
      expect((await command('lamp', true)).answers).toMatchObject([{ val: true }]);
    },
  );
});

describe('initial: last', () => {
  const last = pinSpec({ ...lamp, initial: { last: true } });
  const life = async (file: string, safe = false) => pinBench([{ ...last, safe, onExit: 'safe' }], {}, file);

  it('is the value before the restart, not the exit value', async () => {
    const file = stateFileIn();
    const first = await life(file);
    await first.command('lamp', true);
    await first.supervisor.stop();
    expect(first.hardware.get('lamp')).toBe(false);
    await first.life.kept.close();
    const second = await life(file);
    expect(second.hardware.writes).toMatchObject([{ value: true }]);
  });

  it.each([undefined, '', '{"version":1,"last":{"lam', '{"version":1,"last":{"lamp":"banana"},"overrides":{}}'])(
    'is the safe value, with a warning, when the file is %j',
    async (text) => {
      const file = stateFileIn();
      if (text !== undefined) writeFileSync(file, text);
      const { hardware, log } = await life(file, true);
      expect(hardware.writes).toMatchObject([{ value: true }]);
      expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    },
  );
});

describe('an override', () => {
  const override = async (bench: Awaited<ReturnType<typeof pinBench>>, message: object) => {
    bench.take();
    const { msg_id } = bench.user.send({ IoMessage: { pin_name: 'lamp', ...message } });
    await bench.clock.advance(0);
    return bench.take().filter(({ reply_to }) => reply_to === msg_id);
  };

  /** The answer, which may wait for the disk. */
  const answered = async (bench: Awaited<ReturnType<typeof pinBench>>, message: object) => {
    const found = await override(bench, message);
    await vi.waitFor(async () => {
      await bench.clock.advance(0);
      found.push(...bench.take().filter(({ reply_to }) => reply_to !== undefined));
      expect(found).toHaveLength(1);
    }, 20_000);
    return found[0];
  };

  it('wins over the bus, over a lost controller and over a lost port, until its time has passed', async () => {
    const bench = await pinBench([led]);
    const { clock, hardware, life, command } = bench;
    life.nodes.onNodeMessage(from('birth'));
    expect(await override(bench, { val: true, override: 60 })).toMatchObject([
      { val: true, output: { by: 'override', override: { val: true, until: clock.unix() + 60, actor: 'user' } } },
    ]);
    expect((await command('lamp', false)).answers).toMatchObject([{ code: 'OVERRIDDEN' }]);
    life.nodes.onNodeMessage(from('leave'));
    hardware.unplug();
    await clock.advance(100);
    hardware.set('lamp', false);
    hardware.plug();
    await clock.advance(5000);
    expect(hardware.get('lamp')).toBe(true);
    await clock.advance(54_899);
    expect(hardware.get('lamp')).toBe(true);
    await clock.advance(1);
    expect(hardware.get('lamp')).toBe(false);
  });

  it('can be ended; then the output is safe, not what it was before', async () => {
    const bench = await pinBench([lamp]);
    await bench.command('lamp', true);
    await override(bench, { val: true, override: 60 });
    expect(await override(bench, { override: 0 })).toMatchObject([{ val: false, output: { by: 'safe' } }]);
    expect(bench.take()).toEqual([]);
    expect((await bench.command('lamp', true)).answers).toMatchObject([{ val: true }]);
  });

  it('that was not confirmed is in force and ends', async () => {
    const bench = await pinBench([lamp], { timeout: '100ms' });
    bench.hardware.fault('lamp', { kind: 'timeout' });
    bench.user.send({ IoMessage: { pin_name: 'lamp', val: true, override: 60 } });
    await bench.clock.advance(200);
    expect(bench.take().at(-1)).toMatchObject({ code: 'TIMEOUT', reply_to: expect.any(String) });
    bench.hardware.set('lamp', true);
    bench.hardware.fault('lamp', undefined);
    expect((await bench.command('lamp', false)).answers).toMatchObject([{ code: 'OVERRIDDEN' }]);
    await bench.clock.advance(60_000);
    expect(bench.hardware.get('lamp')).toBe(false);
  });

  it('cannot do what a rule forbids', async () => {
    const bench = await pinBench([pinSpec({ name: 'guard' }), { ...lamp, rules: { requires: [{ pin: 'guard' }] } }]);
    expect(await override(bench, { val: true, override: 60 })).toMatchObject([{ code: 'RULE', rule: 'requires' }]);
    expect(bench.hardware.get('lamp')).toBe(false);
  });

  it('that cannot be saved says so in its answer', async () => {
    const folder = dirname(stateFileIn());
    writeFileSync(join(folder, 'full'), '');
    const bench = await pinBench([lamp], {}, join(folder, 'full', 'outputs.json'));
    const answer = await answered(bench, { val: true, override: 60 });
    expect(answer).toMatchObject({ val: true, output: { by: 'override', override: { val: true, kept: false } } });
  });

  it('whose disk hangs is answered after a second, and obeys its rules meanwhile', async () => {
    const bench = await pinBench([pinSpec({ name: 'guard' }), { ...lamp, rules: { requires: [{ pin: 'guard' }] } }]);
    bench.hardware.set('guard', true);
    await bench.clock.advance(0);
    bench.life.kept.saveOverride = () => new Promise(() => undefined);
    expect(await override(bench, { val: true, override: 60 })).toEqual([]);
    await bench.clock.advance(900);
    expect(bench.hardware.get('lamp')).toBe(true);
    bench.hardware.set('guard', false);
    await bench.clock.advance(0);
    expect(bench.hardware.get('lamp')).toBe(false);
    await bench.clock.advance(100);
    expect(bench.take().filter(({ reply_to }) => reply_to !== undefined)).toMatchObject([
      { val: false, output: { by: 'rule', override: { val: true, kept: false } } },
    ]);
  });

  it('survives a restart, for what is left of its time', async () => {
    const file = stateFileIn();
    const first = await pinBench([lamp], {}, file);
    const answer = await answered(first, { val: true, override: 60 });
    // When the answer comes it is on the disk.
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ overrides: { lamp: { value: true } } });
    expect(answer).toMatchObject({ val: true, output: { by: 'override', override: { val: true } } });
    expect(JSON.stringify(answer)).not.toContain('kept');
    const second = await pinBench([lamp], {}, file);
    expect(second.hardware.writes).toMatchObject([{ key: 'lamp', value: true }]);
    expect((await second.command('lamp', false)).answers).toMatchObject([{ code: 'OVERRIDDEN' }]);
    await second.clock.advance(60_000);
    expect(second.hardware.get('lamp')).toBe(false);
    await second.life.kept.close();
    const third = await pinBench([lamp], {}, file);
    expect((await third.command('lamp', true)).answers).toMatchObject([{ val: true }]);
  });
});
