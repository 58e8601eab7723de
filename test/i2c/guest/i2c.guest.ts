import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import { afterEach, describe, expect, it } from 'vitest';
import { prepare } from '../../../drivers/i2c/crash-plan.ts';
import { i2c } from '../../../drivers/i2c/driver.ts';
import { systemClock } from '../../../src/clock/clock.ts';
import { memoryLog, type OpenedPort, openPort, type PinKeys } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';

/** The kernel's i2c-stub: an adapter that only knows SMBus, with chips at 0x20 and 0x48 that remember. */
const adapters = '/sys/class/i2c-dev';
const bus = readdirSync(adapters).find((name) => readFileSync(`${adapters}/${name}/name`, 'utf8').includes('stub'));
const number = bus?.replace('i2c-', '') ?? 'none';
const set = (...words: string[]) => execFileSync('i2cset', ['-y', number, ...words]);
const get = (...words: string[]) => execFileSync('i2cget', ['-y', number, ...words], { encoding: 'utf8' }).trim();

let held: OpenedPort | undefined;
afterEach(async () => held?.port.close());
const at = ({ channels }: OpenedPort, index: number) => {
  const channel = channels[index];
  if (!channel) throw new Error(`no pin ${index}`);
  return channel;
};

describe.each(['kernel', 'i2c-bus'] as const)('I2C on a real kernel by %s', (backend) => {
  const open = async (...pins: PinKeys[]) => {
    held = await openPort(i2c, { bus: `/dev/${bus}`, backend }, pins);
    return held;
  };
  const init = [
    { register: 0, mask: 8, value: 8, direction: 'in' },
    { register: 0, mask: 8, value: 0, direction: 'out' },
  ];

  it('i2c-tools read what an MCP23017 output drives, and set what its input reads', async () => {
    set('0x20', '0x00', '0xff');
    set('0x20', '0x14', '0x81');
    const made = await open(
      { keys: { address: 0x20, register: 0x12, write_register: 0x14, bit: 3, init }, direction: 'out', start: true },
      { keys: { address: 0x20, register: 0x13, bit: 2, poll: '20ms' }, direction: 'in' },
    );
    expect([get('0x20', '0x14'), get('0x20', '0x00')]).toEqual(['0x89', '0xf7']);
    expect(await made.port.write(at(made, 0), false)).toEqual({ readBack: false });
    expect(get('0x20', '0x14')).toBe('0x81');
    const seen: unknown[] = [];
    made.listen(at(made, 1), (reading) => seen.push(reading.ok && reading.value));
    set('0x20', '0x13', '0x04');
    await until('the input', () => seen.at(-1) === true);
    set('0x20', '0x13', '0xfb');
    await until('the input', () => seen.at(-1) === false);
  });

  it('its crash plan makes it safe after the end of the agent; an absent chip does not delay the others', async () => {
    set('0x20', '0x00', '0xff');
    set('0x20', '0x14', '0x81');
    const made = await open(
      { keys: { address: 0x21, register: 0x14, bit: 1 }, direction: 'out' },
      { keys: { address: 0x20, register: 0x12, write_register: 0x14, bit: 3, init }, direction: 'out', start: true },
    );
    expect(get('0x20', '0x14')).toBe('0x89');
    const will = made.port.crashPlan?.(made.channels.map((channel) => ({ channel, value: false })));
    expect(will?.executor).toMatch(/drivers\/i2c\/crash-plan/);
    await made.port.close();
    // As it goes to the other process.
    const plan = deserialize(serialize(will?.plan));
    const executor = await prepare(plan, { clock: systemClock, log: memoryLog() }, []);
    await expect(executor.attempt()).rejects.toMatchObject({ code: 'PORT_DOWN' });
    expect(get('0x20', '0x14')).toBe('0x81');
    await executor.release();
  });

  it('a temperature of two bytes has them in the right order', async () => {
    set('0x48', '0x00', '0x8019', 'w');
    const made = await open({ keys: { address: 0x48, register: 0, type: 'i16be' }, direction: 'in' });
    const [reading] = await made.port.read(made.channels);
    expect(reading?.ok && Number(reading.value) / 256).toBe(25.5);
  });

  it('an absent chip is named with its address and bus; the others go on', async () => {
    set('0x48', '0x00', '0x0019', 'w');
    const made = await open(
      { keys: { address: 0x21, register: 0 }, direction: 'in' },
      { keys: { address: 0x48, register: 0, type: 'i16be' }, direction: 'in' },
    );
    const [absent, there] = await made.port.read(made.channels);
    expect(absent?.ok === false && [absent.error.code, absent.error.message]).toEqual([
      'NO_DEVICE',
      `no chip answers at 0x21 on /dev/${bus}`,
    ]);
    expect(there?.ok && there.value).toBe(0x1900);
    expect(made.downs).toEqual([]);
  });

  it('a bus that is not there says what to do', async () => {
    await expect(openPort(i2c, { bus: 77, backend }, [])).rejects.toMatchObject({ code: 'PORT_DOWN' });
  });
});
