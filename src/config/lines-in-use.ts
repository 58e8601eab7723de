import type { ResolvedConfig } from './resolved.ts';

/** The keys of a pin that name a line; an encoder has two. */
const LINE_KEYS = ['gpio', 'encoder'] as const;

/** Which pin is on which GPIO line, by `<chip>:<line>` as boards name them. */
export function linesInUse({ ports, pins }: ResolvedConfig): Map<string, string> {
  const chips = new Map(ports.map((port) => [port.name, textAt(port.options, 'chip')]));
  const used = new Map<string, string>();
  for (const { spec, port, address } of pins) {
    const chip = chips.get(port);
    for (const key of LINE_KEYS) {
      const line = textAt(address, key);
      if (chip !== undefined && line !== undefined) used.set(`${chip}:${line}`, spec.name);
    }
  }
  return used;
}

function textAt(found: unknown, key: string): string | undefined {
  if (typeof found !== 'object' || found === null) return undefined;
  const value: unknown = Reflect.get(found, key);
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}
