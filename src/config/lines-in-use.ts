import type { ResolvedConfig } from './resolved.ts';

/** Which pin is on which GPIO line, by `<chip>:<line>` as boards name them. */
export function linesInUse({ pins }: ResolvedConfig): Map<string, string> {
  return new Map(pins.flatMap(({ spec, lines = [] }) => lines.map((line): [string, string] => [line, spec.name])));
}
