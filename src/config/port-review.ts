import type { Channel } from '../driver/driver.ts';
import type { Located } from './located.ts';
import type { CheckedPin } from './pin-section.ts';
import type { PortEntry, Ports } from './port-section.ts';
import type { Problems } from './problems.ts';

/** Reports hardware that two ports want for themselves. */
export function checkClaims(ports: Ports, problems: Problems): void {
  const seen = new Map<string, PortEntry>();
  for (const port of ports.values()) {
    const claim = port?.options && port.driver.claims?.(port.options.value);
    if (port === undefined || claim === undefined) continue;
    const first = seen.get(claim);
    if (first === undefined) seen.set(claim, port);
    else if (port.located) {
      const { keyAt, path } = port.located;
      const there = first.located ? `port ${first.name} in line ${first.located.keyAt.line}` : `port ${first.name}`;
      problems.error(keyAt, path, `${claim} already is ${there}`, {
        found: `${claim} opened twice`,
        expected: 'one port a piece of hardware; many pins and devices may use it',
      });
    }
  }
}

/** Asks the drivers what is doubtful or impossible about their ports, and reports it. */
export function reviewPorts(ports: Ports, pins: readonly CheckedPin[], problems: Problems): void {
  for (const port of ports.values()) {
    if (port?.options === undefined) continue;
    const own = pins.filter((pin) => pin.port === port.name);
    const remarks = port.driver.review?.(port.options.value, own.map(channelOf)) ?? [];
    for (const { channel, other, message, expected, fatal } of remarks) {
      const about: Located | undefined =
        own.find((pin) => pin.key === channel)?.located ?? port.located ?? own[0]?.located;
      const rival = own.find((pin) => pin.key === other);
      const text = rival ? `${message}: pin ${rival.spec.name} in line ${rival.located.keyAt.line}` : message;
      if (about) problems[fatal ? 'error' : 'warning'](about.keyAt, about.path, text, { expected });
    }
  }
}

function channelOf({ key, spec, address }: CheckedPin): Channel {
  return { key, kind: spec.kind, direction: spec.direction, address, debounceMs: spec.debounceMs };
}
