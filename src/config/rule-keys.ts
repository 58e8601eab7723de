import type { Interlock, PinSpec, Rules } from '../pin/pin.ts';
import type { PinKeys } from './schema.ts';

/** The rules a pin's keys state. */
export function rulesOf({ follow, interlock, requires, max_on, min_on, min_off, rate }: PinKeys): Rules {
  return {
    ...(follow !== undefined && {
      follow:
        typeof follow === 'string'
          ? { pin: follow, invert: false, delayMs: 0 }
          : { pin: follow.pin, invert: follow.invert, delayMs: follow.delay ?? 0 },
    }),
    ...(interlock !== undefined && { interlock: interlockOf(interlock) }),
    ...(requires !== undefined && { requires: listOf(requires) }),
    ...(max_on !== undefined && { maxOnMs: max_on }),
    ...(min_on !== undefined && { minOnMs: min_on }),
    ...(min_off !== undefined && { minOffMs: min_off }),
    ...(rate !== undefined && { rate }),
  };
}

function interlockOf(given: NonNullable<PinKeys['interlock']>): Interlock {
  if (typeof given === 'string' || Array.isArray(given)) return { pins: listOf(given), deadMs: 0 };
  return { pins: listOf(given.with), deadMs: given.dead_time ?? 0 };
}

function listOf(given: string | readonly string[]): readonly string[] {
  return typeof given === 'string' ? [given] : [...new Set(given)];
}

/** An interlock stated on one side holds on both, with the longer dead time. */
export function mutual(specs: readonly PinSpec[]): Map<string, PinSpec> {
  const all = new Map(specs.map((spec) => [spec.name, spec]));
  for (const { name, rules } of specs) {
    for (const other of rules.interlock?.pins ?? []) {
      const partner = all.get(other);
      if (!partner) continue;
      const { pins = [], deadMs = 0 } = partner.rules.interlock ?? {};
      const interlock = {
        pins: [...new Set([...pins, name])],
        deadMs: Math.max(deadMs, rules.interlock?.deadMs ?? 0),
      };
      all.set(other, { ...partner, rules: { ...partner.rules, interlock } });
    }
  }
  return all;
}
