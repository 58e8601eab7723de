import type { z } from 'zod';
import type { Clock, DurationMs, MonotonicMs, UnixSeconds } from '../clock/clock.ts';
import type { DcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import type { Direction, PinKind, RawValue } from '../pin/pin.ts';
import type { PinPlacer } from './placement.ts';

/** The point of a port that a pin stands for: a line of a GPIO chip, a register of a Modbus unit. */
export interface Channel<Address = unknown> {
  /** Canonical text of the address, unique within the port: `line 17`, `u1/holding/10`. Two pins must not have the same key. */
  readonly key: string;
  readonly kind: PinKind;
  readonly direction: Direction;
  /** The pin's driver keys, as the driver's own `pin` schema parsed them. */
  readonly address: Address;
  /**
   * Outputs: the raw value to drive from the moment the port owns the channel, in the same step where the hardware can; the
   * present value stays when `undefined`. Counters: the count to begin with.
   */
  readonly openingValue?: RawValue;
  /**
   * Outputs: returns the raw value for a device (a unit of a bus) that was away while its port was open. The port asks for it
   * once when the device answers again, because that counts as a loss; `undefined` leaves the output as it is.
   */
  readonly returnValue?: () => RawValue | undefined;
  /** Outputs: returns the raw value in force now, and changes nothing; `undefined` when there is none. */
  readonly valueInForce?: () => RawValue | undefined;
  /** Digital inputs: time (ms) for which a level must be stable; 0 without debouncing. */
  readonly debounceMs: number;
  /** Unit of the pin's values as its configuration states it, for devices that say the unit of each value. */
  readonly uom?: string;
}

/** The result of reading a channel. A failure is a reading too: it makes the pin's quality bad. */
export type Reading =
  | {
      readonly ok: true;
      readonly value: RawValue;
      /** Time of the value by the kernel or device, Unix seconds. Values that were read together have the same one. */
      readonly sourceTime?: UnixSeconds;
      /** Why the value may be wrong; the pin's quality becomes `uncertain`. */
      readonly uncertain?: string;
      /** Counters: change of the value per second, where the port measures it. */
      readonly rate?: number;
    }
  | { readonly ok: false; readonly error: DcsError };

/** Receives the readings of one channel. */
export type ReadingListener = (reading: Reading) => void;

/** The result of a write. */
export interface WriteResult {
  /** The value that the hardware then had, where it can be read back. */
  readonly readBack?: RawValue;
}

/** Options of one write. */
export interface WriteOptions {
  /** Time after which the port must not begin the write: it rejects with EXPIRED. */
  readonly expiresAt?: MonotonicMs;
  /**
   * The value has been in force for some time and is only written again. A port that knows that the
   * device is away rejects with PORT_DOWN, because the device gets its `returnValue`.
   */
  readonly repetition?: true;
}

/**
 * One opened piece of hardware. It tells its readings through `PortContext.changed`. Every promise that it returns settles, also
 * when the hardware is unplugged; errors are DcsErrors. Calls may overlap: the port runs writes of a channel in their order.
 *
 * A port does not reopen itself. When it cannot go on it calls `context.down(error)` once and rejects all pending calls; its
 * owner then closes it and opens a new one.
 */
export interface Port {
  /**
   * Reads channels from the hardware now: one reading each, in the order asked. Rejects only when the port is down. A value
   * that cannot be asked for is the last one received, with its own `sourceTime`, so that it still ages.
   */
  read(channels: readonly Channel[]): Promise<Reading[]>;
  /**
   * Drives an output. Resolves once the hardware has accepted the value. Rejects with BAD_VALUE or OUT_OF_RANGE when the raw
   * value cannot be encoded (nothing was sent), and with TIMEOUT when it is unknown whether the write took effect.
   */
  write(channel: Channel, value: RawValue, options?: WriteOptions): Promise<WriteResult>;
  /**
   * Drives several outputs as simultaneously as the hardware can (lines of a GPIO chip in one system call). All values are
   * checked before any is sent. Rejects as `write` does.
   */
  writeAll?(writes: readonly { readonly channel: Channel; readonly value: RawValue }[]): Promise<WriteResult[]>;
  /**
   * Returns the raw distance of neighbouring values that an output can hold near `value` (a DAC's step, a float32's); 0 when
   * it holds `value` exactly. A reading within half of it confirms a write of `value`. When `undefined`, whole numbers must be
   * equal, and others as float32 values. Must be cheap and never throw.
   */
  resolution?(channel: Channel, value: RawValue): number | undefined;
  /** Sets a count or position that the port keeps. Rejects with READ_ONLY or BAD_VALUE, and with the line's error while it is lost. */
  preset?(channel: Channel, value: RawValue): Promise<WriteResult>;
  /** Stops driving an output: its line becomes an input (high impedance). The next write drives it again. */
  float?(channel: Channel): Promise<void>;
  /** Releases the hardware. Idempotent, bounded (≤ 500 ms), never rejects. The port tells nothing afterwards. */
  close(): Promise<void>;
  /**
   * Returns how another process gives these outputs their safe values when this one has crashed or hangs; `undefined` when
   * that is impossible or not needed. Called when the port is open, and again after `PortContext.crashPlanChanged`. Throws as
   * `write` does when a value cannot be encoded.
   */
  crashPlan?(writes: readonly SafeWrite[]): CrashPlan | undefined;
  /** The port debounces its inputs itself (in the kernel); otherwise the pin does. */
  readonly debounces?: true;
  /** Metrics beside the counters: `utilisation` (0 to 1), `round_trip_p99_ms`. Must be cheap: read every few seconds. */
  metrics?(): Readonly<Record<string, number>>;
  /** Serial ports: the bytes beside the pins (SerialPortMessage). */
  readonly stream?: ByteStream;
}

/** Frames to and from a serial device. */
export interface ByteStream {
  /** Sends bytes, all or none. Resolves with their number when the kernel has taken them. */
  send(bytes: Uint8Array): Promise<number>;
  /** Calls `listener` with each received frame, without its delimiter, in order. Returns a function that ends that. */
  onFrame(listener: (frame: Uint8Array, sourceTime: UnixSeconds) => void): () => void;
}

/** An output and its safe value. */
export interface SafeWrite {
  readonly channel: Channel;
  readonly value: RawValue;
}

/**
 * Plan by which the guardian process puts a port's outputs in their safe state when the agent has crashed or hangs. The agent gives it to
 * the guardian while all is well.
 */
export interface CrashPlan {
  /** URL of the module that executes the plan; it exports `prepare: Prepare`. */
  readonly executor: string;
  /** Data for that module. It is copied to another process: numbers, text, lists, Buffers. */
  readonly plan: unknown;
  /**
   * Descriptors through which this process holds hardware. The guardian gets duplicates, so the hardware stays held and
   * unchanged when this process ends.
   */
  readonly descriptors?: readonly number[];
}

/** Descriptors that pass from one process to another, so that the hardware stays held. */
export interface HeldDescriptors {
  /** Content of the descriptors, in the driver's own JSON. It may come from another version of the driver. */
  readonly plan: unknown;
  /** Open descriptors of this process; the receiver owns them. */
  readonly descriptors: readonly number[];
}

/** The environment of a driver, in a port as in a server. */
export interface DriverContext {
  readonly clock: Clock;
  readonly log: Log;
  /** The port cannot go on (unplugged, connection lost). Called at most once, never after `close`. */
  down(error: DcsError): void;
  /** Adds to a named counter: `timeouts`, `frames_dropped`. Nothing is lost silently. */
  count(name: string, by?: number): void;
}

/** The environment of a port. */
export interface PortContext extends DriverContext {
  /**
   * The port tells every change of each of its channels, beginning with the first value as soon as it is known: also while
   * `open` is still running. Never called after `close` or `down`. A value that `write`, `writeAll` or `preset` resolves
   * with is not told again; the port tells when the hardware then differs.
   */
  changed(channel: Pick<Channel, 'key'>, reading: Reading): void;
  /**
   * Asks the previous run's guardian to release its hardware. Resolves with the descriptors it could hand over; the port
   * owns them. Called right before the hardware is taken, so that it is without an owner for the shortest time. Never
   * rejects. `undefined` when there is no previous run.
   */
  reclaim?(): Promise<readonly HeldDescriptors[]>;
  /** The result of `Port.crashPlan` has changed. `undefined` when no guardian is running. */
  crashPlanChanged?(): void;
}

/** A port, or the reason why this machine has no such hardware: that is not an error, and its pins say why. */
export type OpenResult =
  | { readonly kind: 'port'; readonly port: Port }
  | { readonly kind: 'skipped'; readonly reason: string };

/** Facts about a channel from its pin's keys alone, without touching hardware. */
export interface ChannelFacts {
  /** `undefined` when the channel has no address: the pin's name is then its key. */
  readonly key?: string;
  readonly kind: PinKind;
  /** Directions the hardware allows. */
  readonly directions: readonly Direction[];
  /** As an output it can stop being driven; see Port.float. */
  readonly floats?: true;
  /** Text: every value that the channel can have, such as the names of a register's numbers. Any text when `undefined`. */
  readonly words?: readonly string[];
  /** As an output it takes orders that the device forgets once it has carried them out: no value stays in force. */
  readonly momentary?: true;
}

/** A problem of a port's configuration: registers that overlap, a bus too slow for its polling. */
export interface Remark {
  /** Key of the channel; `undefined` when the remark is about the whole port. */
  readonly channel?: string;
  /** Key of another channel that the channel contradicts. */
  readonly other?: string;
  /** The key at fault, of the channel's pin or else of the port; with dots for a nested one: `quirks.line`. */
  readonly key?: string;
  readonly message: string;
  /** The right value or way. */
  readonly expected?: string;
  /** The configuration is refused, because it cannot work; a warning when `undefined`. */
  readonly fatal?: true;
}

/** Hardware on this machine that a port of the driver could open. */
export interface DetectedPort {
  /** Path of the device. Several drivers may detect the same device: then the user chooses one. */
  readonly path: string;
  /** Name for the port: `i2c-1`. When `undefined`, ports are numbered. */
  readonly name?: string;
  /** Description of the device for people, such as what USB says of it; may be empty. */
  readonly about: string;
  /** Keys of the entry in `ports:`, without `driver`. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Devices that answered on a bus. */
  readonly devices?: readonly DetectedDevice[];
  /** The reason why the devices on the bus could not be detected. */
  readonly problem?: string;
}

/** A device that answered on a bus. */
export interface DetectedDevice {
  /** Address, as the key `address` in `devices:` takes it: `0x20`. */
  readonly address: string;
  /** Models that usually have this address: `MCP23017, MCP23008 or PCF8574`. */
  readonly guesses: readonly string[];
}

/** Rights that a driver's ports need. The service unit grants them; `doctor` and `init` check them. */
export interface AccessNeeds {
  /** Groups that usually own the devices: `gpio`, `dialout`. */
  readonly groups?: readonly string[];
  /** Paths of the devices; `*` stands for any text without `/`: `/dev/gpiochip*`. */
  readonly devices?: readonly string[];
  /** Socket families beyond AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK, by their names in <sys/socket.h>: `AF_CAN`. */
  readonly addressFamilies?: readonly `AF_${string}`[];
  /** Advice for enabling the hardware when no device is there: `raspi-config`, an overlay, a kernel module. */
  readonly hint?: string;
}

/**
 * Opens ports of one kind. A driver imports its native library inside `open`, so that a configuration can be checked on machines
 * that do not have the library. `open` and `describe` get what the two schemas have parsed.
 */
export interface Driver<Options = unknown, Address = unknown> {
  /** Version of the contract that the driver was made for. */
  readonly contract: 1;
  readonly name: string;
  /** One line for the reference. */
  readonly summary: string;
  /** The keys of an entry in `ports:`, without `driver`. */
  readonly options: z.ZodType<Options>;
  /** The keys of an entry in `pins:` that name its channel. */
  readonly pin: z.ZodType<Address>;
  /** Keys of `pin` that have a meaning in one direction only: `check` refuses them on a pin of the other. */
  readonly keyDirections?: Readonly<Record<string, Direction>>;
  /** Throws a DcsError (BAD_CONFIG) when no channel can be as the keys say. */
  describe(address: Address, options: Options): ChannelFacts;
  /** Finds the port of pins that name none, and translates names of lines; see PinPlacer. */
  readonly placer?: PinPlacer<Options>;
  /**
   * `simulated`: the driver simulates hardware, and reports of its pins say so. `none`: nothing is behind its pins. Neither
   * is replaced by the mock driver. `undefined` for real hardware.
   */
  readonly hardware?: 'simulated' | 'none';
  /** Rights that the operating system must grant; `undefined` when an ordinary user's rights are enough. */
  readonly access?: AccessNeeds;
  /**
   * Paths of the files that a port with these options opens; none when its hardware is missing. `doctor` checks them. For
   * drivers whose `claims` is not the path of the device.
   */
  devicePaths?(options: Options): Promise<readonly string[]>;
  /** Detects hardware of this machine, for the first configuration that `dcs-io init` writes. Only reads. */
  detect?(): Promise<readonly DetectedPort[]>;
  /**
   * Returns the hardware that a port with these options needs for itself, named as every driver would: `/dev/ttyUSB0`,
   * `192.168.1.10:502`. Two ports must not claim the same. `undefined` when the hardware can be shared.
   */
  claims?(options: Options): string | undefined;
  /**
   * Returns problems of a port with these channels, without touching hardware. `check` shows them. Outputs have the
   * `openingValue` of `initial`, and the `returnValue` of `safe`.
   */
  review?(options: Options, channels: readonly Channel<Address>[]): readonly Remark[];
  /**
   * Longest pause (ms) between two tries to open a port that is down; 3 s when `undefined`. Shorter where a try is cheap and a
   * person waits for it, as for an adapter that was plugged in again.
   */
  readonly reopenMs?: DurationMs;
  /** Returns an estimate for people of a port with these channels, such as the load of its bus. `check` shows it. */
  estimate?(options: Options, channels: readonly Channel<Address>[]): string | undefined;
  /** Serves pins to other systems, for entries in `servers:` that name this driver. */
  readonly server?: ServerKind;
  /** Opens the hardware. Rejects with a DcsError when the hardware is there but cannot be opened; the owner tries again. */
  open(options: Options, channels: readonly Channel<Address>[], context: PortContext): Promise<OpenResult>;
}

/** Facts about a pin, from the configuration alone. */
export interface PinFacts {
  readonly kind: PinKind;
  readonly direction: Direction;
}

/** The agent's pins, for a server. */
export interface ServedPins {
  /** Returns the last reported value. Throws a DcsError when its quality is bad: a server must not serve old values. */
  read(pin: string): RawValue;
  /**
   * Sends a command over the bus and waits for the pin's answer, so that the same checks and rights hold as for any command.
   * Rejects with the pin's refusal, and with TIMEOUT when it is unknown whether the command took effect.
   */
  command(pin: string, value: RawValue): Promise<void>;
  /** Returns the port of that name. Throws a DcsError (PORT_DOWN) when it is not open. */
  port(name: string): Port;
}

/** The pins and ports that a server uses, so that they can be checked before it runs. */
export interface ServerNeeds {
  readonly pins: readonly string[];
  readonly ports: readonly string[];
}

/** Serves pins to other systems in their own protocol. */
export interface ServerKind<Options = unknown> {
  /** The keys of an entry in `servers:`, without `driver`. */
  readonly options: z.ZodType<Options>;
  needs(options: Options): ServerNeeds;
  /** Returns problems of these options, as texts for people. */
  review(options: Options, pins: ReadonlyMap<string, PinFacts>): readonly string[];
  /** Rejects with a DcsError when its address or line cannot be opened; the owner tries again. */
  open(
    options: Options,
    pins: ServedPins,
    facts: ReadonlyMap<string, PinFacts>,
    context: DriverContext,
  ): Promise<OpenServer>;
}

/** A running server. */
export interface OpenServer {
  /** Idempotent, bounded, never rejects. */
  close(): Promise<void>;
}
