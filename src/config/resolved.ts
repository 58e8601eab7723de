import type { Driver, ServerKind } from '../driver/contract.ts';
import type { Expression } from '../expression/parse.ts';
import type { PinSpec } from '../pin/pin.ts';

/** A place in the user's file, 1-based as in editors. Line and column are 0 when the configuration is an object. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A mistake (error) or doubt (warning) in a configuration. */
export interface Problem extends Place {
  readonly severity: 'error' | 'warning';
  /** Dotted path of the key: `pins.pump.range`. */
  readonly key: string;
  /** The mistake in one sentence. */
  readonly message: string;
  /** The text at the place. */
  readonly found?: string;
  /** A right value. */
  readonly expected?: string;
  /** The known word closest to the one found. */
  readonly didYouMean?: string;
}

/** A port to open: its driver, and the options that driver's schema produced. */
export interface ResolvedPort {
  readonly name: string;
  readonly driver: Driver;
  readonly options: unknown;
  /** The mock driver opens it in place of its own (board `mock`, `run --mock`). */
  readonly mock: boolean;
}

/** A pin and its channel. */
export interface ResolvedPin {
  readonly spec: PinSpec;
  /** Name of a ResolvedPort; COMPUTED_PORT for a computed pin. */
  readonly port: string;
  /** Canonical text of the channel, unique within the port. */
  readonly key: string;
  /** The output of the driver's pin schema. */
  readonly address: unknown;
  /** The lines of the board that it uses, as `<chip>:<line>`. `undefined` when it uses none. */
  readonly lines?: readonly string[];
  /** The value is computed from other pins of this process. */
  readonly computed?: Computation;
}

/** What stands in place of a port's name for computed pins, which are on no port. */
export const COMPUTED_PORT = 'computed';

/** How a pin's value follows from those of other pins. */
export interface Computation {
  readonly expression: Expression;
  /** The pins whose quality counts. */
  readonly qualityFrom: readonly string[];
}

/** A server that shows pins to other systems. */
export interface ResolvedServer {
  readonly name: string;
  readonly kind: ServerKind;
  readonly options: unknown;
  /** Names of its pins. */
  readonly pins: readonly string[];
}

export interface ResolvedBus {
  /** Take part in the mesh. */
  readonly enabled: boolean;
  /** Address the sockets bind; loopback unless the user says otherwise. */
  readonly listen: string;
  /** Ports of the address broker: its SUB (rx) and its PUB (tx). */
  readonly rx: number;
  readonly tx: number;
  /** Address brokers of other machines. */
  readonly brokers: readonly Endpoint[];
  /** Brokers behind a TCP tunnel: all traffic with them goes through the tunnel. */
  readonly proxyBrokers: readonly Endpoint[];
  /** The user accepts that anyone who reaches the port can command the outputs. */
  readonly insecure: boolean;
  /** Absolute folder of this node's key and of the allowed keys. `undefined` when the bus is not encrypted. */
  readonly security?: { readonly keys: string };
}

/** The web page and the HTTP API. */
export interface ResolvedWeb {
  readonly host: string;
  readonly port: number;
  /** When empty, everybody on this machine may do everything, and `host` is loopback. */
  readonly users: readonly ResolvedWebUser[];
  /** Other origins whose scripts may use the API. */
  readonly origins: readonly string[];
  /** PEM files, absolute. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Length of the trends. */
  readonly historyMs: number;
}

export interface ResolvedWebUser {
  readonly name: string;
  readonly role: 'view' | 'operate' | 'admin';
  /** `scrypt:…`, hash of the password. */
  readonly password?: string | undefined;
  /** `sha256:…`, hash of a token. */
  readonly token?: string | undefined;
}

/** `ip:rx:tx`, as aktos-dcs writes it. */
export interface Endpoint {
  readonly host: string;
  readonly rx: number;
  readonly tx: number;
}

/** A configuration without mistakes. */
export interface ResolvedConfig {
  readonly file: string;
  readonly node: string;
  /** Name of the board. `undefined` when no board is known. */
  readonly board: string | undefined;
  /** Buses of the board that keep their lines for themselves. */
  readonly enabledBuses?: readonly string[];
  readonly bus: ResolvedBus;
  readonly ports: readonly ResolvedPort[];
  readonly pins: readonly ResolvedPin[];
  readonly servers?: readonly ResolvedServer[];
  /** Absolute paths of the user's actor modules. */
  readonly actors: readonly string[];
  /** `undefined` when there is no HTTP server. */
  readonly web?: ResolvedWeb;
  /** Folder of the data that outlives a restart: counts, outputs, overrides. `undefined` when nothing is kept. */
  readonly state?: string;
  /** Outputs are in their safe state this long (ms) after the agent crashes or hangs. `undefined` without guardian. */
  readonly guardianMs?: number;
  readonly warnings: readonly Problem[];
}

/** Names of pins by the line of the board that they use, `<chip>:<line>`. */
export function linesInUse({ pins }: ResolvedConfig): Map<string, string> {
  return new Map(pins.flatMap(({ spec, lines = [] }) => lines.map((line): [string, string] => [line, spec.name])));
}
