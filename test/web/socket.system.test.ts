import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { freePort } from '../support/free-port.ts';
import { Observer } from '../support/observer.ts';
import { until } from '../support/wait.ts';
import { WebAgent } from './web-agent.ts';

let web: WebAgent;
beforeAll(async () => {
  web = await WebAgent.start();
});
afterAll(() => web.stop());

describe('the WebSocket', () => {
  it('a client gets every pin and node before WebSession', async () => {
    const client = web.client();
    const nodes: unknown[] = [];
    client.on((subject, data) => subject === 'NodeMessage' && nodes.push(data['name']));
    const session = await client.ready();
    expect(session).toMatchObject({ role: 'admin', node: 'tested', missed: 0 });
    expect(nodes).toEqual(['tested']);
    expect([...client.pins.keys()].sort()).toContain('speed-seen');
    expect(client.pins.get('speed')).toMatchObject({ val: 10, quality: 'good' });
    client.close();
  });

  it('answers a command once, and delivers the report to every other client and process', async () => {
    const [one, other] = [web.client(), web.client()];
    const observer = await new Observer(web.agent.bus).start();
    await Promise.all([one.ready(), other.ready()]);
    const commands: unknown[] = [];
    other.on((subject, data) => subject === 'IoMessage' && data['last_change'] === undefined && commands.push(data));
    expect(await one.set('pump', true)).toMatchObject({ pin_name: 'pump', val: true });
    await until('the other client', () => other.pins.get('pump-seen')?.['val'] === true);
    await observer.report('pump-seen', ({ val }) => val === true);
    expect(commands).toMatchObject([{ pin_name: 'pump', val: true }]);
    await expect(one.set('pump', 'banana')).rejects.toMatchObject({ code: 'BAD_VALUE' });
    await expect(one.set('slow', true, {}, 200)).rejects.toMatchObject({ code: 'TIMEOUT' });
    await observer.stop();
    one.close();
    other.close();
  });

  it('carries messages of any subject in both directions', async () => {
    const client = web.client();
    const observer = await new Observer(web.agent.bus).start();
    const { id } = await client.ready();
    const received: unknown[] = [];
    client.on((subject, data) => subject === 'Answer' && received.push(data));
    observer.actor.on('Question', (data) => {
      observer.actor.send({ Answer: { to: data } });
    });
    expect(client.send({ Question: { n: 1 } })).toMatchObject({ sender: [id], msg_id: `${id}.0` });
    await until('the answer', () => received.length > 0);
    expect(received).toEqual([{ to: { n: 1 } }]);
    await observer.stop();
    client.close();
  });

  it('the client reconnects after an outage, and rejects a command meanwhile at once', async () => {
    const mortal = await WebAgent.start(`web: { listen: "127.0.0.1:${await freePort()}" }`);
    const client = mortal.client();
    await client.ready();
    await mortal.stop();
    await until('the loss', () => client.session === undefined);
    await expect(client.set('pump', true)).rejects.toMatchObject({ code: 'OFFLINE' });
    const again = await WebAgent.start(`web: { listen: "127.0.0.1:${mortal.port}" }`);
    expect(await client.ready()).toMatchObject({ node: 'tested' });
    client.close();
    await again.stop();
  });

  it.each([
    ['invalid JSON', () => '{', 1007],
    ['JSON that is not an envelope', () => '{"payload":{}}', 1007],
    ['the sender of somebody else', (id: string) => envelope('other', `${id}.1`), 1008],
    ['a message id of somebody else', (id: string) => envelope(id, 'other.1'), 1008],
  ])('closes the connection with the reason, and delivers nothing, on %s', async (_what, text, code) => {
    const socket = new WebSocket(`${web.url.replace('http', 'ws')}api/socket`, ['dcs-io']);
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    socket.on('message', (data) => {
      const id = /"WebSession":\{"id":"(\w+)"/.exec(String(data))?.[1];
      if (id !== undefined) socket.send(text(id));
    });
    expect(await closed).toBe(code);
    const { json } = await web.http('GET', '/api/pins/pump');
    expect(json['val']).not.toBe('forged');
  });

  it('a too long message closes the connection, and the agent keeps running', async () => {
    const socket = new WebSocket(`${web.url.replace('http', 'ws')}api/socket`);
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    socket.once('open', () => socket.send('x'.repeat(100_000)));
    expect(await closed).toBe(1009);
    expect(await web.http('GET', '/healthz')).toMatchObject({ status: 200 });
  });

  it('SIGTERM stops the agent within 2 s, although a browser and an event stream are open', async () => {
    const mortal = await WebAgent.start();
    const client = mortal.client();
    await client.ready();
    const hung = new WebSocket(`${mortal.url.replace('http', 'ws')}api/socket`);
    await new Promise((resolve) => hung.once('open', resolve));
    hung.pause();
    const end = new AbortController();
    await fetch(new URL('/api/events', mortal.url), { signal: end.signal });
    const { code, ms } = await mortal.agent.stop();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(2000);
    end.abort();
    hung.terminate();
    client.close();
  });

  it('no other path is upgraded', async () => {
    const socket = new WebSocket(`${web.url.replace('http', 'ws')}api/other`);
    const error = await new Promise<Error>((resolve) => socket.once('error', resolve));
    expect(error.message).toContain('404');
  });
});

function envelope(sender: string, id: string): string {
  const payload = { IoMessage: { pin_name: 'pump', val: 'forged' } };
  return JSON.stringify({ sender: [sender], timestamp: 1, msg_id: id, payload });
}
