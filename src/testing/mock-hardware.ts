import { type Fault, MockDevice } from '../../drivers/mock/device.ts';
import { createMock, mockOptions } from '../../drivers/mock/driver.ts';
import type { DurationMs } from '../clock/clock.ts';
import type { ResolvedConfig, ResolvedPin, ResolvedPort } from '../config/resolved.ts';
import { DcsError } from '../errors/errors.ts';
import { toRaw, toValue } from '../io/convert.ts';
import type { RawValue } from '../pin/pin.ts';

/** A value that the agent drove at an output. */
export interface DrivenValue {
  /** In the pin's own units. */
  readonly value: RawValue;
  /** Monotonic time (ms) of the agent's clock. */
  readonly at: DurationMs;
}

/**
 * The simulated hardware of an agent in a test: what a screwdriver and a voltmeter at its terminals would be. All values are in
 * the pin's own units: `invert`, `scale` and `offset` are applied. Every method throws NO_SUCH_PIN for a name that the
 * configuration does not have, and NOT_SUPPORTED for a virtual pin, which has no hardware.
 */
export class MockHardware {
  readonly #pins: ReadonlyMap<string, ResolvedPin>;
  readonly #devices = new Map<string, MockDevice>();

  /** @internal */
  constructor({ pins, ports }: Pick<ResolvedConfig, 'pins' | 'ports'>) {
    this.#pins = new Map(pins.map((pin) => [pin.spec.name, pin]));
    for (const port of ports) if (isSimulated(port)) this.#devices.set(port.name, new MockDevice());
  }

  /** Returns the port on this hardware. A port without hardware, such as a virtual one, stays unchanged. @internal */
  simulate(port: ResolvedPort): ResolvedPort {
    const device = this.#devices.get(port.name);
    if (!device) return port;
    const options = port.mock ? mockOptions() : port.options;
    return { ...port, driver: createMock(device), options, mock: false };
  }

  /** The outside world changes the value of a pin: a contact closes, a level rises, a PLC writes. */
  set(pin: string, value: RawValue): void {
    const { spec, device, key } = this.#at(pin);
    // A sensor may show what no command may ask for.
    const { range: _, ...unlimited } = spec;
    device.set(key, toRaw(unlimited, value));
  }

  /** The value at the terminal. */
  get(pin: string): RawValue {
    const { spec, device, key } = this.#at(pin);
    return toValue(spec, device.get(key, spec.kind));
  }

  /** Every value that the agent drove at an output, the oldest first. */
  driven(pin: string): DrivenValue[] {
    const { spec, device, key } = this.#at(pin);
    return device.writes
      .filter((write) => write.key === key)
      .map(({ value, at }) => ({ value: toValue(spec, value), at }));
  }

  /** Breaks the channel of a pin, or mends it when `fault` is `undefined`. */
  fault(pin: string, fault: Fault | undefined): void {
    const { device, key } = this.#at(pin);
    device.fault(key, fault);
  }

  /** Tears out the hardware that a pin is on, with every other pin of its port. */
  unplug(pin: string): void {
    this.#at(pin).device.unplug();
  }

  /** Plugs it in again; the agent reopens the port after its backoff. */
  plug(pin: string): void {
    this.#at(pin).device.plug();
  }

  #at(name: string): ResolvedPin & { readonly device: MockDevice } {
    const pin = this.#pins.get(name);
    if (!pin) {
      const expected = [...this.#pins.keys()].join(', ');
      throw new DcsError('NO_SUCH_PIN', `the configuration has no pin ${name}`, { found: name, expected });
    }
    const device = this.#devices.get(pin.port);
    if (device) return { ...pin, device };
    throw new DcsError('NOT_SUPPORTED', `pin ${name} is on port ${pin.port}, which has no hardware`, {
      expected: 'pins.set of the agent, which commands a pin',
    });
  }
}

function isSimulated({ mock, driver }: ResolvedPort): boolean {
  return mock || driver.name === 'mock';
}
