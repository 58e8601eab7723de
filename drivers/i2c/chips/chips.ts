import { ads1115 } from './ads1115.ts';
import { bme280 } from './bme280.ts';
import type { ChipKind } from './chip.ts';
import { sht3x } from './sht3x.ts';

/** Chips that have code, by the name a configuration gives them. All others are register maps, which are data. */
export const chips = { ads1115, bme280, sht3x } as const satisfies Record<string, ChipKind>;
export type ChipName = keyof typeof chips;
export const chipNames = ['ads1115', 'bme280', 'sht3x'] as const;
