import { z } from 'zod';

const UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 };

/** Milliseconds of `20ms`, `1s`, `1.5 s`, `10m`, `1h`. `undefined` for other text, also for a number without a unit. */
export function parseDuration(text: string): number | undefined {
  const found = /^(\d+(?:\.\d+)?)\s*(us|ms|s|min|m|h)$/.exec(text.trim());
  const factor = found?.[2] === undefined ? undefined : UNITS[found[2]];
  return found?.[1] === undefined || factor === undefined ? undefined : Number(found[1]) * factor;
}

/** A duration with its unit, as milliseconds. */
export const durationSchema = z
  .string({ error: 'a duration with its unit: 20ms, 1s, 10m' })
  .regex(/^\s*\d+(\.\d+)?\s*(us|ms|s|min|m|h)\s*$/, { error: 'a duration with its unit: 20ms, 1s, 10m' })
  .transform((text) => parseDuration(text) ?? 0)
  .meta({ title: 'duration', description: 'a duration: 20ms, 1s, 10m, 1h' });

/** Settings of a serial line. */
export interface LineSettings {
  readonly baud: number;
  readonly dataBits: 5 | 6 | 7 | 8;
  readonly parity: 'none' | 'even' | 'odd';
  readonly stopBits: 1 | 2;
}

const PARITY = { N: 'none', E: 'even', O: 'odd' } as const;
const LINE = /^\s*(\d{2,8})-([5678])([NEO])([12])\s*$/i;

/** Settings of a serial line as `9600-8N1`: baud, data bits, parity, stop bits. */
export const lineSchema = z
  .string()
  .regex(LINE, { error: 'line settings like 9600-8N1 (baud, data bits, parity N/E/O, stop bits)' })
  .transform((text): LineSettings => {
    const [, baud = '9600', data = '8', parity = 'N', stop = '1'] = LINE.exec(text) ?? [];
    return {
      baud: Number(baud),
      dataBits: data === '5' ? 5 : data === '6' ? 6 : data === '7' ? 7 : 8,
      parity: parity.toUpperCase() === 'E' ? PARITY.E : parity.toUpperCase() === 'O' ? PARITY.O : PARITY.N,
      stopBits: stop === '2' ? 2 : 1,
    };
  })
  .meta({
    title: 'line settings',
    description: 'line settings: baud, data bits, parity, stop bits, like 9600-8N1',
    examples: ['19200-8E1'],
  });
