/** A line of a GPIO chip: by offset where the board knows it, else by the kernel's name of it. */
export interface BoardLine {
  /** Label of the chip, or its device name where the user wrote that. */
  readonly chip: string;
  readonly line: number | string;
  /** The chip does not exist: the mock driver simulates it. */
  readonly mock: boolean;
}

/** A channel of the processor's PWM that a line can be connected to. */
export interface PwmOutput {
  /** The PWM chip, by the name of its device. */
  readonly chip: string;
  readonly channel: number;
  /** The line is connected when the device tree gives it this function, or when this file says `pwm`. */
  readonly connectedWhen: { readonly offset: number; readonly function: number } | { readonly state: string };
  /** Instructions for connecting the line. */
  readonly howToConnect: string;
}

/** The files of the computer that the configuration is read on. */
export interface SystemFiles {
  exists(path: string): boolean;
  /** `undefined` when there is no such file, or this process may not read it. */
  read(path: string): Buffer | undefined;
  /** The names in a folder; none when there is no folder. */
  list(path: string): string[];
}

/** The lines of the board in the configuration. */
export interface BoardLines {
  /** The line of an alias (`GPIO17`) or of `<chip>:<offset or name>`. */
  resolve(name: string): BoardLine | undefined;
  /** The channel of the processor's PWM that a line can be connected to. */
  pwmOutput(line: BoardLine): PwmOutput | undefined;
  /** Names of the lines at which the processor's PWM can come out. */
  pwmLines(): string[];
}

/** One pin that a driver places, and the answers it may ask for. */
export interface PinToPlace {
  /** The values of the pin's driver keys, as the user wrote them. */
  readonly keys: ReadonlyMap<string, unknown>;
  /** `undefined` when the configuration names a board that does not exist. */
  readonly board: BoardLines | undefined;
  /** The board is the computer that reads the configuration and is not simulated: `files` tell how it is set up. */
  readonly onThisComputer: boolean;
  readonly files: SystemFiles;
  /** The advice of drivers that declined the pin before. */
  readonly advice: readonly PlacementAdvice[];
  /** The board's line that a key names. Reports a name that the board does not have, and returns `undefined` then. */
  line(key: string): BoardLine | undefined;
  /** Reports a mistake at the value of a key. */
  error(key: string, message: string, expected?: string): void;
  warning(key: string, message: string, expected?: string): void;
}

/** Why a driver cannot take a pin, and what would be right. */
export interface PlacementAdvice {
  /** Present when the user should hear of it, whatever driver takes the pin. */
  readonly message?: string;
  /** The change that makes the pin fit the driver. */
  readonly expected: string;
}

/** A pin's keys as the driver's `pin` schema takes them, and the lines of the board they stand for. */
export interface PlacedKeys {
  /** Keys that get another value; `from` is the key that the user wrote it at. */
  readonly changed?: Readonly<Record<string, { readonly from: string; readonly value: number | string }>>;
  readonly removed?: readonly string[];
  /** Each with the key that names it. */
  readonly lines?: readonly { readonly key: string; readonly line: BoardLine }[];
}

/** Result of placing a pin that names no port. */
export type Placement =
  | (PlacedKeys & {
      readonly kind: 'placed';
      /**
       * The port of the pin. A port of the configuration with the same `Driver.claims` is used; otherwise this one is made,
       * once for all pins.
       */
      readonly port: {
        readonly name: string;
        readonly options: Readonly<Record<string, unknown>>;
        /** The mock driver simulates it. */
        readonly mock?: boolean;
      };
    })
  /** The pin is for another driver. */
  | { readonly kind: 'declined'; readonly advice?: PlacementAdvice }
  /** No driver can place the pin, which has been reported. */
  | { readonly kind: 'invalid' };

/** Finds the port of pins whose own keys name the hardware (`gpio: GPIO17`). Touches no hardware. */
export interface PinPlacer<Options = unknown> {
  /** The driver is asked about pins that name no port and have all these keys. Drivers with more keys are asked first. */
  readonly keys: readonly string[];
  /** The form of such a pin in messages: `gpio: LINE`. */
  readonly usage: string;
  place(pin: PinToPlace): Placement;
  /** Translates the keys of a pin that names a port of this driver: aliases of lines become lines. */
  placeOnPort?(pin: PinToPlace, options: Options): PlacedKeys;
}
