import { MockDevice } from '../../drivers/mock/device.ts';
import { createMock } from '../../drivers/mock/driver.ts';
import { virtual } from '../../drivers/virtual/driver.ts';
import { conformance } from '../../src/testing/conformance.ts';

for (const [type, values, wrong] of [
  ['digital', [false, true], 3],
  ['analog', [1.5, -20], 'warm'],
  ['text', ['a', 'b'], 1],
] as const) {
  const hardware = new MockDevice();
  conformance(`mock ${type}`, {
    driver: createMock(hardware),
    options: () => ({}),
    input: { keys: { channel: 'in', type }, values: [...values], drive: async (value) => hardware.set('in', value) },
    output: {
      keys: { channel: 'out', type },
      values: [...values],
      wrong,
      observe: async () => hardware.get('out'),
      drive: async (value) => hardware.set('out', value),
    },
    plug: { unplug: async () => hardware.unplug(), replug: async () => hardware.plug() },
    teardown: async () => hardware.plug(),
  });
}

conformance('mock with latency', {
  driver: createMock(),
  options: () => ({ latency: '30ms' }),
});

conformance('virtual', {
  driver: virtual,
  options: () => ({}),
});
