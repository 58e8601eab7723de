import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { connectClient, withClient } from '../../src/cli/bus-client.ts';
import { Mesh } from '../../src/mesh/mesh.ts';
import { isRecord } from '../../src/message/envelope.ts';
import { freePort } from '../support/free-port.ts';

/** Values of commands and 'question' for questions, in the order in which they reached the node. */
let received: unknown[];
/** Time (ms) that the pin needs for a command. */
let delayMs: number;
let bus: Bus;
let mesh: Mesh;
let options: { readonly bus: string; readonly timeout: number };

beforeEach(async () => {
  [received, delayMs] = [[], 0];
  bus = new Bus();
  const title = new Actor('title');
  title.on('IoMessage', async (data, { msg_id }) => {
    if (!isRecord(data) || data['pin_name'] !== 'title' || data['last_change'] !== undefined) return;
    received.push(data['val']);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    const answer = { pin_name: 'title', reply_to: msg_id };
    if (typeof data['val'] === 'string') title.send({ IoMessage: { ...answer, val: data['val'], last_change: 1 } });
    else title.send({ IoErrorMessage: { ...answer, code: 'BAD_VALUE', message: 'title is text' } });
  });
  title.on('UpdateIoMessage', (data) => {
    received.push('question');
    title.send({ NodeMessage: { event: 'heartbeat', name: 'hall', pins: [{ name: 'title' }] } });
    const asked = isRecord(data) ? data['pin_name'] : undefined;
    if (asked === undefined || asked === 'title')
      title.send({ IoMessage: { pin_name: 'title', val: '', last_change: 1 } });
  });
  bus.join(title);
  const [rx, tx] = [await freePort(), await freePort()];
  mesh = new Mesh(bus, { rx, tx });
  await mesh.start();
  options = { bus: `127.0.0.1:${rx}:${tx}`, timeout: 5000 };
});
afterEach(async () => {
  await mesh.stop();
});

describe('BusClient', () => {
  it('sets a pin in one round trip, without a question before', async () => {
    await withClient(options, (client) => client.set('title', 'hello', 5000));
    expect(received).toEqual(['hello']);
  });

  it('sends a word like on as a boolean, and as text to a pin that refuses a boolean', async () => {
    const report = await withClient(options, (client) => client.set('title', 'on', 5000));
    expect(report).toMatchObject({ pin_name: 'title', val: 'on' });
    expect(received).toEqual([true, 'on']);
  });

  it('sends a command once, however long its answer takes', async () => {
    delayMs = 900;
    await withClient(options, (client) => client.command('title', { val: 'x', pulse: 1 }, 5000));
    expect(received.filter((one) => one !== 'question')).toEqual(['x']);
  });

  it('rejects an unknown pin long before the timeout, with the closest name', async () => {
    const client = await connectClient(options);
    const begun = performance.now();
    await expect(client.set('titel', 'x', 5000)).rejects.toMatchObject({ exitCode: 3, hint: "did you mean 'title'?" });
    expect(performance.now() - begun).toBeLessThan(2500);
    await client.bus.close();
  });
});
