// Types of optional npm packages, as far as they are used. npm leaves these packages out where there is no compiler; dcs-io
// builds there all the same.

/** npm onoff 6 */
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

/** npm i2c-bus 5 */
declare module 'i2c-bus' {
  export interface I2cBusHandle {
    i2cFuncsSync(): { readonly i2c: boolean };
    promisifiedBus(): PromisifiedBus;
    closeSync(): void;
  }
  export interface PromisifiedBus {
    i2cRead(address: number, length: number, buffer: Buffer): Promise<unknown>;
    i2cWrite(address: number, length: number, buffer: Buffer): Promise<unknown>;
    readI2cBlock(address: number, command: number, length: number, buffer: Buffer): Promise<unknown>;
    writeI2cBlock(address: number, command: number, length: number, buffer: Buffer): Promise<unknown>;
    readByte(address: number, command: number): Promise<number>;
    readWord(address: number, command: number): Promise<number>;
    writeByte(address: number, command: number, byte: number): Promise<void>;
    receiveByte(address: number): Promise<number>;
    sendByte(address: number, byte: number): Promise<void>;
  }
  const library: { openSync(busNumber: number, options?: { forceAccess?: boolean }): I2cBusHandle };
  export default library;
}
