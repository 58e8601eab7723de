import type { ChipKind } from './chip.ts';
import { bme280, sht3x } from './climate.ts';
import { ads1115, mcp3424, mcp4725 } from './converters.ts';
import { ssd1306, ssd1306Low } from './ssd1306.ts';

/** Chips with code, by their name in the configuration. All other chips are register maps, which are data. */
export const chips = {
  ads1115,
  bme280,
  mcp3424,
  mcp4725,
  sht3x,
  ssd1306,
  'ssd1306-32': ssd1306Low,
} as const satisfies Record<string, ChipKind>;
export type ChipName = keyof typeof chips;
export const chipNames = ['ads1115', 'bme280', 'mcp3424', 'mcp4725', 'sht3x', 'ssd1306', 'ssd1306-32'] as const;
