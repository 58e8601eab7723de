import type { BoardLine, PinPlacer, PinToPlace, PlacedKeys, Placement } from '../../src/driver/placement.ts';
import { type GpioOptions, SOFTWARE_HZ } from './address.ts';

/** Places pins by the name of their line: on the port of its chip, by alias where the board has one. */
export const gpioPlacer: PinPlacer<GpioOptions> = {
  keys: ['gpio'],
  usage: 'gpio: LINE',
  place(pin): Placement {
    const line = pin.line('gpio');
    if (line === undefined || !softwarePwmFits(pin)) return { kind: 'invalid' };
    const { chip, mock } = line;
    return { kind: 'placed', port: { name: `gpio.${chip}`, options: { chip }, mock }, ...withEncoder(pin, line) };
  },
  placeOnPort(pin, { chip }): PlacedKeys {
    const written = pin.keys.get('gpio');
    if (typeof written === 'number') return withEncoder(pin, { chip, line: written, mock: false });
    if (typeof written !== 'string') return {};
    const found = pin.board?.resolve(written);
    return withEncoder(pin, found?.chip === chip ? found : { chip, line: written, mock: false });
  },
};

/** Software switches the lines of pins that no PWM of the processor has taken. Reports a pin that is too fast for it. */
function softwarePwmFits(pin: PinToPlace): boolean {
  const [advice] = pin.advice;
  const frequency = pin.keys.get('pwm');
  if (typeof frequency !== 'number' || frequency <= SOFTWARE_HZ) {
    if (advice?.message !== undefined) pin.warning('pwm', advice.message, advice.expected);
    return true;
  }
  pin.error(
    'pwm',
    `the processor’s PWM does not come out at this line, and software switches ${SOFTWARE_HZ} times a second at most`,
    `${advice ? `${advice.expected}; or ` : ''}${SOFTWARE_HZ} or less`,
  );
  return false;
}

/** Lines as the chip knows them; the second line of an encoder may have an alias like the first. */
function withEncoder(pin: PinToPlace, first: BoardLine): PlacedKeys {
  const gpio = { from: 'gpio', value: first.line };
  const named = { key: 'gpio', line: first };
  const written = pin.keys.get('encoder');
  if (typeof written !== 'number' && typeof written !== 'string') return { changed: { gpio }, lines: [named] };
  const found = pin.board?.resolve(String(written));
  if (found !== undefined && found.chip !== first.chip) {
    const message = `both lines of an encoder are on one chip, and ${JSON.stringify(written)} is on ${found.chip}`;
    pin.error('encoder', message, `a line of ${first.chip}`);
    return { changed: { gpio }, lines: [named] };
  }
  const second = found ?? { ...first, line: written };
  return {
    changed: { gpio, encoder: { from: 'encoder', value: second.line } },
    lines: [named, { key: 'encoder', line: second }],
  };
}
