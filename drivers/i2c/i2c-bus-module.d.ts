/** What is used of npm i2c-bus 5. Declared here because the package is optional: npm leaves it out without a compiler. */
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
