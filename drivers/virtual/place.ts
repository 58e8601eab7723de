import type { PinPlacer } from '../../src/driver/placement.ts';

/** Places all virtual pins on one port. */
export const virtualPlacer: PinPlacer = {
  keys: ['virtual'],
  usage: 'virtual: bool|number|text',
  place: () => ({ kind: 'placed', port: { name: 'virtual', options: {} } }),
};
