import type { Driver, ServerKind } from '../driver/contract.ts';
import type { PinSpec } from '../pin/pin.ts';

/** Where something stands in the user's file; 1-based, as editors count. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One thing wrong (error) or doubtful (warning) in a configuration. */
export interface Problem extends Place {
  readonly severity: 'error' | 'warning';
  /** Dotted path of the key: `pins.pump.range`. */
  readonly key: string;
  /** What is wrong, in one sentence. */
  readonly message: string;
  /** What stands there, as text. */
  readonly found?: string;
  /** What would be right. */
  readonly expected?: string;
  /** The known word closest to the one found. */
  readonly didYouMean?: string;
}

/** A port to open: its driver, and the options that driver's schema produced. */
export interface ResolvedPort {
  readonly name: string;
  readonly driver: Driver;
  readonly options: unknown;
  /** Open the mock in its place (board `mock`, `run --mock`). */
  readonly mock: boolean;
}

/** A pin and where its hardware is. */
export interface ResolvedPin {
  readonly spec: PinSpec;
  /** Name of a ResolvedPort. */
  readonly port: string;
  /** Canonical text of the channel, unique within the port. */
  readonly key: string;
  /** What the driver's pin schema produced. */
  readonly address: unknown;
  /** The GPIO lines it is on, `<chip>:<line>` as boards name them. Absent: none. */
  readonly lines?: readonly string[];
}

/** What shows pins to other systems. */
export interface ResolvedServer {
  readonly name: string;
  readonly kind: ServerKind;
  readonly options: unknown;
  /** Names of the pins it shows. */
  readonly pins: readonly string[];
}

export interface ResolvedBus {
  /** Take part in the mesh at all. */
  readonly enabled: boolean;
  /** Address the sockets bind; loopback unless the user says otherwise. */
  readonly listen: string;
  /** Ports of the address broker: its SUB (rx) and its PUB (tx). */
  readonly rx: number;
  readonly tx: number;
  /** Address brokers of other machines. */
  readonly brokers: readonly Endpoint[];
  /** Brokers behind a TCP tunnel: talked to through the tunnel, never around it. */
  readonly proxyBrokers: readonly Endpoint[];
  /** The user accepts that anyone who reaches the port can command the outputs. */
  readonly insecure: boolean;
  /** Folder (absolute) of this node's key and of those it allows; absent: the bus is not encrypted. */
  readonly security?: { readonly keys: string };
}

/** The web page and the HTTP API. */
export interface ResolvedWeb {
  readonly host: string;
  readonly port: number;
  /** None: whoever is on this machine may do everything; `host` is loopback then. */
  readonly users: readonly ResolvedWebUser[];
  /** Other origins whose scripts may use the API. */
  readonly origins: readonly string[];
  /** PEM files, absolute. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** How far back the trends go. */
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

/** A configuration that is right: everything in it exists, fits and is named once. */
export interface ResolvedConfig {
  readonly file: string;
  readonly node: string;
  /** Name of the board, or undefined for none. */
  readonly board: string | undefined;
  /** Buses of the board that keep their lines for themselves. */
  readonly enabledBuses?: readonly string[];
  readonly bus: ResolvedBus;
  readonly ports: readonly ResolvedPort[];
  readonly pins: readonly ResolvedPin[];
  readonly servers?: readonly ResolvedServer[];
  /** Absolute paths of the user's actor modules. */
  readonly actors: readonly string[];
  /** Absent: no HTTP at all. */
  readonly web?: ResolvedWeb;
  /** Folder for what outlives a restart (counts); absent: nothing does. */
  readonly state?: string;
  /** Outputs are safe this long (ms) after the agent crashed or began to hang; absent: no guardian. */
  readonly guardianMs?: number;
  readonly warnings: readonly Problem[];
}

/** Which pin is on which GPIO line, by `<chip>:<line>` as boards name them. */
export function linesInUse({ pins }: ResolvedConfig): Map<string, string> {
  return new Map(pins.flatMap(({ spec, lines = [] }) => lines.map((line): [string, string] => [line, spec.name])));
}
