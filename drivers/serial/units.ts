import { z } from 'zod';

/** A unit: its value in the first unit of its quantity is number × factor + offset. */
interface Unit {
  readonly quantity: number;
  readonly factor: number;
  readonly offset: number;
}

/** Units of one quantity each, and what one of them is in the first. */
const QUANTITIES: readonly Readonly<Record<string, number | readonly [factor: number, offset: number]>>[] = [
  { kg: 1, g: 1e-3, mg: 1e-6, t: 1000, lb: 0.45359237, lbs: 0.45359237, oz: 0.028349523125, ct: 0.0002 },
  { Wh: 1, kWh: 1e3, MWh: 1e6, GWh: 1e9, J: 1 / 3600, kJ: 1 / 3.6, MJ: 1e3 / 3.6, GJ: 1e6 / 3.6 },
  { W: 1, mW: 1e-3, kW: 1e3, MW: 1e6 },
  { var: 1, kvar: 1e3, Mvar: 1e6 },
  { varh: 1, kvarh: 1e3, Mvarh: 1e6 },
  { VA: 1, kVA: 1e3, MVA: 1e6 },
  { VAh: 1, kVAh: 1e3, MVAh: 1e6 },
  { V: 1, mV: 1e-3, kV: 1e3 },
  { A: 1, mA: 1e-3, kA: 1e3 },
  { Hz: 1, kHz: 1e3, MHz: 1e6 },
  { m3: 1, 'm³': 1, dm3: 1e-3, l: 1e-3, L: 1e-3, ml: 1e-6, mL: 1e-6 },
  { 'm3/h': 1, 'm³/h': 1, 'l/h': 1e-3, 'l/min': 0.06, 'l/s': 3.6 },
  { m: 1, mm: 1e-3, cm: 1e-2, km: 1e3, in: 0.0254, ft: 0.3048 },
  { 'm/s': 1, 'km/h': 1 / 3.6, kn: 1852 / 3600, mph: 0.44704 },
  { Pa: 1, hPa: 100, kPa: 1e3, MPa: 1e6, mbar: 100, bar: 1e5, psi: 6894.757293168 },
  { '°C': 1, C: 1, '°F': [5 / 9, -160 / 9], F: [5 / 9, -160 / 9], K: [1, -273.15] },
  { s: 1, ms: 1e-3, min: 60, h: 3600 },
];

/** The unit of a name. Scales write KG as well as kg, so case matters only where it tells units or powers apart. */
function unitNamed(name: string): Unit | undefined {
  const exact = unitsWhere((word) => word === name);
  if (exact[0]) return exact[0];
  const lower = name.toLowerCase();
  // m is a thousandth and M a million: mWh is no spelling of MWh.
  if (unitsWhere((word) => word.toLowerCase() === lower && word[0] !== name[0] && hasPrefixM(word)).length > 0)
    return undefined;
  const [first, ...others] = unitsWhere((word) => word.toLowerCase() === lower);
  const same = others.every((other) => other.quantity === first?.quantity && other.factor === first.factor);
  return same ? first : undefined;
}

function hasPrefixM(word: string): boolean {
  return /^m[a-z]/i.test(word) && !NO_PREFIX.has(word);
}

/** Units whose first letter m is no prefix. */
const NO_PREFIX: ReadonlySet<string> = new Set(['min', 'mph']);

function unitsWhere(matches: (word: string) => boolean): Unit[] {
  return QUANTITIES.flatMap((words, quantity) =>
    Object.entries(words)
      .filter(([word]) => matches(word))
      .map(([, of]) => (typeof of === 'number' ? { quantity, factor: of, offset: 0 } : unitOf(quantity, of))),
  );
}

function unitOf(quantity: number, [factor, offset]: readonly [number, number]): Unit {
  return { quantity, factor, offset };
}

/** Size of a device's unit: `amount` of a known unit, or of the pin's when `unit` is `undefined`. */
export interface Amount {
  readonly amount: number;
  readonly unit: string | undefined;
}

/** Units by the words of a device. */
export type UnitWords = Readonly<Record<string, Amount>>;

const AMOUNT = /^(?:(\d+(?:\.\d+)?(?:e-?\d+)?)\s+)?(\S+)$/i;

/** The words of a device for units: numbers of the pin's unit, or amounts of known ones (`kg`, `64.8 mg`). */
export const unitsSchema = z.record(
  z.string().min(1),
  z.union([z.number(), z.string()]).transform((given, context): Amount => {
    if (typeof given === 'number') return { amount: given, unit: undefined };
    const [, amount = '1', unit = ''] = AMOUNT.exec(given) ?? [];
    if (unitNamed(unit)) return { amount: Number(amount), unit };
    const message = `${given} has no unit that is known: kg, lb, kWh, W, m³, °C and others are, or give a number of the pin's unit`;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  }),
);

/**
 * Converts a number from the unit that the device says to the pin's. `words`: the device's own words. `undefined` when one of the
 * two is not known, or when they measure something else.
 */
export function convertUnit(
  value: number,
  said: string,
  wanted: string | undefined,
  words: UnitWords = {},
): number | undefined {
  const name = said.trim();
  const own = Object.hasOwn(words, name) ? words[name] : undefined;
  if (own?.unit !== undefined) return convertUnit(value * own.amount, own.unit, wanted);
  if (own) return rounded(value * own.amount);
  if (wanted === undefined || name === '') return undefined;
  if (name === wanted) return value;
  const [from, to] = [unitNamed(name), unitNamed(wanted)];
  if (!from || from.quantity !== to?.quantity) return undefined;
  if (from.factor === to.factor && from.offset === to.offset) return value;
  return rounded((value * from.factor + from.offset - to.offset) / to.factor);
}

/** Conversion must not turn 0.107 into 0.10700000000000001: twelve significant digits are more than any device has. */
function rounded(value: number): number {
  return Number(value.toPrecision(12));
}
