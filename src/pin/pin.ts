/** A value as the hardware has it: before invert and scale. */
export type RawValue = boolean | number | string;

export type PinKind = 'digital' | 'analog' | 'counter' | 'text';
/** Whether a raw value is of a pin's kind. */
export function fitsKind(kind: PinKind, value: RawValue): boolean {
  if (kind === 'digital') return typeof value === 'boolean';
  if (kind === 'text') return typeof value === 'string';
  return typeof value === 'number' && Number.isFinite(value);
}

export type Direction = 'in' | 'out';

/** What an output does when the agent stops: go to `safe`, stay as it is, or be driven no more (become an input). */
export type ExitPolicy = 'safe' | 'hold' | 'input';

/** What an output does when its hardware comes back: go to `safe`, be left as it is, or get the value last confirmed. */
export type LossPolicy = 'safe' | 'hold' | 'rewrite';

/** What a pin is, apart from where its hardware is. Values are the user's (after invert and scale). */
export interface PinSpec {
  readonly name: string;
  readonly kind: PinKind;
  readonly direction: Direction;
  readonly label?: string;
  /** Unit of measure, shown to people: V, kW, °C. */
  readonly uom?: string;
  /** Digital: the user's true is the hardware's false. */
  readonly invert: boolean;
  /** Analog: value = raw × scale + offset. */
  readonly scale: number;
  readonly offset: number;
  /** Analog: a change smaller than this is not reported. */
  readonly deadband: number;
  /** Analog: digits after the decimal point. Absent: as many as there are. */
  readonly precision?: number;
  /** It reports at least this often (ms), be there no change. Absent: only changes. */
  readonly maxSilenceMs?: number;
  /** Analog outputs: inclusive limits of what a command may ask for. */
  readonly range?: readonly [number, number];
  /** Outputs: the value at start. Absent: the hardware's value is kept. */
  readonly initial?: RawValue;
  /** Outputs: the value that harms nobody. */
  readonly safe?: RawValue;
  readonly onExit: ExitPolicy;
  /** Absent: to `safe` if it has one, else left as it is. */
  readonly onLoss?: LossPolicy;
  /** Digital inputs: a level counts once it has been still for this long (ms). 0: at once. */
  readonly debounceMs: number;
  /** Outputs: the pin whose reports this one copies. */
  readonly follow?: string;
}
