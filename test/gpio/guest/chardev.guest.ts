import { closeSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { prepare } from '../../../drivers/gpio/crash-plan.ts';
import { gpio } from '../../../drivers/gpio/driver.ts';
import { systemClock } from '../../../src/clock/clock.ts';
import type { Port, Reading, SafeWrite } from '../../../src/driver/contract.ts';
import type { SafeStateExecutor } from '../../../src/driver/crash-plan.ts';
import { loadFdPassing } from '../../../src/guardian/fd-passing.ts';
import { memoryLog, type OpenedPort, openPort } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';
import { bounce, channelAt, gpioPromises, input, listen, outcome, output, undisturbed } from './contract.ts';
import { drivenLevels, gpiod, holdLine } from './sim-chip.ts';

const on = gpioPromises('chardev', 'chardev-sim');
const info = (offset: number) =>
  gpiod('gpioinfo', on.chip.device)
    .split('\n')
    .find((line) => new RegExp(`line +${offset}:`).test(line)) ?? '';
/** What a guardian would carry out: it has descriptors of its own. */
async function executorOf(port: Port, writes: readonly SafeWrite[]): Promise<SafeStateExecutor> {
  const { plan, descriptors = [] } = port.crashPlan?.(writes) ?? {};
  const passing = await loadFdPassing();
  const { own, other } = passing.pair();
  passing.send(own, descriptors);
  const passed = passing.receive(other, descriptors.length);
  for (const fd of [own, other]) closeSync(fd);
  return prepare(structuredClone(plan), { clock: systemClock, log: memoryLog() }, passed);
}
const flush = () => new Promise<void>((resolve) => setTimeout(resolve, 500));

describe('gpio chardev', () => {
  it('is what auto takes', async () => {
    const { port, log } = await openPort(gpio, { chip: on.chip.label }, [output(3, true)]);
    expect(info(3)).toContain('"dcs-io"');
    expect(log.lines.map(({ message }) => message)).toContain('gpio chardev-sim: chardev');
    await port.close();
  });

  it('a crash plan without descriptors waits until the kernel has released the lines, requests them with safe levels, and holds them', async () => {
    const { port, channels } = await openPort(gpio, { chip: on.chip.label }, [
      output(3, true),
      output(4, false),
      output(5, true, { drive: 'open-drain' }),
    ]);
    const levels = () => [3, 4, 5].map((line) => on.chip.level(line));
    const writes = channels.map((channel, at) => ({ channel, value: at === 1 }));
    const plan = structuredClone(port.crashPlan?.(writes)?.plan);
    const executor = await prepare(plan, { clock: systemClock, log: memoryLog() }, []);
    await expect(executor.attempt()).rejects.toMatchObject({ code: 'BUSY' });
    expect(levels().slice(0, 2)).toEqual([true, false]);
    await port.close();
    await executor.attempt();
    expect(levels()).toEqual([false, true, false]);
    expect(info(3)).toMatch(/"dcs-io guardian" *output/);
    expect(info(5)).toMatch(/output.*open-drain/);
    // One in foreign hands keeps no other waiting.
    await executor.release();
    const holder = await holdLine(on.chip, 4, false);
    await expect(executor.attempt()).rejects.toMatchObject({ code: 'BUSY' });
    expect(info(3)).toContain('"dcs-io guardian"');
    holder.kill();
    await until('gpioset to end', () => holder.exitCode !== null || holder.signalCode !== null);
    await executor.attempt();
    expect(on.chip.level(4)).toBe(true);
    await executor.release();
    const next = await openPort(gpio, { chip: on.chip.label }, [output(3, true)]);
    expect(info(3)).toContain('"dcs-io"');
    await next.port.close();
  });

  it('a crash plan with descriptors holds the lines, drives those with a safe level, an input among them, and leaves the others', async () => {
    const pins = [output(3, true), output(4, true), output(5, true), output(6, true, { drive: 'open-drain' })];
    const made = await openPort(gpio, { chip: on.chip.label }, pins);
    await made.port.float?.(channelAt(made, 2));
    const executor = await executorOf(
      made.port,
      [3, 5, 6].map((line, at) => ({ channel: channelAt(made, [0, 2, 3][at] ?? 0), value: line === 5 })),
    );
    await made.port.close();
    expect(info(4)).toMatch(/"dcs-io" +output/);
    expect(info(5)).toMatch(/"dcs-io" +input/);
    const driven = await drivenLevels(on.chip, 4, () => executor.attempt());
    expect(driven).not.toContain('0');
    expect([3, 4, 5, 6].map((line) => on.chip.level(line))).toEqual([false, true, true, false]);
    expect(info(6)).toMatch(/output.*open-drain/);
    await executor.release();
    expect(info(4)).toMatch(/unused/);
  });

  it('goes on with handed-over lines; those with other settings are requested again, unused ones released', async () => {
    const made = await openPort(gpio, { chip: on.chip.label }, [
      output(3, true),
      output(4),
      output(5, true, { drive: 'open-drain' }),
      output(6, true, { drive: 'open-source' }),
    ]);
    await made.port.write(channelAt(made, 1), true);
    const executor = await executorOf(made.port, []);
    await made.port.close();
    const estate = executor.handOver?.();
    expect(estate?.descriptors).toHaveLength(4);
    const inherited = estate ? [structuredClone(estate)] : [];
    let next: OpenedPort | undefined;
    const driven = await drivenLevels(on.chip, 4, async () => {
      // Line 5 is an input now, line 6 nobody's; 7 is new.
      const pins = [output(3, false), output(4), input(5), output(7, true)];
      next = await openPort(gpio, { chip: on.chip.label }, pins, systemClock, inherited);
    });
    expect(driven).not.toContain('0');
    expect(next && outcome(await next.port.read(next.channels))).toEqual([false, true, false, true]);
    expect([3, 4, 5, 7].map(info).join('\n')).toMatch(/output.*\n.*output.*\n.*input.*\n.*output/);
    expect(info(6)).toMatch(/unused/);
    await next?.port.close();
    expect(info(4)).toMatch(/unused/);
  });

  it('requests the lines again when the handed-over descriptors belong to a chip that is gone', async () => {
    const made = await openPort(gpio, { chip: on.chip.label }, [output(3, false)]);
    const executor = await executorOf(made.port, [{ channel: channelAt(made, 0), value: true }]);
    const estate = (await executorOf(made.port, [])).handOver?.();
    on.chip.unplug();
    await made.port.close();
    on.chip.plug();
    await executor.attempt();
    expect([on.chip.level(3), info(3)]).toEqual([true, expect.stringContaining('"dcs-io guardian"')]);
    await executor.release();
    const next = await openPort(gpio, { chip: on.chip.label }, [output(3, true)], systemClock, estate ? [estate] : []);
    expect([on.chip.level(3), info(3)]).toEqual([true, expect.stringContaining('"dcs-io"')]);
    await next.port.close();
  });

  it('finds a line by name', async () => {
    const name = `${on.chip.label}-door`;
    on.chip.pull(7, true);
    const { port, channels } = await on.open(input(name), input('no-such-name'));
    expect(outcome(await port.read(channels))).toEqual([true, 'NO_SUCH_CHANNEL']);
    const [, wrong] = await port.read(channels);
    expect(wrong?.ok === false && wrong.error.expected).toBe(name);
  });

  it('refuses the second of two pins on one line, by number and by name', async () => {
    const { port, channels } = await on.open(input(7), input(`${on.chip.label}-door`));
    expect(outcome(await port.read(channels))).toEqual([false, 'BAD_CONFIG']);
  });

  it('names the holder of a busy line', async () => {
    const holder = await holdLine(on.chip, 4, true);
    const { port, channels } = await on.open(input(4));
    const [reading] = await port.read(channels);
    expect(reading?.ok === false && reading.error.message).toBe('chardev-sim line 4 is held by gpioset');
    holder.kill();
    await until('gpioset to end', () => holder.exitCode !== null || holder.signalCode !== null);
  });

  it('sets bias and drive as gpioinfo sees them', async () => {
    await on.open(
      input(0, { bias: 'pull-up' }),
      input(1, { bias: 'pull-down' }),
      input(2, { bias: 'off' }),
      output(3, true, { drive: 'open-drain' }),
      output(4, false, { drive: 'open-source' }),
    );
    expect(info(0)).toMatch(/input.*pull-up/);
    expect(info(1)).toMatch(/input.*pull-down/);
    expect(info(2)).toMatch(/input.*bias-disabled/);
    expect(info(3)).toMatch(/output.*open-drain/);
    expect(info(4)).toMatch(/output.*open-source/);
  });

  it('does not drive open-drain and open-source outputs without an opening value', async () => {
    on.chip.pull(3, false);
    on.chip.pull(4, true);
    const { port, channels } = await on.open(
      output(3, undefined, { drive: 'open-drain' }),
      output(4, undefined, { drive: 'open-source' }),
    );
    // Not driven: the outside decides.
    expect(outcome(await port.read(channels))).toEqual([false, true]);
  });

  it('gives every edge the kernel’s wall-clock time, in order', async () => {
    const made = await on.open(input(0));
    const seen = await listen(made, 0);
    const before = Date.now() / 1000;
    for (let n = 0; n < 50; n++) on.chip.pull(0, n % 2 === 0);
    await until('50 edges', () => seen.length === 51);
    const after = Date.now() / 1000;
    const edges = seen.slice(1);
    expect(outcome(edges)).toEqual(edges.map((_, n) => n % 2 === 0));
    const times = edges.flatMap((edge) => (edge.ok && edge.sourceTime !== undefined ? [edge.sourceTime] : []));
    expect(times.length).toBe(50);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times.at(0)).toBeGreaterThan(before - 0.005);
    expect(times.at(-1)).toBeLessThan(after + 0.005);
  });

  it('tells the stable level of a debounced line, and no bounce', async () => {
    let seen: Reading[] = [];
    await undisturbed(200, async () => {
      on.chip.pull(0, false);
      const made = await on.open({ ...input(0), debounceMs: 300 });
      expect(made.port.debounces).toBe(true);
      seen = await listen(made, 0);
      const first = await bounce(on.chip, 0, 21, true);
      await until('the settled level', () => outcome(seen).at(-1) === true);
      await flush();
      // A burst that ends where it began is no change.
      const second = await bounce(on.chip, 0, 20, false);
      await flush();
      expect(made.counters.get('levels_missed')).toBeUndefined();
      await made.port.close();
      return Math.max(first, second);
    });
    expect(outcome(seen)).toEqual([false, true]);
  });

  it('counts the edges that the kernel dropped, reports them, and ends at the real level', async () => {
    const made = await on.open(input(0));
    const seen = await listen(made, 0);
    const edges = 3001;
    // Within one turn of the event loop: nobody reads, and the kernel keeps 1024.
    for (let n = 0; n < edges; n++) on.chip.pull(0, n % 2 === 0);
    const lost = () => made.counters.get('edges_lost') ?? 0;
    const told = () => seen.filter((one) => one.ok && one.sourceTime !== undefined).length;
    await until('every edge, told or counted', () => told() + lost() >= edges);
    await flush();
    expect(lost()).toBeGreaterThan(1000);
    expect(told() + lost()).toBe(edges);
    expect(outcome(seen).at(-1)).toBe(true);
    expect(made.log.lines.some(({ level, message }) => level === 'warn' && message.includes('dropped edges'))).toBe(
      true,
    );
  });

  it('shares one descriptor among lines of equal settings', async () => {
    const { readdirSync, readlinkSync } = await import('node:fs');
    const lines = () =>
      readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).includes('gpio-line');
        } catch {
          return false;
        }
      }).length;
    await on.open(input(0), input(1), input(2), output(3, true), output(4, false), output(5, true), input(6));
    expect(lines()).toBe(2);
  });

  it('drives what gpioget reads on another line’s view, and reads what gpioset drives', async () => {
    const made = await on.open(output(3, false), input(0));
    await made.port.write(channelAt(made, 0), true);
    expect(info(3)).toMatch(/output/);
    expect(on.chip.level(3)).toBe(true);
    await made.port.close();
    on.chip.pull(3, true);
    expect(gpiod('gpioget', on.chip.device, '3')).toBe('1');
  });

  it('counts every edge while the level of the same line is told too', async () => {
    const made = await on.open(
      input(0),
      input(0, { count: 'rising', report: '50ms' }),
      input(1, { count: 'falling', report: '50ms' }),
    );
    const counts = [await listen(made, 1), await listen(made, 2)];
    for (let n = 0; n < 2000; n++) on.chip.pull(n % 4 < 2 ? 0 : 1, n % 2 === 0);
    await until('500 each', () => counts.every((seen) => outcome(seen).at(-1) === 500));
    // Told at a bounded rate, not with every edge.
    for (const seen of counts) expect(seen.length).toBeLessThan(200);
    await made.port.preset?.(channelAt(made, 1), 0);
    on.chip.pull(0, true);
    await until('one more', () => outcome(counts[0] ?? []).at(-1) === 1);
  });

  it('measures a frequency by the kernel’s time stamps', async () => {
    const made = await on.open(input(0, { measure: 'frequency', report: '200ms' }), input(0));
    const [hz, level] = [await listen(made, 0), await listen(made, 1)];
    // In one turn of the event loop, so that all edges are there when the frequency is told for the first time; uneven,
    // so that only the right stamps give the right frequency.
    for (let n = 0; n <= 80; n++) {
      on.chip.pull(0, n % 2 === 0);
      const end = performance.now() + (n % 7);
      while (performance.now() < end);
    }
    await until('all edges', () => level.length === 82);
    const first = await until('a frequency', () => outcome(hz).find((value) => typeof value === 'number' && value > 0));
    const stamps = level.flatMap((one) => (one.ok && one.value === true && one.sourceTime ? [one.sourceTime] : []));
    const [begin = 0, ...more] = stamps;
    const possible = more.map((stamp, at) => (at + 1) / (stamp - begin));
    expect(possible).toHaveLength(40);
    // A slow machine may tell it before the last edges have come; it is right for those that had.
    expect(Math.min(...possible.map((one) => Math.abs(Number(first) / one - 1)))).toBeLessThan(1e-4);
  });

  it('follows an encoder both ways', async () => {
    const made = await on.open(input(0, { encoder: 1, report: '50ms' }));
    const seen = await listen(made, 0);
    const phase = (step: number) => [1, 2].includes(((step % 4) + 4) % 4);
    let at = 0;
    const turn = (by: 1 | -1) => {
      at += by;
      on.chip.pull(0, phase(at));
      on.chip.pull(1, phase(at - 1));
    };
    for (let n = 0; n < 400; n++) turn(1);
    for (let n = 0; n < 500; n++) turn(-1);
    await until('position -100', () => outcome(seen).at(-1) === -100);
    expect(made.counters.get('encoder_steps_lost')).toBeUndefined();
  });

  it('sets several outputs in one system call', async () => {
    const made = await on.open(output(3, false), output(4, true), output(5, false));
    const writes = [true, false, true].map((value, at) => ({ channel: channelAt(made, at), value }));
    expect(await made.port.writeAll?.(writes)).toEqual([{ readBack: true }, { readBack: false }, { readBack: true }]);
    expect([3, 4, 5].map((offset) => on.chip.level(offset))).toEqual([true, false, true]);
  });
});
