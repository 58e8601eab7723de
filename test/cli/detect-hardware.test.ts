import { describe, expect, it } from 'vitest';
import { i2c } from '../../drivers/i2c/driver.ts';
import { virtual } from '../../drivers/virtual/driver.ts';
import { configTemplate } from '../../src/cli/config-template.ts';
import { detectPorts } from '../../src/cli/detect-hardware.ts';
import { loadConfigText } from '../../src/config/load.ts';
import type { DetectedPort, Driver } from '../../src/driver/contract.ts';

function driver(name: string, ...found: DetectedPort[]): Driver {
  return { ...virtual, name, detect: async () => found };
}

describe('detectPorts', () => {
  it('asks every driver, and offers all drivers that detect the same device', async () => {
    const line = { path: '/dev/ttyUSB0', about: 'FTDI' };
    const can = { path: 'can0', name: 'can0', about: '', options: { interface: 'can0' } };
    const ports = await detectPorts([
      driver('modbus', { ...line, options: { serial: line.path } }),
      driver('serial', { ...line, options: { path: line.path } }),
      driver('can', can),
      virtual,
    ]);
    expect(ports).toMatchObject([
      { path: '/dev/ttyUSB0', uses: [{ driver: 'modbus' }, { driver: 'serial' }] },
      { path: 'can0', uses: [{ driver: 'can', options: { interface: 'can0' } }] },
    ]);
  });

  it('finds the profiles of a device, which a first configuration suggests', async () => {
    const device = { address: '0x20', guesses: ['MCP23017, MCP23008 or PCF8574'] };
    const bus = { path: '/dev/i2c-1', name: 'i2c-1', about: '', options: { bus: '/dev/i2c-1' }, devices: [device] };
    const ports = await detectPorts([driver('i2c', bus)]);
    expect(ports[0]?.devices[0]?.profiles).toContain('microchip/mcp23017');
    const text = configTemplate({ node: 'pc', bus: true, ports }, { node: 'pc', web: false, drivers: new Map() });
    expect(text).toContain('#chip-i2c-1-20: { port: i2c-1, address: 0x20, profile: microchip/mcp23008 }');
    const loaded = loadConfigText(text, '/x/dcs-io.yaml', { drivers: [i2c, virtual] });
    expect(loaded).toMatchObject({ ok: true, config: { ports: [{ name: 'i2c-1' }, expect.anything()] } });
  });
});
