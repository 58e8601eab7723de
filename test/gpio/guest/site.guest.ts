import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { gpio } from '../../../drivers/gpio/driver.ts';
import { Actor } from '../../../src/bus/actor.ts';
import { Bus } from '../../../src/bus/bus.ts';
import { systemClock } from '../../../src/clock/clock.ts';
import type { Channel } from '../../../src/driver/contract.ts';
import { createPin } from '../../../src/io/create-pin.ts';
import { PortRunner } from '../../../src/io/port-runner.ts';
import { isReport } from '../../../src/message/payloads.ts';
import { pinSpec } from '../../support/pin-bench.ts';
import { pinEnvironment } from '../../support/pin-environment.ts';
import { memoryLog, type OpenedPort, openPort } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';
import { asUser, bounce, input, listen, outcome, output, undisturbed } from './contract.ts';
import { gpiod, SimChip } from './sim-chip.ts';

/** Two cards of one make: the same names of lines on both. */
let left: SimChip;
let right: SimChip;
const held: OpenedPort[] = [];
const chips: SimChip[] = [];
beforeAll(() => {
  left = new SimChip('left-card', 4, new Map([[1, 'DOOR']]));
  right = new SimChip('right-card', 6, new Map([[2, 'DOOR']]));
  chips.push(left, right);
});
afterAll(() => {
  for (const chip of chips) chip.remove();
});
beforeEach(() => {
  for (const chip of [left, right]) for (const offset of [0, 1, 2, 3]) chip.pull(offset, false);
});
afterEach(async () => {
  for (const { port } of held.splice(0)) await port.close();
});
async function open(chip: string, ...pins: Parameters<typeof openPort>[2]): Promise<OpenedPort> {
  const made = await openPort(gpio, { chip }, pins);
  held.push(made);
  return made;
}

describe('several chips', () => {
  it('each tell the edges of their own lines, also when lines have the same name or offset', async () => {
    const made = [await open('left-card', input('DOOR'), input(0)), await open('right-card', input('DOOR'), input(0))];
    const seen = await Promise.all(made.flatMap((port) => [listen(port, 0), listen(port, 1)]));
    for (let n = 0; n < 300; n++) {
      left.pull(1, n % 2 === 0);
      right.pull(2, n % 2 === 1);
      right.pull(0, n % 2 === 0);
    }
    left.pull(0, true);
    // The second one begins low and is pulled low first: one edge less.
    await until('all edges', () => seen.map(({ length }) => length).join() === '301,2,300,301');
    expect(seen.map((one) => outcome(one).at(-1))).toEqual([false, true, true, false]);
  });

  it('are found by label after the kernel has renumbered them', async () => {
    const before = [left.device, right.device];
    left.unplug();
    right.unplug();
    right.plug();
    left.plug();
    expect([right.device, left.device]).toEqual(before);
    await open('left-card', output(3, true));
    expect([left.level(3), right.level(3)]).toEqual([true, false]);
    expect(gpiod('gpioinfo', left.device)).toMatch(/line +3: .*"dcs-io" +output/);
  });

  it('with one label are selected by device name; the label is refused, and the error names the chips', async () => {
    const twin = new SimChip('twin-card', 4, new Map(), 'left-card');
    chips.push(twin);
    await expect(open('left-card', input(0))).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: '2 chips have the label left-card',
      found: expect.stringContaining(twin.device),
    });
    await open(twin.device, output(0, true));
    expect([twin.level(0), left.level(0)]).toEqual([true, false]);
    twin.unplug();
  });
});

describe('beside other programs', () => {
  it('gpioset cannot request a line that the agent drives, and gpiomon none that it watches', async () => {
    await open('left-card', output(3, true), input(0));
    const set = spawnSync('gpioset', [left.device, '3=0'], { encoding: 'utf8' });
    expect(set).toMatchObject({ status: 1, stderr: expect.stringContaining('busy') });
    const watch = spawnSync('gpiomon', ['--num-events=1', left.device, '0'], { encoding: 'utf8' });
    expect(watch).toMatchObject({ status: 1, stderr: expect.stringContaining('busy') });
    expect(left.level(3)).toBe(true);
  });

  it('gpiomon sees the same edges in the same order', async () => {
    const edges = 400;
    const made = await open('left-card', input(0));
    const seen = await listen(made, 0);
    const monitor = spawn('gpiomon', ['--line-buffered', '--format=%e', `--num-events=${edges}`, left.device, '1']);
    // From the beginning: it ends by itself with the last edge, and says so once.
    const end = ended(monitor);
    let said = '';
    monitor.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await until('gpiomon to watch', () => /line +1: .*"gpiomon"/.test(gpiod('gpioinfo', left.device)));
    for (let n = 0; n < edges; n++) {
      left.pull(0, n % 2 === 0);
      left.pull(1, n % 2 === 0);
      // The kernel keeps 16 for gpiomon.
      if (n % 8 === 7) await until('gpiomon', () => said.split('\n').length > n + 1);
    }
    await end;
    await until('our edges', () => seen.length === edges + 1);
    const theirs = said
      .trim()
      .split('\n')
      .map((line) => line.startsWith('1'));
    expect(outcome(seen.slice(1))).toEqual(theirs);
    expect(theirs).toHaveLength(edges);
  });

  it('a chip that the user may not open is refused, and the error names the group', async () => {
    appendFileSync('/etc/group', 'plant-io:x:4242:\n');
    const device = `/dev/${left.device}`;
    chownSync(device, 0, 4242);
    chmodSync(device, 0o660);
    // Loaded as root: who may open the chip is to be tried, not who may read this file.
    await (await open('right-card', input(0))).port.close();
    await asUser([], async () => {
      await expect(open('left-card', input(0))).rejects.toMatchObject({
        code: 'NO_PERMISSION',
        message: `gpiochip left-card: this user may not use ${device}; it needs the group plant-io`,
        expected: expect.stringContaining('usermod -aG plant-io'),
      });
      const sysfs = await openPort(gpio, { chip: 'left-card', backend: 'onoff' }, [output(3, true)]);
      held.push(sysfs);
      expect(outcome(await sysfs.port.read(sysfs.channels))).toEqual(['NO_PERMISSION']);
    });
    await asUser([4242], async () => {
      const { port, channels } = await open('left-card', output(3, true));
      expect(outcome(await port.read(channels))).toEqual([true]);
    });
  });
});

describe('a debounced pin without debouncing in the kernel', () => {
  it('reports the stable level once, and nothing for a burst that ends at the old level', async () => {
    const bus = new Bus({ clock: systemClock });
    const shared = pinEnvironment(bus, memoryLog());
    const spec = pinSpec({ name: 'door', direction: 'in', debounceMs: 300 });
    const channel: Channel = {
      key: 'line 0',
      kind: 'digital',
      direction: 'in',
      address: gpio.pin.parse({ gpio: 0 }),
      debounceMs: 300,
    };
    const options = gpio.options.parse({ chip: 'left-card', backend: 'onoff' });
    const plans = [{ channel, openingValue: () => undefined }];
    const runner = new PortRunner('sim', gpio, options, plans, { clock: systemClock, log: memoryLog() });
    const pin = createPin(shared.table.add(spec, { port: 'sim', key: channel.key }), runner.handle(channel), shared);
    const user = new Actor('user');
    const vals: unknown[] = [];
    user.onPin('door', (message) => {
      if (isReport(message) && message['quality'] === 'good') vals.push(message.val);
    });
    bus.join(user);
    const attachment = bus.attach(pin, (error) => {
      throw error;
    });
    await pin.onStart();
    attachment.open();
    await runner.start();
    await until('the first report', () => vals.length === 1);
    await undisturbed(200, async () => {
      left.pull(0, false);
      await until('low', () => vals.at(-1) === false);
      vals.splice(0, vals.length - 1);
      const first = await bounce(left, 0, 21, true, 5);
      await until('the settled level', () => vals.at(-1) === true);
      const second = await bounce(left, 0, 20, false, 5);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return Math.max(first, second);
    });
    expect(vals).toEqual([false, true]);
    await runner.stop();
    attachment.detach();
    shared.nodes.close();
    bus.close();
  });
});

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.once('close', () => resolve()));
}
