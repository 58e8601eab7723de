import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Channel, Driver, Reading } from '../driver/contract.ts';
import { DcsError } from '../errors/errors.ts';
import type { RawValue } from '../pin/pin.ts';
import { type OpenedPort, openPort, type PinKeys } from './open-port.ts';

/** An input of the hardware, and two values it can show. */
export interface InputFixture {
  /** The driver keys of its pin, as a user writes them. */
  readonly keys: object;
  /** Two values that the input can show. */
  readonly values: readonly [RawValue, RawValue];
  /** Makes the hardware show a value. */
  drive(value: RawValue): Promise<void>;
}

/** An output of the hardware, and two values it can take. */
export interface OutputFixture {
  /** The driver keys of its pin, as a user writes them. */
  readonly keys: object;
  /** Two values that the output can take. */
  readonly values: readonly [RawValue, RawValue];
  /** A value that it must refuse. */
  readonly wrong: RawValue;
  /** Asks the hardware, not the driver, for its value. */
  observe(): Promise<RawValue>;
  /** Changes the hardware behind the driver's back, as a PLC does that writes its own register: the port must tell that too. */
  drive?(value: RawValue): Promise<void>;
}

/** A driver and its far end: real or simulated hardware, and how a person works it. */
export interface Fixture {
  /** The driver under test. */
  readonly driver: Driver;
  /** The port's keys as a user writes them. A function, because the TCP port of a server is known only once it runs. */
  options(): object;
  /** `undefined` when the hardware has no input. */
  readonly input?: InputFixture;
  /** `undefined` when the hardware has no output. */
  readonly output?: OutputFixture;
  /** Tears the hardware out, and puts it back. */
  readonly plug?: { unplug(): Promise<void>; replug(): Promise<void> };
  /** Runs before each test: starts the far end. */
  setup?(): Promise<void>;
  /** Runs after each test: ends the far end. */
  teardown?(): Promise<void>;
  /** Longest time for this hardware to show a change, such as by polling (ms); 2000 when `undefined`. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 2000;
/** Longest time of a close, unless the fixture's patience is longer. */
const CLOSE_LIMIT_MS = 1500;
const READ_LIMIT_MS = 5000;
/** Time for which a port must tell nothing. */
const QUIET_MS = 200;
/** Time for an echo of a write, such as by polling. */
const ECHO_MS = 300;

/**
 * Tests with Vitest that a driver keeps the driver contract. Every driver passes all that its hardware allows: what needs an
 * input, an output or a plug is left out when the fixture has none.
 */
export function conformance(name: string, fixture: Fixture): void {
  describe(`driver contract: ${name}`, () => {
    const bench = new Bench(fixture);
    beforeEach(async () => {
      await fixture.setup?.();
    });
    afterEach(async () => {
      await bench.close();
      await fixture.teardown?.();
    });
    testDriver(fixture, bench);
    testClose(fixture, bench);
    if (fixture.input) testInput(fixture.input, bench);
    if (fixture.output) {
      testOutput(fixture.output, bench);
      testOpeningValue(fixture.output, bench);
    }
    if (fixture.plug) testPlug(fixture.plug, fixture.output, bench);
  });
}

/** The ports that a test opens, with the input and the output of the fixture as their channels. */
class Bench {
  readonly pins: readonly PinKeys[];
  readonly patienceMs: number;
  readonly #fixture: Fixture;
  readonly #open: OpenedPort[] = [];

  constructor(fixture: Fixture) {
    const { input, output, patienceMs = PATIENCE_MS } = fixture;
    this.#fixture = fixture;
    this.patienceMs = patienceMs;
    this.pins = [
      ...(input ? [{ keys: input.keys, direction: 'in' as const }] : []),
      ...(output ? [{ keys: output.keys, direction: 'out' as const }] : []),
    ];
  }

  async open(start?: RawValue): Promise<OpenedPort> {
    const { driver } = this.#fixture;
    const pins = this.pins.map((pin) => (pin.direction === 'out' && start !== undefined ? { ...pin, start } : pin));
    const opened = await openPort(driver, this.#fixture.options(), pins);
    this.#open.push(opened);
    return opened;
  }

  async close(): Promise<void> {
    for (const { port } of this.#open.splice(0)) await port.close();
  }

  /** Waits until the probe resolves with something true. */
  async until(what: string, probe: () => unknown, limitMs = this.patienceMs): Promise<void> {
    await vi.waitFor(
      async () => {
        if (!(await probe())) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
      },
      { timeout: limitMs, interval: 5 },
    );
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function channelOf({ channels }: OpenedPort, direction: 'in' | 'out'): Channel {
  const channel = channels.find((one) => one.direction === direction);
  if (channel) return channel;
  throw new Error(`the fixture has no pin of direction ${direction}`);
}

function values(readings: readonly Reading[]): RawValue[] {
  return readings.flatMap((one) => (one.ok ? [one.value] : []));
}

function testDriver({ driver, options }: Fixture, { pins }: Bench): void {
  it('is made for this version of the contract', () => {
    expect(driver.contract).toBe(1);
  });

  it('refuses keys it does not know, in the port and in the pin', () => {
    expect(driver.options.safeParse({ ...options(), nonsense: 1 }).success).toBe(false);
    for (const { keys } of pins) expect(driver.pin.safeParse({ ...keys, nonsense: 1 }).success).toBe(false);
  });

  it('describes a channel without touching hardware, the same way every time', () => {
    const parsed = driver.options.parse(options());
    for (const { keys, direction } of pins) {
      const facts = driver.describe(driver.pin.parse(keys), parsed);
      expect(facts).toEqual(driver.describe(driver.pin.parse(keys), parsed));
      expect(facts.directions).toContain(direction);
    }
  });
}

function testClose({ input, output }: Fixture, bench: Bench): void {
  it('closes any number of times, promptly, and refuses work afterwards', async () => {
    const opened = await bench.open();
    const { port, channels } = opened;
    const before = performance.now();
    await Promise.all([port.close(), port.close()]);
    await port.close();
    expect(performance.now() - before).toBeLessThan(Math.max(CLOSE_LIMIT_MS, bench.patienceMs));
    await expect(port.read(channels)).rejects.toBeInstanceOf(DcsError);
    if (!output) return;
    await expect(port.write(channelOf(opened, 'out'), output.values[0])).rejects.toBeInstanceOf(DcsError);
  });

  it('settles pending work when it is closed', async () => {
    const { port, channels } = await bench.open();
    const reading = port.read(channels).then(
      () => 'settled',
      () => 'settled',
    );
    await port.close();
    expect(await reading).toBe('settled');
  });

  it('tells nothing after it is closed', async () => {
    const { port, channels, listen } = await bench.open();
    let told = 0;
    for (const channel of channels) listen(channel, () => told++);
    await port.close();
    const before = told;
    for (const value of input?.values ?? []) await input?.drive(value);
    await pause(QUIET_MS);
    expect(told).toBe(before);
  });
}

function testInput(input: InputFixture, bench: Bench): void {
  it('tells the present value first', async () => {
    await input.drive(input.values[1]);
    const opened = await bench.open();
    const seen: Reading[] = [];
    opened.listen(channelOf(opened, 'in'), (reading) => seen.push(reading));
    await bench.until('the first reading', () => values(seen).length > 0);
    expect(values(seen)[0]).toEqual(input.values[1]);
  });

  it('tells changes in order', async () => {
    await input.drive(input.values[0]);
    const opened = await bench.open();
    const seen: Reading[] = [];
    opened.listen(channelOf(opened, 'in'), (reading) => seen.push(reading));
    for (const value of [input.values[0], input.values[1], input.values[0]]) {
      await input.drive(value);
      await bench.until(`the value ${value}`, () => values(seen).at(-1) === value);
    }
    const distinct = values(seen).filter((value, at, all) => value !== all[at - 1]);
    expect(distinct).toEqual([input.values[0], input.values[1], input.values[0]]);
  });

  it('reads the hardware now', async () => {
    const opened = await bench.open();
    for (const value of [input.values[1], input.values[0]]) {
      await input.drive(value);
      const shown = async () => {
        const [reading] = await opened.port.read([channelOf(opened, 'in')]);
        return reading?.ok === true && reading.value === value;
      };
      await bench.until(`a read of ${value}`, shown, Math.max(READ_LIMIT_MS, bench.patienceMs));
    }
  });

  it('never writes an input', async () => {
    const opened = await bench.open();
    await expect(opened.port.write(channelOf(opened, 'in'), input.values[0])).rejects.toBeInstanceOf(DcsError);
  });
}

function testOutput(output: OutputFixture, bench: Bench): void {
  const [first, second] = output.values;

  it('drives an output, and says what the hardware then holds', async () => {
    const opened = await bench.open();
    for (const value of [second, first, second]) {
      const { readBack } = await opened.port.write(channelOf(opened, 'out'), value);
      if (readBack !== undefined) expect(readBack).toEqual(value);
      expect(await output.observe()).toEqual(value);
    }
  });

  it('answers a write, and does not tell its value again', async () => {
    const opened = await bench.open(first);
    const channel = channelOf(opened, 'out');
    const seen: Reading[] = [];
    opened.listen(channel, (reading) => seen.push(reading));
    await bench.until('the first reading', () => values(seen).length > 0);
    expect(values(seen).at(-1)).toEqual(first);
    const before = seen.length;
    await opened.port.write(channel, second);
    await opened.port.read([channel]);
    await new Promise((resolve) => setTimeout(resolve, ECHO_MS));
    expect(seen.slice(before)).toEqual([]);
  });

  it('keeps overlapping writes in order: the last one stands', async () => {
    const opened = await bench.open(first);
    for (const last of output.values) {
      const other = last === first ? second : first;
      // A write that a later one overtakes may be refused.
      const written = await Promise.allSettled(
        [other, last, other, last].map((value) => opened.port.write(channelOf(opened, 'out'), value)),
      );
      expect(written.at(-1)?.status).toBe('fulfilled');
      expect(await output.observe()).toEqual(last);
    }
  });

  it('refuses a value it cannot encode with a typed error, and leaves the hardware alone', async () => {
    const opened = await bench.open();
    await opened.port.write(channelOf(opened, 'out'), second);
    const refused = opened.port.write(channelOf(opened, 'out'), output.wrong);
    const error = await refused.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DcsError);
    expect(['BAD_VALUE', 'OUT_OF_RANGE']).toContain(error instanceof DcsError ? error.code : '');
    expect(await output.observe()).toEqual(second);
  });

  if (!output.drive) return;
  const { drive } = output;
  it('tells when the hardware changes an output by itself', async () => {
    const opened = await bench.open(first);
    const seen: Reading[] = [];
    opened.listen(channelOf(opened, 'out'), (reading) => seen.push(reading));
    await bench.until('the first reading', () => values(seen).length > 0);
    await drive(second);
    await bench.until('the change', () => values(seen).at(-1) === second);
  });
}

function testOpeningValue(output: OutputFixture, bench: Bench): void {
  it('drives the opening value as part of opening', async () => {
    for (const value of output.values) {
      const opened = await bench.open(value);
      expect(await output.observe()).toEqual(value);
      await opened.port.close();
    }
  });

  it('leaves the hardware as it is without an opening value', async () => {
    const first = await bench.open(output.values[1]);
    await first.port.close();
    const kept = await output.observe();
    await bench.open();
    expect(await output.observe()).toEqual(kept);
  });
}

function testPlug(plug: NonNullable<Fixture['plug']>, output: OutputFixture | undefined, bench: Bench): void {
  it('is down exactly once when the hardware is torn out, and rejects work from then on', async () => {
    const opened = await bench.open();
    for (const channel of opened.channels) opened.listen(channel, () => {});
    await plug.unplug();
    await bench.until('down', () => opened.downs.length > 0);
    expect(opened.downs[0]).toBeInstanceOf(DcsError);
    await expect(opened.port.read(opened.channels)).rejects.toBeInstanceOf(DcsError);
    await opened.port.close();
    expect(opened.downs.length).toBe(1);
  });

  it('opens again once the hardware is back, and carries out nothing of before', async () => {
    const opened = await bench.open(output?.values[0]);
    await plug.unplug();
    await bench.until('down', () => opened.downs.length > 0);
    if (output) {
      const late = opened.port.write(channelOf(opened, 'out'), output.values[1]);
      await expect(late).rejects.toBeInstanceOf(DcsError);
    }
    await opened.port.close();
    await plug.replug();
    const reopened = await vi.waitFor(() => bench.open(), { timeout: bench.patienceMs * 2, interval: 5 });
    if (output) expect(await output.observe()).not.toEqual(output.values[1]);
    const readings = await reopened.port.read(reopened.channels);
    expect(readings.length).toBe(reopened.channels.length);
  });
}
