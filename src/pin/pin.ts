/** A value of the hardware, before invert and scale. */
export type RawValue = boolean | number | string;

/** Type of a pin and of its value. */
export type PinKind = 'digital' | 'analog' | 'counter' | 'text';
/** Returns whether a raw value fits a pin's kind. */
export function fitsKind(kind: PinKind, value: RawValue): boolean {
  if (kind === 'digital') return typeof value === 'boolean';
  if (kind === 'text') return typeof value === 'string';
  return typeof value === 'number' && Number.isFinite(value);
}

/** Returns whether rules count a value as on: true, every number but 0, a text that the pin's `on` names. */
export function isOn({ kind, on }: Pick<PinSpec, 'kind' | 'on'>, value: RawValue | undefined): boolean {
  if (kind === 'text') return typeof value === 'string' && on?.includes(value) === true;
  return value !== undefined && value !== false && value !== 0;
}

/** Returns the value that means off. `undefined` for a text pin that names none. */
export function offValue({ kind, off }: Pick<PinSpec, 'kind' | 'off'>): RawValue | undefined {
  return kind === 'text' ? off : kind === 'digital' ? false : 0;
}

/** Returns a value as people write it: on or off for true or false. */
export function valueText(value: RawValue | null): string {
  return value === true ? 'on' : value === false ? 'off' : value === null ? 'no value' : String(value);
}

/** Direction of a pin: input or output. */
export type Direction = 'in' | 'out';

/** Behaviour of an output when the agent stops: it goes to `safe`, keeps its value, or becomes an input. */
export type ExitPolicy = 'safe' | 'hold' | 'input';

/**
 * Behaviour of an output when its hardware comes back: it goes to `safe`, keeps its value, or gets the last confirmed value.
 * When the followed pin is bad it goes to `safe` or keeps its value.
 */
export type LossPolicy = 'safe' | 'hold' | 'rewrite';

/** The end of an output's safe state: the next command, or a person who rearms it. */
export type RearmPolicy = 'auto' | 'manual';

/** A pin and the values that count as on, in the user's units. Without `is` the pin itself says which values are on. */
export interface PinCondition {
  readonly pin: string;
  readonly is?: readonly RawValue[];
}

/**
 * The pin that an output copies. With `is` the output is digital, and on while the pin has one of those values. `invert`
 * swaps true and false. A change counts once it is `delayMs` old.
 */
export interface Follow extends PinCondition {
  readonly invert: boolean;
  readonly delayMs: number;
}

/** Outputs that are never on together with this one, and the time (ms) that they must have been off before. */
export interface Interlock {
  readonly pins: readonly string[];
  readonly deadMs: number;
}

/** Limits of an output for every command. `isOn` says what on means. */
export interface Rules {
  readonly follow?: Follow;
  readonly interlock?: Interlock;
  /** The output is on only while all of these are good and on. */
  readonly requires?: readonly PinCondition[];
  /** The output goes off after this time (ms). */
  readonly maxOnMs?: number;
  /** Shortest time (ms) that the output stays on or off, except on its way to the safe value. */
  readonly minOnMs?: number;
  readonly minOffMs?: number;
  /** Most changes of value in any period of `perMs`. */
  readonly rate?: { readonly changes: number; readonly perMs: number };
}

/** A value that is `factor` × the value of a pin + `offset`. */
export interface ScaleOf {
  readonly pin: string;
  readonly factor: number;
  readonly offset: number;
}

/** The specification of a pin without its place on the hardware. Values are the user's, after invert and scale. */
export interface PinSpec {
  readonly name: string;
  readonly kind: PinKind;
  readonly direction: Direction;
  readonly label?: string;
  /** Unit of measure, shown to people: V, kW, °C. */
  readonly uom?: string;
  /** Device class, in Home Assistant's words: voltage, energy, temperature, switch. */
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
  /** Text: every value that the channel can have. Any text when `undefined`. */
  readonly words?: readonly string[];
  /** Text: the values that count as on. Rules need them. */
  readonly on?: readonly string[];
  /** Text outputs: the value that a rule turns the output off with. */
  readonly off?: string;
  /** Longest time (ms) between two reports. Only changes are reported when `undefined`. */
  readonly maxSilenceMs?: number;
  /** Analog outputs: inclusive limits of a command. */
  readonly range?: readonly [number, number];
  /** Digital inputs: a level counts once it has been stable for this time (ms). */
  readonly debounceMs: number;
  /** The value is uncertain when the hardware has not confirmed it for this time (ms). Never when `undefined`. */
  readonly staleAfterMs?: number;
  /** The hardware is simulated. */
  readonly simulated?: true;

  /** Outputs: the start value, or the last one before the restart. The hardware keeps its value when `undefined`. */
  readonly initial?: RawValue | { readonly last: true };
  /** Outputs: the value that harms nobody. The output keeps its value when `undefined`. */
  readonly safe?: RawValue;
  /** Outputs: the value in force is written again this often (ms), for hardware that falls back without it. */
  readonly repeatMs?: number;
  /** Outputs: takes orders that the hardware forgets once it has carried them out. */
  readonly momentary?: true;
  readonly onExit: ExitPolicy;
  readonly onLoss: LossPolicy;
  readonly rearm: RearmPolicy;
  /** Outputs: the node or actor that commands it. Without it the output is in its safe state. `*`: any other node. */
  readonly controller?: string;
  readonly rules: Rules;
  /** Outputs without hardware of their own: a command goes to that pin, in its units. */
  readonly scaleOf?: ScaleOf;

  /** Inputs: the pin whose reports make this one be read: a chip's interrupt line. */
  readonly readOn?: string;
}

/** Returns the raw value that stands for a value of the user: without invert, scale and offset. */
export function rawOf({ invert, scale, offset }: PinSpec, value: RawValue): RawValue {
  if (typeof value === 'boolean') return value !== invert;
  if (typeof value === 'string' || (scale === 1 && offset === 0)) return value;
  // Scaling must not turn 21.7 into 21.700000000000003: twelve significant digits are more than any sensor has.
  return Number(((value - offset) / scale).toPrecision(12));
}
