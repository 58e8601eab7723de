import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { channelOf, Owner, until } from './owner.ts';
import { Pymodbus } from './pymodbus.ts';

const server = new Pymodbus();
let owner: Owner;

beforeEach(async () => {
  await server.start();
});
afterEach(async () => {
  await owner.close();
  await server.stop();
});

const keys = [
  { holding: 10 },
  { holding: 12, type: 'float32', order: 'CDAB' },
  { input: 3, type: 'int32' },
  { coil: 5 },
  { discrete: 7 },
];

describe('against pymodbus', () => {
  it('a register changed there is reported within two poll periods', async () => {
    const channels = keys.map((one) => channelOf(one));
    const [word, float, wide, coil, discrete] = channels;
    if (!word || !float || !wide || !coil || !discrete) throw new Error('channels are missing');
    owner = new Owner({ tcp: `127.0.0.1:${server.port}`, poll: '300ms' }, channels);
    await owner.open();
    await until(() => channels.every((channel) => owner.value(channel) !== undefined), 1000);
    await server.set('holding', 10, 4711);
    expect(await until(() => owner.value(word) === 4711, 2000)).toBeLessThan(600);
    await server.set('holding', 12, 0x0000, 0xbfc0);
    await server.set('input', 3, 0xffff, 0xfffe);
    await server.set('coil', 5, 1);
    await server.set('discrete', 7, 1);
    const changed = () =>
      owner.value(float) === -1.5 &&
      owner.value(wide) === -2 &&
      owner.value(coil) === true &&
      owner.value(discrete) === true;
    expect(await until(changed, 2000)).toBeLessThan(600);
  });

  it('a write reaches it in every type and order', async () => {
    const out = (one: object) => channelOf({ ...one }, { direction: 'out' });
    const [word, float, coil] = [
      out({ holding: 10 }),
      out({ holding: 12, type: 'float32', order: 'CDAB' }),
      out({ coil: 5 }),
    ];
    owner = new Owner({ tcp: `127.0.0.1:${server.port}` }, [word, float, coil]);
    const port = await owner.open();
    expect(await port.write(word, 65535)).toEqual({ readBack: 65535 });
    expect(await port.write(float, -1.5)).toEqual({ readBack: -1.5 });
    expect(await port.write(coil, true)).toEqual({ readBack: true });
    expect(await server.get('holding', 10, 4)).toEqual([65535, 0, 0, 0xbfc0]);
    expect(await server.get('coil', 5)).toEqual([1]);
  });

  it('makes its pins bad at once when killed, and good again when restarted', async () => {
    const word = channelOf({ holding: 10 });
    owner = new Owner({ tcp: `127.0.0.1:${server.port}` }, [word]);
    await owner.open();
    await until(() => owner.value(word) === 0, 1000);
    await server.stop();
    expect(await until(() => owner.failure(word) === 'PORT_DOWN', 3000)).toBeLessThan(2000);
    await server.start();
    await server.set('holding', 10, 9);
    await until(() => owner.value(word) === 9, 5000, 'healing');
  });

  it('makes its pins bad within the declared time when frozen with the connection open, and good again on the same one', async () => {
    const word = channelOf({ holding: 10 });
    owner = new Owner({ tcp: `127.0.0.1:${server.port}`, misses: 2 }, [word]);
    await owner.open();
    await until(() => owner.value(word) === 0, 1000);
    server.freeze(true);
    // The poll period, and two requests without answer.
    await until(() => owner.failure(word) === 'TIMEOUT', 2900);
    server.freeze(false);
    await until(() => owner.value(word) === 0, 4000, 'healing');
    expect(owner.opens).toBe(1);
  });
});
