import { spawnSync } from 'node:child_process';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/wait.ts';
import { parsed, WebAgent } from './web-agent.ts';

let web: WebAgent;
beforeAll(async () => {
  web = await WebAgent.start();
});
afterAll(() => web.stop());

describe('the HTTP API of an agent', () => {
  it('lists every pin with its properties and its last report', async () => {
    const { status, text } = await web.http('GET', '/api/pins');
    expect(status).toBe(200);
    const pins: unknown = JSON.parse(text);
    expect(pins).toMatchObject([
      { name: 'odd/näme:1', kind: 'digital' },
      { name: 'pump', kind: 'digital', direction: 'out', label: 'feed pump', safe: false, node: 'tested', val: false },
      { name: 'pump-seen', direction: 'in', port: 'sim', quality: 'good' },
      { name: 'slow' },
      { name: 'speed', kind: 'analog', range: [0, 50], uom: 'Hz', val: 10 },
      { name: 'speed-seen', val: 10 },
    ]);
  });

  it('PUT sets a pin, writes the hardware and returns the report of the pin', async () => {
    const done = await web.http('PUT', '/api/pins/pump', { json: { val: 'on' } });
    expect(done).toMatchObject({ status: 200, json: { name: 'pump', val: true, quality: 'good' } });
    await until('the wire', async () => (await web.http('GET', '/api/pins/pump-seen')).json['val'] === true);
    expect(await web.agent.report('pump')).toMatchObject({ val: true });
  });

  it('accepts pin names with a slash and non-ASCII letters', async () => {
    const path = `/api/pins/${encodeURIComponent('odd/näme:1')}`;
    expect(await web.http('PUT', path, { json: { val: true } })).toMatchObject({ status: 200, json: { val: true } });
  });

  it('refuses a command with 409 while an override is active', async () => {
    const put = (json: object) => web.http('PUT', '/api/pins/pump', { json });
    expect(await put({ val: true, override: 60 })).toMatchObject({ status: 200, json: { output: { by: 'override' } } });
    expect(await put({ val: false })).toMatchObject({ status: 409, json: { code: 'OVERRIDDEN' } });
    expect(await put({ override: 0 })).toMatchObject({ status: 200 });
    expect(await put({ val: false })).toMatchObject({ status: 200, json: { val: false } });
  });

  it.each([
    ['/api/pins/pump', { val: 'banana' }, 422, 'BAD_VALUE'],
    ['/api/pins/speed', { val: 51 }, 422, 'OUT_OF_RANGE'],
    ['/api/pins/pump-seen', { val: true }, 409, 'READ_ONLY'],
    ['/api/pins/speed', { val: 1, hold: 5 }, 422, 'NOT_SUPPORTED'],
    ['/api/pins/pump', { vol: true }, 400, 'BAD_COMMAND'],
    ['/api/pins/pump', [], 400, 'BAD_COMMAND'],
    ['/api/pins/pump', { override: 0, val: true }, 400, 'BAD_COMMAND'],
    ['/api/pins/nobody', { val: true }, 404, 'NO_SUCH_PIN'],
    ['/api/pins/slow', { val: true, timeout: 0.2 }, 504, 'TIMEOUT'],
  ])('refuses PUT %s %j with %i %s and the message of the pin', async (path, json, status, code) => {
    const refused = await web.http('PUT', path, { json });
    expect(refused).toMatchObject({ status, json: { code } });
    expect(String(refused.json['message'])).toMatch(/\w+ \w+/);
  });

  it('refuses a body with another content type, invalid JSON, or more than 64 KiB', async () => {
    const put = (body: string, type: string) =>
      fetch(new URL('/api/pins/pump', web.url), { method: 'PUT', body, headers: { 'content-type': type } });
    expect((await put('{"val":true}', 'text/plain')).status).toBe(400);
    expect((await put('{"val":', 'application/json')).status).toBe(400);
    expect((await put(JSON.stringify({ val: 'x'.repeat(70_000) }), 'application/json')).status).toBe(413);
  });

  it('answers an unknown path with 404 and an unknown method with 405', async () => {
    expect(await web.http('GET', '/api/nothing')).toMatchObject({ status: 404 });
    const wrong = await web.http('DELETE', '/api/pins/pump');
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get('allow')).toBe('GET, PUT');
    expect(await web.http('GET', '/api/pins/%E0%A4%A')).toMatchObject({ status: 400 });
    expect(await web.http('GET', '/../../etc/passwd')).toMatchObject({ status: 404 });
  });

  it('streams the last reports first, then reports, commands and refusals of the selected pins', async () => {
    const end = new AbortController();
    const response = await fetch(new URL('/api/events?pin=speed*', web.url), { signal: end.signal });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    let text = '';
    const reading = (async () => {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk);
    })().catch(() => undefined);
    await until('the state', () => text.includes('"speed-seen"') && text.includes('"speed"'));
    await web.http('PUT', '/api/pins/speed', { json: { val: 33 } });
    await until('the report', () => /event: report\nid: \S+\ndata: .*"speed-seen","val":33/.test(text));
    await web.http('PUT', '/api/pins/speed', { json: { val: 99 } });
    await until('the refusal', () => /event: refusal\nid: \S+\ndata: .*OUT_OF_RANGE/.test(text));
    expect(text).toMatch(/event: command\nid: \S+\ndata: .*"val":99/);
    expect(text).not.toContain('pump');
    end.abort();
    await reading;
  });

  it('returns the past values of a pin', async () => {
    await web.http('PUT', '/api/pins/speed', { json: { val: 20 } });
    await web.http('PUT', '/api/pins/speed', { json: { val: 30 } });
    const { json } = await web.http('GET', '/api/history?pin=speed&seconds=60');
    const { t, v } = { t: [], v: [], ...parsed(JSON.stringify(json['speed'])) };
    expect(v.slice(-2)).toEqual([20, 30]);
    expect([...t].sort()).toEqual(t);
  });

  it('readyz names a port that is not open, while healthz answers ok', async () => {
    const faults = '[{ kind: disconnect, after: 0ms }]';
    const broken = await WebAgent.start(
      undefined,
      `ports: { sim: { driver: mock, faults: ${faults} } }\npins: { x: { port: sim, channel: x } }`,
    );
    await until('the loss', async () => (await broken.http('GET', '/readyz')).status === 503);
    expect(await broken.http('GET', '/readyz')).toMatchObject({ json: { ready: false, waiting: ['sim'] } });
    expect(await broken.http('GET', '/healthz')).toMatchObject({ status: 200, text: 'ok\n' });
    expect(await web.http('GET', '/readyz')).toMatchObject({ status: 200, json: { ready: true, waiting: [] } });
    await broken.stop();
  });

  it('serves metrics in Prometheus format: pins by quality, ports, drops, event-loop delay', async () => {
    const { status, text, headers } = await web.http('GET', '/metrics');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toContain('version=0.0.4');
    // Parsed with the official Python client of Prometheus.
    const {
      status: code,
      stdout,
      stderr,
    } = spawnSync(
      '/usr/bin/python3',
      [
        '-c',
        'import json, sys; from prometheus_client.parser import text_string_to_metric_families as parse; print(json.dumps({family.name: [family.type, family.documentation, len(family.samples), len({(one.name, tuple(sorted(one.labels.items()))) for one in family.samples})] for family in parse(sys.stdin.read())}))',
      ],
      { input: text, encoding: 'utf8' },
    );
    expect(code, stderr).toBe(0);
    const families = Object.entries(parsed(stdout));
    expect(families.map(([name]) => name)).toEqual(
      expect.arrayContaining([
        'dcs_io_pins',
        'dcs_io_port_up',
        'dcs_io_bus_messages',
        'dcs_io_event_loop_delay_seconds',
      ]),
    );
    for (const [name, found] of families) {
      const [type, help, samples, distinct] = Array.isArray(found) ? found : [];
      expect(['gauge', 'counter'], name).toContain(type);
      expect(help, name).not.toBe('');
      expect(distinct, `${name} has each series once`).toBe(samples);
    }
    expect(text).toContain('dcs_io_pins{quality="good"} 6');
    expect(text).toContain('dcs_io_port_up{port="sim",driver="mock"} 1');
    expect(text).toMatch(/dcs_io_bus_messages_total\{what="inboxDrops"\} 0/);
    expect(text).toMatch(/dcs_io_event_loop_delay_seconds\{quantile="0.99"\} [0-9.e-]+/);
    expect(text).toContain('dcs_io_pin_value{pin="odd/näme:1",unit=""}');
  });

  it('serves an OpenAPI document that an independent validator accepts, with roles and errors', async () => {
    const { json } = await web.http('GET', '/api/openapi.json');
    const validator = new Validator();
    const { valid, errors } = await validator.validate(json);
    expect(errors ?? []).toEqual([]);
    expect([valid, validator.version]).toEqual([true, '3.1']);
    // The validator detects errors.
    expect(await validator.validate({ ...json, paths: { 'no-slash': {} } })).toMatchObject({ valid: false });
    expect(at(json, ['paths', '/api/pins/{name}', 'put', 'x-role'])).toBe('operate');
    expect(Object.keys(Object(at(json, ['paths', '/api/pins/{name}', 'put', 'responses'])))).toEqual(
      expect.arrayContaining(['200', '400', '401', '403', '404', '409', '413', '422', '502', '503', '504']),
    );
  });

  it('describes every response in the OpenAPI document by a schema that it matches', async () => {
    const { json } = await web.http('GET', '/api/openapi.json');
    const ajv = new Ajv2020({ strict: false });
    const tried: string[] = [];
    for (const [path, methods] of Object.entries(parsed(JSON.stringify(json['paths'])))) {
      const responses = at(methods, ['get', 'responses']);
      if (responses === undefined) continue;
      const url = path === '/api/history' ? `${path}?pin=speed` : path.replace('{name}', 'speed');
      if (at(responses, ['200', 'content', 'text/event-stream']) !== undefined) continue;
      const answer = await web.http('GET', url);
      const schema = at(responses, [String(answer.status), 'content', 'application/json', 'schema']);
      if (schema === undefined) continue;
      const validate = ajv.compile({ ...parsed(JSON.stringify(schema)) });
      expect(validate(JSON.parse(answer.text)), `${path}: ${JSON.stringify(validate.errors)}`).toBe(true);
      tried.push(path);
    }
    expect(tried.sort()).toEqual([
      '/api/headers',
      '/api/history',
      '/api/pins',
      '/api/pins/{name}',
      '/api/session',
      '/api/status',
      '/readyz',
    ]);
    const put = at(json, ['paths', '/api/pins/{name}', 'put', 'responses', '422', 'content', 'application/json']);
    const refused = await web.http('PUT', '/api/pins/speed', { json: { val: 99 } });
    expect(ajv.validate({ ...parsed(JSON.stringify(at(put, ['schema']))) }, refused.json)).toBe(true);
  });
});

/** Returns the value at a path of parsed JSON. */
function at(found: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined),
    found,
  );
}
