import type { Clock } from '../clock/clock.ts';
import type {
  Channel,
  HeldDescriptors,
  Log,
  Port,
  Reading,
  ReadingListener,
  WriteOptions,
  WriteResult,
} from '../driver/contract.ts';
import type { RawValue } from '../pin/pin.ts';

/** A channel as the runner keeps it: what never changes, and the start value of each opening. */
export interface ChannelPlan {
  readonly channel: Channel;
  /** Raw value to drive when the port opens for the first time. */
  readonly openingValue: () => RawValue | undefined;
  /** Raw value to drive when the hardware comes back. Absent: as `startAt`. */
  readonly returnValue?: () => RawValue | undefined;
  /** Counters: told every count, the last one before the port is closed too. */
  readonly counted?: (count: number) => void;
}

/** A pin's hold on its channel; it outlives the port behind it. */
export interface ChannelHandle {
  readonly port: string;
  /** The port debounces by itself. Known once it is open. */
  readonly debounced: boolean;
  read(): Promise<Reading>;
  /** Rejects at once when the port is not open: a command never waits for a port to come back. */
  write(value: RawValue, options?: WriteOptions): Promise<WriteResult>;
  /** Sets a counter. Rejects as `write` does, and with READ_ONLY when the port has none to set. */
  preset(value: RawValue): Promise<WriteResult>;
  /** Drives the output no more. Rejects with NOT_SUPPORTED when the port cannot let go. */
  float(): Promise<void>;
  listen(listener: ReadingListener): () => void;
}

/** What a runner is given to live on. */
export interface PortEnvironment {
  readonly clock: Clock;
  readonly log: Log;
  /** Told of every port that has been opened, and again when its last will has changed. Must not throw. */
  opened?(port: Port): void;
  /** Told before a port that went down is closed: what it held is to be given back. Must not throw. */
  lostPort?(): void;
  /** See PortContext.reclaim. */
  reclaim?(): Promise<readonly HeldDescriptors[]>;
  /** Nobody knows what the outputs did meanwhile: the first opening is one after a loss. */
  readonly lost?: boolean;
}
