/** A value as the hardware has it: before invert and scale. */
export type RawValue = boolean | number | string;

/** Type of a pin and of its value. */
export type PinKind = 'digital' | 'analog' | 'counter' | 'text';
/** Whether a raw value is of a pin's kind. */
export function fitsKind(kind: PinKind, value: RawValue): boolean {
  if (kind === 'digital') return typeof value === 'boolean';
  if (kind === 'text') return typeof value === 'string';
  return typeof value === 'number' && Number.isFinite(value);
}

/** On, as rules mean it: everything but false, 0 and empty text. */
export function isOn(value: RawValue | undefined): boolean {
  return value !== undefined && value !== false && value !== 0 && value !== '';
}

/** Returns the value that means off: `false`, 0 or an empty text. */
export function offValue(kind: PinKind): RawValue {
  return kind === 'digital' ? false : kind === 'text' ? '' : 0;
}

/** Direction of a pin: input or output. */
export type Direction = 'in' | 'out';

/** What an output does when the agent stops: go to `safe`, stay as it is, or be driven no more (become an input). */
export type ExitPolicy = 'safe' | 'hold' | 'input';

/**
 * What an output does when its hardware comes back: go to `safe`, be left as it is, or get the value last confirmed. When
 * what it follows is bad: go to `safe`, or stay.
 */
export type LossPolicy = 'safe' | 'hold' | 'rewrite';

/** What ends the safe state of an output: the next command, or a person. */
export type RearmPolicy = 'auto' | 'manual';

/** The pin an output copies. Digital: true is false with `invert`. A change counts once it has stood for `delayMs`. */
export interface Follow {
  readonly pin: string;
  readonly invert: boolean;
  readonly delayMs: number;
}

/** Outputs that are never on together with this one, and how long (ms) they must have been off before. */
export interface Interlock {
  readonly pins: readonly string[];
  readonly deadMs: number;
}

/** What limits an output, whoever commands it. On is everything but false, 0 and empty text. */
export interface Rules {
  readonly follow?: Follow;
  readonly interlock?: Interlock;
  /** On only while all of these are good and true. */
  readonly requires?: readonly string[];
  /** It goes off after this long (ms). */
  readonly maxOnMs?: number;
  /** Once on (off) it stays so for this long (ms), unless it has to go to its safe value. */
  readonly minOnMs?: number;
  readonly minOffMs?: number;
  /** Most changes of value in any period of `perMs`. */
  readonly rate?: { readonly changes: number; readonly perMs: number };
}

/** What a pin is, apart from where its hardware is. Values are the user's (after invert and scale). */
export interface PinSpec {
  readonly name: string;
  readonly kind: PinKind;
  readonly direction: Direction;
  readonly label?: string;
  /** Unit of measure, shown to people: V, kW, °C. */
  readonly uom?: string;
  /** What it measures or drives, in Home Assistant's words: voltage, energy, temperature, switch. */
  readonly class?: string;
  /** Digital: the user's true is the hardware's false. */
  readonly invert: boolean;
  /** Analog: value = raw × scale + offset. */
  readonly scale: number;
  readonly offset: number;
  /** Analog: a change smaller than this is not reported. */
  readonly deadband: number;
  /** Analog: digits after the decimal point. All digits when `undefined`. */
  readonly precision?: number;
  /** Analog outputs: a read-back that differs by no more than this still confirms a command. */
  readonly tolerance?: number;
  /** It reports at least this often (ms), be there no change. Absent: only changes. */
  readonly maxSilenceMs?: number;
  /** Analog outputs: inclusive limits of what a command may ask for. */
  readonly range?: readonly [number, number];
  /** Digital inputs: a level counts once it has been still for this long (ms). 0: at once. */
  readonly debounceMs: number;
  /** Not confirmed by the hardware for this long (ms), the value is uncertain. Absent: it does not age. */
  readonly staleAfterMs?: number;
  /** Its values are made up: the hardware is simulated. */
  readonly simulated?: true;

  /** Outputs: the value at start, or the one of before the restart. Absent: the hardware's value is kept. */
  readonly initial?: RawValue | { readonly last: true };
  /** Outputs: the value that harms nobody. Absent: to stay as it is. */
  readonly safe?: RawValue;
  readonly onExit: ExitPolicy;
  readonly onLoss: LossPolicy;
  readonly rearm: RearmPolicy;
  /** Outputs: the node or actor without which it is in its safe state; `*`: any other node. */
  readonly controller?: string;
  readonly rules: Rules;

  /** Inputs: the pin whose reports say that this one is to be read now: a chip's interrupt line. */
  readonly readOn?: string;
}
