import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
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
const value = z.union([z.number(), z.boolean(), z.string()]);
const sampleSchema = z.strictObject({
  /** Keys of a port that differ from those of the recipe. */
  port: pinText.default({}),
  asked: z.string().optional(),
  says: z.string().optional(),
  hex: z.string().optional(),
  /** Values as they are on the bus, the code of the failure, or UNCERTAIN; null: the sample tells nothing of the pin. */
  pins: z.record(z.string(), value.nullable()),
});
type Sample = z.output<typeof sampleSchema>;
const recipeSchema = z.strictObject({
  title: z.string(),
  /** What goes into the entry of `ports:`. */
  port: pinText,
  defaults: pinText.default({}),
  pins: z.record(z.string(), pinText),
  samples: z.array(sampleSchema).min(1),
  commands: z.array(z.strictObject({ pin: z.string(), value, sends: z.string() })).default([]),
});
type Recipe = z.output<typeof recipeSchema>;

const bytesOf = (text: string): Buffer => {
  const found = resolveEscapes(text);
  if (!found.ok) throw new Error(found.problem);
  return Buffer.from(found.text, 'latin1');
};

/** A folded text has blanks where the lines were. */
const sampleBytes = ({ says = '', hex }: Sample): Buffer =>
  hex === undefined ? bytesOf(says.replaceAll('\\n ', '\\n')) : Buffer.from(hex.replaceAll(' ', ''), 'hex');

let device: Device | undefined;
let held: OpenedPort | undefined;
afterEach(async () => {
  await held?.port.close();
  await device?.remove();
});

/** The device of a recipe on a pty, and the values of its pins by name. */
async function run(recipe: Recipe, port: Sample['port']) {
  await held?.port.close();
  await device?.remove();
  const made = new Device();
  device = made;
  await made.plug();
  const names = Object.keys(recipe.pins);
  const specs = names.map((name) => ({ ...recipe.defaults, ...recipe.pins[name] }));
  // The words of a bool are the driver's.
  const isCommon = (key: string) => key in pinKeys && key !== 'on' && key !== 'off';
  const keysOf = (spec: object, common: boolean) =>
    Object.fromEntries(Object.entries(spec).filter(([key]) => isCommon(key) === common));
  const commons = specs.map((spec) => z.object(pinKeys).parse(keysOf(spec, true)));
  const options = Object.entries({ ...recipe.port, ...port, path: made.path }).filter(([, given]) => given !== null);
  const opened = await openPort(
    serial,
    Object.fromEntries(options),
    specs.map((spec, at) => {
      const { uom } = commons[at] ?? {};
      const direction = 'direction' in spec ? 'out' : 'in';
      // Nobody wants to wait for the questions.
      const keys = { ...keysOf(spec, false), ...('ask' in spec && { poll: '300ms' }) };
      return { keys, direction, ...(uom !== undefined && { uom }) };
    }),
  );
  held = opened;
  const shown = (at: number, reading: Reading) => {
    if (!reading.ok) return reading.error.code;
    if (reading.uncertain !== undefined) return 'UNCERTAIN';
    const { scale = 1, offset = 0 } = commons[at] ?? {};
    return typeof reading.value === 'number' ? reading.value * scale + offset : reading.value;
  };
  const last = new Map<string, unknown>();
  opened.channels.forEach((channel, at) => {
    opened.listen(channel, (reading) => {
      last.set(names[at] ?? '', shown(at, reading));
    });
  });
  const channelOf = (pin: string) => opened.channels[names.indexOf(pin)];
  // What comes sooner may be the rest of a frame.
  await pause(200);
  return { made, last, channelOf, received: () => opened.counters.get('bytes_in') ?? 0, port: opened.port };
}

async function expectSample(sample: Sample, { made, last, received }: Awaited<ReturnType<typeof run>>): Promise<void> {
  const { asked, pins } = sample;
  last.clear();
  if (asked !== undefined) {
    await until('the question', () => made.received.includes(bytesOf(asked)), 8000);
    made.forget();
  }
  const before = received();
  const bytes = sampleBytes(sample);
  made.say(bytes);
  await until('all bytes', () => received() - before >= bytes.length);
  const wanted = Object.entries(pins).filter(([, expected]) => expected !== null);
  await until(`a reading of ${Object.keys(pins)}`, () => wanted.every(([name]) => last.has(name)), 6000);
  for (const [name, expected] of Object.entries(pins)) {
    if (expected === null) expect(last.has(name), `${name} of ${bytes}`).toBe(false);
    else if (typeof expected === 'number') expect(last.get(name), name).toBeCloseTo(expected, 5);
    else expect(last.get(name), name).toBe(expected);
  }
}

const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.yaml'));

/** Whether a sample shows a value that must not count. */
const isNegative = ({ pins }: Sample) => Object.values(pins).some((found) => found === null || found === 'BAD_REPLY');

describe('recipes for serial devices', () => {
  it('are there', () => expect(files.length).toBeGreaterThanOrEqual(8));

  for (const file of files) {
    it(`${file}: says where it comes from, and its samples give its pins on a real pty`, async () => {
      const text = readFileSync(join(FOLDER, file), 'utf8');
      expect(text).toMatch(/^# Source: /m);
      const recipe = recipeSchema.parse(parse(text));
      expect(recipe.samples.some(isNegative), 'a sample of a value that must not count').toBe(true);
      let own = recipe.samples[0]?.port ?? {};
      let plugged = await run(recipe, own);
      for (const sample of recipe.samples) {
        expect(Object.keys(recipe.pins)).toEqual(expect.arrayContaining(Object.keys(sample.pins)));
        if (JSON.stringify(sample.port) !== JSON.stringify(own)) plugged = await run(recipe, sample.port);
        own = sample.port;
        await expectSample(sample, plugged);
      }
      for (const { pin, value, sends } of recipe.commands) {
        plugged.made.forget();
        const channel = plugged.channelOf(pin);
        if (!channel) throw new Error(`no pin ${pin}`);
        await plugged.port.write(channel, value);
        await until('the command', () => plugged.made.received.length >= bytesOf(sends).length);
        expect(plugged.made.received).toEqual(bytesOf(sends));
      }
    }, 30_000);
  }
});
