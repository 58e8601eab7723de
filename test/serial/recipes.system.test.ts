import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { serial } from '../../drivers/serial/driver.ts';
import { resolveEscapes } from '../../drivers/serial/text.ts';
import { pinKeys } from '../../src/config/schema.ts';
import type { Reading } from '../../src/driver/contract.ts';
import { type OpenedPort, openPort } from '../support/ports.ts';
import { until } from '../support/wait.ts';
import { Device } from './device.ts';

const FOLDER = 'boards/serial';
const pinText = z.record(z.string(), z.unknown());
const recipeSchema = z.strictObject({
  title: z.string(),
  /** What goes into the entry of `ports:`. */
  port: pinText,
  defaults: pinText.default({}),
  pins: z.record(z.string(), pinText),
  samples: z
    .array(
      z.strictObject({
        asked: z.string().optional(),
        says: z.string().optional(),
        hex: z.string().optional(),
        /** Values as they are on the bus, or the code of the failure. */
        pins: z.record(z.string(), z.union([z.number(), z.boolean(), z.string()])),
      }),
    )
    .min(1),
  commands: z
    .array(
      z.strictObject({ pin: z.string(), value: z.union([z.number(), z.boolean(), z.string()]), sends: z.string() }),
    )
    .default([]),
});

const bytesOf = (text: string): Buffer => {
  const found = resolveEscapes(text);
  if (!found.ok) throw new Error(found.problem);
  return Buffer.from(found.text, 'latin1');
};

let device: Device | undefined;
let held: OpenedPort | undefined;
afterEach(async () => {
  await held?.port.close();
  await device?.remove();
});

const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.yaml'));

describe('recipes for serial devices', () => {
  it('are there', () => expect(files.length).toBeGreaterThanOrEqual(8));

  for (const file of files) {
    it(`${file}: says where it comes from, and its samples give its pins on a real pty`, async () => {
      const text = readFileSync(join(FOLDER, file), 'utf8');
      expect(text).toMatch(/^# Source: /m);
      const recipe = recipeSchema.parse(parse(text));
      const names = Object.keys(recipe.pins);
      const specs = names.map((name) => ({ ...recipe.defaults, ...recipe.pins[name] }));
      const keysOf = (spec: object, common: boolean) =>
        Object.fromEntries(Object.entries(spec).filter(([key]) => key in pinKeys === common));
      const made = new Device();
      device = made;
      await made.plug();
      const { port, channels, listen } = await openPort(
        serial,
        { ...recipe.port, path: made.path },
        specs.map((spec) => ({ keys: keysOf(spec, false), direction: 'direction' in spec ? 'out' : 'in' })),
      ).then((opened) => {
        held = opened;
        return opened;
      });
      const commonOf = (at: number) => z.object(pinKeys).parse(keysOf(specs[at] ?? {}, true));
      const shown = (at: number, reading: Reading | undefined) => {
        if (!reading?.ok) return reading?.error.code;
        const { scale = 1, offset = 0 } = commonOf(at);
        return typeof reading.value === 'number' ? reading.value * scale + offset : reading.value;
      };
      const last: unknown[] = [];
      channels.forEach((channel, at) => {
        listen(channel, (reading) => {
          last[at] = shown(at, reading);
        });
      });
      for (const { asked, says, hex, pins } of recipe.samples) {
        last.length = 0;
        if (asked !== undefined) {
          await until('the question', () => made.received.includes(bytesOf(asked)), 8000);
          made.forget();
        }
        // A folded text has blanks where the lines were.
        made.say(
          hex === undefined
            ? bytesOf((says ?? '').replaceAll('\\n ', '\\n'))
            : Buffer.from(hex.replaceAll(' ', ''), 'hex'),
        );
        const wanted = Object.keys(pins).map((name) => names.indexOf(name));
        expect(wanted).not.toContain(-1);
        await until(`a reading of ${Object.keys(pins)}`, () => wanted.every((at) => last[at] !== undefined));
        for (const at of wanted) {
          const expected = pins[names[at] ?? ''];
          if (typeof expected === 'number') expect(last[at], names[at]).toBeCloseTo(expected, 5);
          else expect(last[at], names[at]).toBe(expected);
        }
      }
      for (const { pin, value, sends } of recipe.commands) {
        made.forget();
        const channel = channels[names.indexOf(pin)];
        if (!channel) throw new Error(`no pin ${pin}`);
        await port.write(channel, value);
        await until('the command', () => made.received.length >= bytesOf(sends).length);
        expect(made.received).toEqual(bytesOf(sends));
      }
    });
  }
});
