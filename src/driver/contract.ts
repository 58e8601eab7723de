import type { z } from 'zod';
import type { Clock, DurationMs, MonotonicMs, UnixSeconds } from '../clock/clock.ts';
import type { DcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import type { Direction, PinKind, RawValue } from '../pin/pin.ts';
import type { PinPlacer } from './placement.ts';

/**
 * A port's own address of a pin: line 17, unit 1 holding 10. `key` is its canonical text, unique within the port
 * (`gpio 17`, `u1/holding/10`); two pins with one key are a configuration error.
 */
export interface Channel<Address = unknown> {
  readonly key: string;
  readonly kind: PinKind;
  readonly direction: Direction;
  /** The pin's driver keys, as the driver's own `pin` schema parsed them. */
  readonly address: Address;
  /**
   * Outputs: the raw value the port must drive from the first moment it owns the channel, in the same step that takes
   * it where the hardware can. Absent: the hardware's present value stays. Counters: what they begin to count from.
   */
  readonly openingValue?: RawValue;
  /**
   * Outputs: the raw value for a device that has been away while its port was open (a unit of a bus), asked for when it
   * answers again. Undefined: it is left as it is.
   */
  readonly returnValue?: () => RawValue | undefined;
  /** Digital inputs: how long (ms) a level must be still. 0: no debouncing asked for. */
  readonly debounceMs: number;
}

/** What one look at a channel gave. A failure is a reading too: it makes the pin bad, never wrong. */
export type Reading =
  | {
      readonly ok: true;
      readonly value: RawValue;
      /** Unix seconds at which the kernel or device says it happened. */
      readonly sourceTime?: UnixSeconds;
      /** Present when the value is usable but doubtful (simulated, ageing): becomes quality `uncertain`. */
      readonly uncertain?: string;
      /** Counters that can tell: how much the value changes per second. */
      readonly rate?: number;
    }
  | { readonly ok: false; readonly error: DcsError };

export type ReadingListener = (reading: Reading) => void;

/** The result of a write. */
export interface WriteResult {
  /** The value that the hardware then had, where it can be read back. */
  readonly readBack?: RawValue;
  /**
   * Raw distance of neighbouring values that the channel can hold near the written one (a DAC's step, a float32's). A
   * read-back within half of it confirms the write. Without it whole numbers must be equal, and others as float32 values.
   */
  readonly resolution?: number;
}

/** What a write may be told beside its value. */
export interface WriteOptions {
  /** A port that queues must not begin it after this: it rejects with EXPIRED. */
  readonly expiresAt?: MonotonicMs;
}

/**
 * One opened piece of hardware. Every promise it returns settles, also when the hardware is torn out; errors are
 * DcsErrors. Calls may overlap; the port puts them in order: the last write of a channel is what it then has. It never repairs itself: when it cannot go on it calls
 * `context.down(error)` once, rejects all that is pending, and waits to be closed and opened anew by its owner.
 */
export interface Port {
  /**
   * Reads channels from the hardware now. One reading each, in the order asked. Rejects only if the port is down. What
   * cannot be asked is given as it was last heard, with the `sourceTime` of then: a value that ages is not made young.
   */
  read(channels: readonly Channel[]): Promise<Reading[]>;
  /**
   * Drives an output. Resolves once the hardware has accepted the value. Rejects with BAD_VALUE or OUT_OF_RANGE when
   * the raw value cannot be encoded (nothing was sent), TIMEOUT when it is unknown whether it took effect.
   */
  write(channel: Channel, value: RawValue, options?: WriteOptions): Promise<WriteResult>;
  /**
   * Drives several outputs as close to at once as the hardware can (a gpiochip's lines in one system call). All values
   * are checked before any is sent. Rejects as `write` does.
   */
  writeAll?(writes: readonly { readonly channel: Channel; readonly value: RawValue }[]): Promise<WriteResult[]>;
  /** Sets a counter or a position the port keeps itself. Rejects with READ_ONLY or BAD_VALUE. */
  preset?(channel: Channel, value: RawValue): Promise<WriteResult>;
  /**
   * Drives an output no more: the line becomes an input, as some plants want it while nobody is in control. A later write
   * drives it again.
   */
  float?(channel: Channel): Promise<void>;
  /** Gives the hardware back. Idempotent, bounded (≤ 500 ms), never rejects; nothing is reported afterwards. */
  close(): Promise<void>;
  /**
   * How these outputs get their safe values when this process has crashed or hangs. Asked for when the port is open, and
   * again when what it depends on has changed. Undefined: another process cannot do it, or there is nothing to do. Absent:
   * the driver cannot. Throws as `write` does when a value cannot be encoded.
   */
  crashPlan?(writes: readonly SafeWrite[]): CrashPlan | undefined;
  /** The port debounces its inputs itself (kernel); otherwise the pin does it. */
  readonly debounces?: true;
  /** How it fares, beside its counters: `utilisation` (0 to 1), `round_trip_p99_ms`. Cheap; asked for every few seconds. */
  metrics?(): Readonly<Record<string, number>>;
  /** Byte streams (serial): carries SerialPortMessage. */
  readonly stream?: ByteStream;
}

export interface ByteStream {
  /** Hands bytes to the device, all or none. Resolves when the kernel has taken them. Resolves with their number. */
  send(bytes: Uint8Array): Promise<number>;
  /** Frames that came in, without their delimiter, in order. Returns the unsubscriber. */
  onFrame(listener: (frame: Uint8Array, sourceTime: UnixSeconds) => void): () => void;
}

/** An output and its safe value. */
export interface SafeWrite {
  readonly channel: Channel;
  readonly value: RawValue;
}

/**
 * What puts a port's outputs in their safe state when the agent itself cannot: told to the guardian while all is well,
 * carried out by it when the agent has crashed or hangs.
 */
export interface CrashPlan {
  /** URL of the module that carries it out; it exports `prepare: Prepare`. */
  readonly executor: string;
  /** What that module needs to know. It is copied to another process: data only (numbers, text, lists, Buffers). */
  readonly plan: unknown;
  /**
   * Descriptors through which this process holds hardware. The guardian gets duplicates: the hardware stays held, and as it
   * is, when this process has gone.
   */
  readonly descriptors?: readonly number[];
}

/** Hardware that stays held while it goes from one process to another. */
export interface HeldDescriptors {
  /** What the descriptors are, in the driver's own words, as JSON has it. May come from another version of the driver. */
  readonly plan: unknown;
  /** Open ones of this process. Who is given them closes them. */
  readonly descriptors: readonly number[];
}

/** What a driver works with, in a port as in a server. */
export interface DriverContext {
  readonly clock: Clock;
  readonly log: Log;
  /** The port cannot go on (unplugged, connection lost). Called at most once, never after `close`. */
  down(error: DcsError): void;
  /** Adds to a named counter: `timeouts`, `frames_dropped`. Nothing is lost silently. */
  count(name: string, by?: number): void;
}

/** What a port works with. */
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

/** 'Not this hardware' is not an error: the port is left out and its pins say why. */
export type OpenResult =
  | { readonly kind: 'port'; readonly port: Port }
  | { readonly kind: 'skipped'; readonly reason: string };

/** What a pin's driver keys say about its channel; computed without touching hardware, so `check` can use it. */
export interface ChannelFacts {
  /** Absent: the pin is its own channel (it has no address), and the pin's name serves as key. */
  readonly key?: string;
  readonly kind: PinKind;
  /** Directions the hardware allows. */
  readonly directions: readonly Direction[];
  /** As an output it can be left undriven; see Port.float. */
  readonly floats?: true;
}

/** Something doubtful about a port: registers that overlap, a bus too slow for what is asked of it. */
export interface Remark {
  /** Key of the channel it is about. Absent: the port as a whole. */
  readonly channel?: string;
  /** Key of another channel of the port that it contradicts. */
  readonly other?: string;
  readonly message: string;
  /** What would be better. */
  readonly expected?: string;
  /** It cannot work at all: the configuration is refused. Absent: a warning. */
  readonly fatal?: true;
}

/** Rights that a driver's ports need. The service unit grants them; `doctor` and `init` check them. */
export interface AccessNeeds {
  /** Groups that usually own the devices: `gpio`, `dialout`. */
  readonly groups?: readonly string[];
  /** Paths of the devices; `*` stands for any text without `/`: `/dev/gpiochip*`. */
  readonly devices?: readonly string[];
  /** Socket families beyond AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK, by their names in <sys/socket.h>: `AF_CAN`. */
  readonly addressFamilies?: readonly `AF_${string}`[];
  /** How a person enables the hardware when no device is there: `raspi-config`, an overlay, a kernel module. */
  readonly hint?: string;
}

/**
 * Code that opens ports of one kind. A driver imports its native library inside `open`, so that everything builds,
 * checks and tests on machines that do not have it.
 *
 * The two schemas are the only readers of the user's text: `open` and `describe` get what they produced.
 */
export interface Driver<Options = unknown, Address = unknown> {
  /** Version of the contract that the driver was made for. */
  readonly contract: 1;
  readonly name: string;
  /** One line for the reference. */
  readonly summary: string;
  /** The keys of an entry in `ports:`, without `driver`. */
  readonly options: z.ZodType<Options>;
  /** The keys of an entry in `pins:` that say where on the port it is. */
  readonly pin: z.ZodType<Address>;
  describe(address: Address, options: Options): ChannelFacts;
  /** Finds the port of pins that name none, and translates names of lines; see PinPlacer. */
  readonly placer?: PinPlacer<Options>;
  /**
   * `simulated`: the driver simulates hardware, and reports of its pins say so. `none`: nothing is behind its pins. Neither
   * is replaced by the mock driver. `undefined` for real hardware.
   */
  readonly hardware?: 'simulated' | 'none';
  /** What the operating system must grant; `undefined` when an ordinary user's rights are enough. */
  readonly access?: AccessNeeds;
  /**
   * Paths of the files that a port with these options opens; none when its hardware is missing. `doctor` checks them. For
   * drivers whose `claims` is not the path of the device.
   */
  devicePaths?(options: Options): Promise<readonly string[]>;
  /**
   * The hardware that a port with these options keeps to itself, as every driver would name it: `/dev/ttyUSB0`,
   * `192.168.1.10:502`. Two ports with one claim are a configuration error. Absent: it shares well.
   */
  claims?(options: Options): string | undefined;
  /** What is doubtful about a port with these channels, seen without touching hardware. `check` shows it as warnings. */
  review?(options: Options, channels: readonly Channel<Address>[]): readonly Remark[];
  /**
   * Longest pause (ms) between two tries to open a port that is down. Absent: 3 s. Shorter where a try costs next to
   * nothing and a person waits for it: an adapter that was plugged in again.
   */
  readonly reopenMs?: DurationMs;
  /** What may be expected of a port with these channels, for people: how full its bus is. `check` shows it. */
  estimate?(options: Options, channels: readonly Channel<Address>[]): string | undefined;
  /** Shows pins to other systems; an entry in `servers:` that names this driver. */
  readonly server?: ServerKind;
  /** Opens the hardware. Rejects with a DcsError when it is there but cannot be had; the owner tries again. */
  open(options: Options, channels: readonly Channel<Address>[], context: PortContext): Promise<OpenResult>;
}

/** What a server may know of a pin before anything runs. */
export interface PinFacts {
  readonly kind: PinKind;
  readonly direction: Direction;
}

/** The agent's pins, as a server for other systems sees them. */
export interface ServedPins {
  /** The value last reported. Throws a DcsError when there is none that may be trusted: an old value is never given. */
  read(pin: string): RawValue;
  /**
   * Sends a command over the bus and waits for the pin's answer, so that every check and every right of a command holds.
   * Rejects with what the pin refuses it for; TIMEOUT: nobody knows whether it took effect.
   */
  command(pin: string, value: RawValue): Promise<void>;
  /** The port of that name. Throws PORT_DOWN and the like when it is not open. */
  port(name: string): Port;
}

/** What a server with certain options asks for, so that it can be checked before anything runs. */
export interface ServerNeeds {
  readonly pins: readonly string[];
  readonly ports: readonly string[];
}

/** Something that shows pins to other systems in their own protocol. */
export interface ServerKind<Options = unknown> {
  /** The keys of an entry in `servers:`, without `driver`. */
  readonly options: z.ZodType<Options>;
  needs(options: Options): ServerNeeds;
  /** What does not go together, as a person can mend it. */
  review(options: Options, pins: ReadonlyMap<string, PinFacts>): readonly string[];
  /** Rejects with a DcsError when its address or line cannot be had; the owner tries again. */
  open(
    options: Options,
    pins: ServedPins,
    facts: ReadonlyMap<string, PinFacts>,
    context: DriverContext,
  ): Promise<OpenServer>;
}

export interface OpenServer {
  /** Idempotent, bounded, never rejects. */
  close(): Promise<void>;
}
