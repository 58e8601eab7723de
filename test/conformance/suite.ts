import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Channel, Driver, Reading } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import { type Held, openPort, type PinText } from '../support/ports.ts';
import { until } from '../support/wait.ts';

/** The far end of a driver under test: real or simulated hardware, and how a person would work it. */
export interface Fixture {
  readonly driver: Driver;
  /** The port's keys as a user writes them. A function: a server's TCP port is known only once it runs. */
  options(): object;
  /** An input, and two values it can show. `drive` makes the hardware show one. */
  readonly input?: {
    readonly keys: object;
    readonly values: readonly [RawValue, RawValue];
    drive(value: RawValue): Promise<void>;
  };
  /** An output, two values it can take, and one it must refuse. `observe` asks the hardware, not the driver. */
  readonly output?: {
    readonly keys: object;
    readonly values: readonly [RawValue, RawValue];
    readonly wrong: RawValue;
    observe(): Promise<RawValue>;
    /** The hardware can change without us (a PLC writes its own register): then the port must report that too. */
    drive?(value: RawValue): Promise<void>;
  };
  /** Tears the hardware out, and puts it back. */
  readonly plug?: { unplug(): Promise<void>; replug(): Promise<void> };
  /** Before and after each test: starts the far end anew. */
  setup?(): Promise<void>;
  teardown?(): Promise<void>;
  /** How long this hardware may take to show a change (polling); default 2000 ms. */
  readonly patienceMs?: number;
}

/** The promises of the driver seam. Every driver, mock or real, passes all that its hardware allows. */
export function conformance(name: string, fixture: Fixture): void {
  describe(`driver contract: ${name}`, () => {
    const { driver, input, output, plug } = fixture;
    const patience = fixture.patienceMs ?? 2000;
    const held: Held[] = [];
    const pins: PinText[] = [];
    if (input) pins.push({ keys: input.keys, direction: 'in' });
    if (output) pins.push({ keys: output.keys, direction: 'out' });
    const outputAt = input ? 1 : 0;

    const open = async (start?: RawValue): Promise<Held> => {
      const made = await openPort(
        driver,
        fixture.options(),
        pins.map((pin) => (pin.direction === 'out' && start !== undefined ? { ...pin, start } : pin)),
      );
      held.push(made);
      return made;
    };
    const channelAt = ({ channels }: Pick<Held, 'channels'>, at: number): Channel => {
      const channel = channels[at];
      if (!channel) throw new Error(`the fixture has no pin ${at}`);
      return channel;
    };
    const values = (readings: readonly Reading[]) => readings.flatMap((one) => (one.ok ? [one.value] : []));

    beforeEach(async () => {
      await fixture.setup?.();
    });
    afterEach(async () => {
      for (const { port } of held.splice(0)) await port.close();
      await fixture.teardown?.();
    });

    it('refuses keys it does not know, in the port and in the pin', () => {
      expect(driver.options.safeParse({ ...fixture.options(), nonsense: 1 }).success).toBe(false);
      for (const { keys } of pins) expect(driver.pin.safeParse({ ...keys, nonsense: 1 }).success).toBe(false);
    });

    it('describes a channel without touching hardware, the same way every time', () => {
      const options = driver.options.parse(fixture.options());
      for (const { keys, direction } of pins) {
        const facts = driver.describe(driver.pin.parse(keys), options);
        expect(facts).toEqual(driver.describe(driver.pin.parse(keys), options));
        expect(facts.directions).toContain(direction);
      }
    });

    it('closes any number of times, promptly, and refuses work afterwards', async () => {
      const { port, channels } = await open();
      const before = performance.now();
      await Promise.all([port.close(), port.close()]);
      await port.close();
      expect(performance.now() - before).toBeLessThan(Math.max(1500, patience));
      await expect(port.read(channels)).rejects.toBeInstanceOf(DcsError);
      const out = output && channels[outputAt];
      if (out) await expect(port.write(out, output.values[0])).rejects.toBeInstanceOf(DcsError);
    });

    it('settles what is pending when it is closed', async () => {
      const { port, channels } = await open();
      const reading = port.read(channels).then(
        () => 'settled',
        () => 'settled',
      );
      await port.close();
      expect(await reading).toBe('settled');
    });

    if (input) {
      it('tells a subscriber the present value, from the event loop', async () => {
        await input.drive(input.values[1]);
        const { listen, channels } = await open();
        const seen: Reading[] = [];
        listen(channelAt({ channels }, 0), (reading) => seen.push(reading));
        expect(seen).toEqual([]);
        await until('the first reading', () => values(seen).length > 0, patience);
        expect(values(seen)[0]).toEqual(input.values[1]);
      });

      it('tells changes in order, and nothing after unsubscribing', async () => {
        await input.drive(input.values[0]);
        const made = await open();
        const seen: Reading[] = [];
        const stop = made.listen(channelAt(made, 0), (reading) => seen.push(reading));
        for (const value of [input.values[0], input.values[1], input.values[0]]) {
          await input.drive(value);
          await until(`the value ${value}`, () => values(seen).at(-1) === value, patience);
        }
        const distinct = values(seen).filter((value, at, all) => value !== all[at - 1]);
        expect(distinct).toEqual([input.values[0], input.values[1], input.values[0]]);
        stop();
        const count = seen.length;
        await input.drive(input.values[1]);
        await until('a read past the change', async () => {
          const [reading] = await made.port.read([channelAt(made, 0)]);
          return reading?.ok === true && reading.value === input.values[1];
        });
        expect(seen.length).toBe(count);
      });

      it('reads the hardware now', async () => {
        const made = await open();
        for (const value of [input.values[1], input.values[0]]) {
          await input.drive(value);
          await until(`a read of ${value}`, async () => {
            const [reading] = await made.port.read([channelAt(made, 0)]);
            return reading?.ok === true && reading.value === value;
          });
        }
      });

      it('never writes an input', async () => {
        const made = await open();
        await expect(made.port.write(channelAt(made, 0), input.values[0])).rejects.toBeInstanceOf(DcsError);
      });
    }

    if (output) {
      it('drives an output, and says what the hardware then holds', async () => {
        const made = await open();
        for (const value of [output.values[1], output.values[0], output.values[1]]) {
          const { readBack } = await made.port.write(channelAt(made, outputAt), value);
          if (readBack !== undefined) expect(readBack).toEqual(value);
          expect(await output.observe()).toEqual(value);
        }
      });

      it('keeps writes in order although nobody waits for one before the next: the last word stands', async () => {
        const made = await open(output.values[0]);
        for (const last of output.values) {
          const other = last === output.values[0] ? output.values[1] : output.values[0];
          const words = [other, last, other, last];
          // One that a later one overtakes may be refused.
          const written = await Promise.allSettled(
            words.map((value) => made.port.write(channelAt(made, outputAt), value)),
          );
          expect(written.at(-1)?.status).toBe('fulfilled');
          expect(await output.observe()).toEqual(last);
        }
      });

      it('refuses a value it cannot encode with a typed error, and leaves the hardware alone', async () => {
        const made = await open();
        await made.port.write(channelAt(made, outputAt), output.values[1]);
        const error = await made.port.write(channelAt(made, outputAt), output.wrong).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(error).toBeInstanceOf(DcsError);
        expect(['BAD_VALUE', 'OUT_OF_RANGE']).toContain(error instanceof DcsError ? error.code : '');
        expect(await output.observe()).toEqual(output.values[1]);
      });

      it('drives the start value as part of opening', async () => {
        for (const value of output.values) {
          const made = await open(value);
          expect(await output.observe()).toEqual(value);
          await made.port.close();
        }
      });

      it('leaves the hardware as it is when no start value is asked for', async () => {
        const first = await open(output.values[1]);
        await first.port.close();
        const kept = await output.observe();
        await open();
        expect(await output.observe()).toEqual(kept);
      });
    }

    if (output?.drive) {
      const { drive } = output;
      it('tells when the hardware changes an output by itself', async () => {
        const made = await open(output.values[0]);
        const seen: Reading[] = [];
        made.listen(channelAt(made, outputAt), (reading) => seen.push(reading));
        await until('the first reading', () => values(seen).length > 0, patience);
        await drive(output.values[1]);
        await until('the change', () => values(seen).at(-1) === output.values[1], patience);
      });
    }

    if (plug) {
      it('says down exactly once when the hardware is torn out, and rejects work from then on', async () => {
        const made = await open();
        for (const channel of made.channels) made.listen(channel, () => {});
        await plug.unplug();
        await until('down', () => made.downs.length > 0, patience);
        expect(made.downs[0]).toBeInstanceOf(DcsError);
        await expect(made.port.read(made.channels)).rejects.toBeInstanceOf(DcsError);
        await made.port.close();
        expect(made.downs.length).toBe(1);
      });

      it('opens again once the hardware is back, and carries out nothing of before', async () => {
        const made = await open(output?.values[0]);
        await plug.unplug();
        await until('down', () => made.downs.length > 0, patience);
        const late = output && channelAt(made, outputAt);
        if (late) await expect(made.port.write(late, output.values[1])).rejects.toBeInstanceOf(DcsError);
        await made.port.close();
        await plug.replug();
        const again = await until('the port to open again', () => open().catch(() => undefined), patience * 2);
        if (output) expect(await output.observe()).not.toEqual(output.values[1]);
        const readings = await again.port.read(again.channels);
        expect(readings.length).toBe(again.channels.length);
      });
    }
  });
}
