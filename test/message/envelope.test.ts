import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkEnvelope,
  encodeEnvelope,
  frozenCopy,
  MAX_DEPTH,
  newId,
  parseEnvelope,
  splitMessageId,
} from '../../src/message/envelope.ts';
import { ioCommandSchema, ioMessageOf, isReport } from '../../src/message/payloads.ts';

/** As published in the documentation of the original. */
const PUBLISHED =
  '{"sender":["5fa6c6d7-077a-4467-9bb3-1f2c2ee58d78","5e7b8786-4885-4e2d-b4c6-98dc21856ba9",' +
  '"3444aadc-ed01-4ce6-94bc-ae144510eb31","41dl-Gj3"],"timestamp":1440885632.49,' +
  '"msg_id":"5fa6c6d7-077a-4467-9bb3-1f2c2ee58d78.147","payload":{"IoMessage":{"pin_name":"green-led","val":true}}}';

const good = { sender: ['cadXM'], timestamp: 1, msg_id: 'cadXM.1', payload: { PongMessage: { text: 'Hi' } } };

describe('envelope', () => {
  it("reads the original's published message, and writes it back byte for byte", () => {
    const parsed = parseEnvelope(PUBLISHED);
    expect(parsed.ok && encodeEnvelope(parsed.value)).toBe(PUBLISHED);
    expect(parsed.ok && ioMessageOf(parsed.value.payload)).toEqual({ pin_name: 'green-led', val: true });
  });

  it('keeps unknown keys with any content', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue({ maxDepth: 4 })), (extra) => {
        const message = { ...extra, ...good };
        const text = JSON.stringify(message);
        const parsed = parseEnvelope(text);
        expect(parsed.ok && encodeEnvelope(parsed.value)).toBe(text);
      }),
    );
  });

  it.each([
    ['nothing', ''],
    ['no JSON', '{"sender":'],
    ['a list', '[]'],
    ['null', 'null'],
    ['a number', '5'],
    ['no sender', JSON.stringify({ ...good, sender: undefined })],
    ['an empty sender', JSON.stringify({ ...good, sender: [] })],
    ['a sender that is no id', JSON.stringify({ ...good, sender: [5] })],
    ['too many senders', JSON.stringify({ ...good, sender: Array(65).fill('a') })],
    ['a list as payload, which made every v1 actor deaf', JSON.stringify({ ...good, payload: [1] })],
    ['a msg_id without serial', JSON.stringify({ ...good, msg_id: 'cadXM' })],
    ['a msg_id with two dots', JSON.stringify({ ...good, msg_id: 'a.b.1' })],
    ['a msg_id that is no text', JSON.stringify({ ...good, msg_id: 1 })],
    [
      '10,000 levels',
      `{"sender":["a"],"timestamp":1,"msg_id":"a.1","payload":{"X":${'['.repeat(1e4)}${']'.repeat(1e4)}}}`,
    ],
  ])('refuses %s with a reason, without throwing', (_name, text) => {
    expect(parseEnvelope(text)).toMatchObject({ ok: false, reason: expect.stringMatching(/./) });
  });

  it('never throws on any input', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseEnvelope(text)));
    fc.assert(fc.property(fc.json(), (text) => void parseEnvelope(text)));
    fc.assert(fc.property(fc.anything(), (value) => void checkEnvelope(value)));
  });

  it('accepts a missing, textual or ancient timestamp, as v1 does', () => {
    for (const timestamp of [undefined, 'yesterday', -1]) {
      expect(parseEnvelope(JSON.stringify({ ...good, timestamp })).ok).toBe(true);
    }
  });

  it('freezes its result', () => {
    const parsed = parseEnvelope(PUBLISHED);
    if (!parsed.ok) throw new Error(parsed.reason);
    expect(Object.isFrozen(parsed.value)).toBe(true);
    expect(Object.isFrozen(parsed.value.payload['IoMessage'])).toBe(true);
    expect(Object.isFrozen(parsed.value.sender)).toBe(true);
  });

  it('a copy for sending equals its source and shares nothing with it', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), (payload) => {
        const copy = frozenCopy(payload);
        expect(JSON.stringify(copy)).toBe(JSON.stringify(payload));
        expect(Object.isFrozen(payload)).toBe(false);
        expect(Object.isFrozen(copy)).toBe(true);
      }),
    );
  });

  it('a key named __proto__ is a key like any other', () => {
    const payload: Record<string, unknown> = JSON.parse('{"X":{"__proto__":{"val":1}}}');
    const copy = checkEnvelope({ ...good, payload }).ok && frozenCopy(payload);
    expect(JSON.stringify(copy)).toBe('{"X":{"__proto__":{"val":1}}}');
    expect(Reflect.get(Object(Reflect.get(Object(copy), 'X')), 'val')).toBeUndefined();
  });

  it('refuses to copy deep nesting and circles', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect(frozenCopy({ circle })).toBeUndefined();
    let deep: unknown = 1;
    for (let level = 0; level < MAX_DEPTH; level++) deep = [deep];
    expect(frozenCopy({ deep })).toBeUndefined();
  });

  it('a msg_id comes apart into creator and serial', () => {
    expect(splitMessageId('cadXM.147')).toEqual({ creator: 'cadXM', serial: 147 });
  });
});

describe('ids', () => {
  it("are five characters of v1's alphabet, without look-alikes", () => {
    const ids = Array.from({ length: 2000 }, () => newId());
    for (const id of ids) expect(id).toMatch(/^[2-9A-HJ-NP-Za-km-z]{5}$/);
    expect(new Set(ids).size).toBeGreaterThan(1990);
    expect(newId(16)).toHaveLength(16);
  });

  it('use every character about as often as any other', () => {
    const counts = new Map<string, number>();
    for (const char of newId(57_000)) counts.set(char, (counts.get(char) ?? 0) + 1);
    expect(counts.size).toBe(57);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(200);
  });
});

describe('IoMessage', () => {
  it('is a report exactly when it carries last_change', () => {
    expect(isReport({ pin_name: 'a', val: 1, last_change: 5 })).toBe(true);
    expect(isReport({ pin_name: 'a', val: 1 })).toBe(false);
  });

  it('as a command keeps unknown keys and refuses values of the wrong type', () => {
    expect(ioCommandSchema.parse({ pin_name: 'a', val: 1, token: 'x' })).toMatchObject({ token: 'x' });
    for (const val of [null, [], {}, undefined]) {
      expect(ioCommandSchema.safeParse({ pin_name: 'a', val }).success).toBe(false);
    }
  });
});
