import type { z } from 'zod';
import type { Direction, PinKind, RawValue } from '../pin/pin.ts';
import type { Port, PortContext } from './driver.ts';

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
    context: PortContext,
  ): Promise<OpenServer>;
}

export interface OpenServer {
  /** Idempotent, bounded, never rejects. */
  close(): Promise<void>;
}
