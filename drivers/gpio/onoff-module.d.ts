/**
 * What is used of npm onoff 6. Declared here because the package is optional: npm leaves it out where there is no
 * compiler, and dcs-io must build there all the same.
 */
declare module 'onoff' {
  export type BinaryValue = 0 | 1;

  export class Gpio {
    constructor(
      gpio: number,
      direction: 'in' | 'out' | 'high' | 'low',
      edge?: 'none' | 'rising' | 'falling' | 'both',
      options?: { debounceTimeout?: number; activeLow?: boolean; reconfigureDirection?: boolean },
    );
    readSync(): BinaryValue;
    writeSync(value: BinaryValue): void;
    watch(listener: (error: Error | null | undefined, value: BinaryValue) => void): void;
    unwatchAll(): void;
    unexport(): void;
    direction(): string;
    edge(): string;
  }
}
