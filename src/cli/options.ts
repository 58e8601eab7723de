import { InvalidArgumentError, Option } from 'commander';

/** Options of every command that joins the bus. */
export interface ClientOptions {
  /** `HOST:RX:TX`. */
  readonly bus?: string;
  /** Configuration that names the bus and its keys. */
  readonly config?: string;
  readonly json?: boolean;
  /** Milliseconds. */
  readonly timeout: number;
}

export function configOption(
  description = 'configuration (default: ./dcs-io.yaml, then /etc/dcs-io/dcs-io.yaml)',
): Option {
  return new Option('-c, --config <file>', description);
}

export function busOption(
  description = 'address of the bus (default: that of -c, then $DCS_IO_BUS, then 127.0.0.1:5012:5013)',
): Option {
  return new Option('--bus <host:rx:tx>', description);
}

export function jsonOption(): Option {
  return new Option('--json', 'one JSON object a line');
}

export function mockOption(): Option {
  return new Option('--mock', 'replace every port by simulated hardware');
}

export function timeoutOption(): Option {
  return new Option('--timeout <seconds>', 'how long to wait').default(5000, '5').argParser(milliseconds);
}

function milliseconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 3600)) throw new InvalidArgumentError('write seconds, like 5 or 0.5.');
  return seconds * 1000;
}

/** Parses an option's whole number between two limits. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const found = Number(text);
    if (text.trim() !== '' && Number.isInteger(found) && found >= least && found <= most) return found;
    throw new InvalidArgumentError(`a whole number from ${least} to ${most}.`);
  };
}

/** Tells whether a pin's name matches one of the patterns: `*` is any text, `?` one character. No patterns match every name. */
export function pinFilter(patterns: readonly string[]): (name: string) => boolean {
  const rules = patterns.map((pattern) => {
    const escaped = pattern
      .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
    return new RegExp(`^${escaped}$`);
  });
  return (name) => rules.length === 0 || rules.some((rule) => rule.test(name));
}
